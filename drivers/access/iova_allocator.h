// SPDX-License-Identifier: GPL-2.0-only
// Hands out IOVAs within the ranges that an IOMMU can map.
#pragma once

#include <cstddef>
#include <map>
#include <vector>

#include "drivers/access/iommu.h"
#include "drivers/access/result.h"

namespace carryover {

class IovaAllocator {
 public:
  // `usable` as Iommu::UsableRanges() gives it. IOVA 0 is never handed out: to many devices it
  // means "none".
  explicit IovaAllocator(const std::vector<IovaRange>& usable);

  // Lowest free IOVA that is a multiple of `alignment` (a power of two, at least 4096) and has
  // `size` bytes free behind it. Errors: EINVAL (size 0 or alignment), ENOSPC.
  [[nodiscard]] Result<Iova> Allocate(std::size_t size, std::size_t alignment = 4096);

  // Takes a given range, as when memory must appear at the IOVA it had before. Errors: EEXIST (not
  // free).
  [[nodiscard]] Result<void> Reserve(Iova iova, std::size_t size);

  // Gives back what Allocate() or Reserve() took, whole.
  void Free(Iova iova, std::size_t size);

 private:
  void Take(std::map<Iova, Iova>::iterator range, Iova first, Iova last);

  std::map<Iova, Iova> free_;  // first -> last, inclusive; never adjacent, never overlapping
};

}  // namespace carryover
