// SPDX-License-Identifier: GPL-2.0-only
// The address space a device does DMA in. One interface over iommufd and VFIO type1, chosen at run
// time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "drivers/access/result.h"

namespace carryover {

// An address as the device sees it.
using Iova = std::uint64_t;

struct IovaRange {
  Iova first = 0;
  Iova last = 0;  // inclusive, as in the kernel's tables: a range may end at 2^64 - 1

  friend bool operator==(const IovaRange&, const IovaRange&) = default;
};

enum class DmaAccess : std::uint8_t { kRead, kWrite, kReadWrite };  // from the device's side

class Iommu {
 public:
  virtual ~Iommu() = default;

  // Makes [address, address + size) visible to the device at [iova, iova + size).
  // The pages are pinned until Unmap(). iova, address and size are multiples of PageSize().
  // Errors: EEXIST (iova taken), EINVAL (alignment, reserved range), ENOMEM (RLIMIT_MEMLOCK, pins).
  [[nodiscard]] virtual Result<void> Map(Iova iova, void* address, std::size_t size,
                                         DmaAccess access) = 0;

  // Takes away a whole mapping made by Map(). After return the device cannot reach it.
  [[nodiscard]] virtual Result<void> Unmap(Iova iova, std::size_t size) = 0;

  // Ranges that Map() accepts, ascending, reserved regions (MSI window, RMRR) cut out.
  [[nodiscard]] virtual Result<std::vector<IovaRange>> UsableRanges() const = 0;

  // Smallest mapping granule in bytes, a power of two.
  [[nodiscard]] virtual std::size_t PageSize() const = 0;

  // As --iommu-mode has it (IommuModeOf()), or a fake's name.
  [[nodiscard]] virtual std::string_view name() const = 0;
};

}  // namespace carryover
