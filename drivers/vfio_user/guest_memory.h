// SPDX-License-Identifier: GPL-2.0-only
// The guest's memory as a device has it that goes past the checks of QEMU: what QEMU has mapped for
// it, by the files behind that. A rogue's way: it sees the mappings that the IOMMU gives the
// device, or all memory while translation is off, but neither bus master nor the rights of a page
// keep it out. QEMU shares memory only if it is a file (memory-backend-memfd, share=on).
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <utility>

#include "drivers/access/iommu.h"
#include "drivers/access/result.h"
#include "drivers/access/unique_fd.h"
#include "drivers/vfio_user/request.h"

namespace carryover::vfio_user {

class GuestMemory {
 public:
  // What was mapped there before is not any more. Errors: ERANGE (not within the file), those of
  // fstat(2) and mmap(2).
  [[nodiscard]] Result<void> Map(const DmaMap& map, const UniqueFd& file);
  // Of a range, in which there may be anything.
  void Unmap(Iova begin, std::uint64_t size);
  // False, and nothing is transferred, unless one mapping has all of it.
  [[nodiscard]] bool Read(Iova iova, std::span<std::byte> to) const;
  [[nodiscard]] bool Write(Iova iova, std::span<const std::byte> from) const;

 private:
  // A whole file. It stays mapped: QEMU has one, and maps pages of it one by one.
  class File;
  struct Mapping {
    std::uint64_t size = 0;
    std::byte* bytes = nullptr;
  };
  [[nodiscard]] Result<std::span<std::byte>> Open(const UniqueFd& file);
  // Where [iova, iova + size) is; null unless one mapping has all of it.
  [[nodiscard]] std::byte* At(Iova iova, std::size_t size) const;

  std::map<std::pair<dev_t, ino_t>, std::shared_ptr<File>> files_;
  std::map<Iova, Mapping> mappings_;  // by where they begin; none overlap
};

}  // namespace carryover::vfio_user
