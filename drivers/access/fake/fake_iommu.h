// SPDX-License-Identifier: GPL-2.0-only
// An IOMMU in process: fake devices do their DMA through it, and are refused as by a real one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>

#include "drivers/access/iommu.h"

namespace carryover {

class FakeIommu final : public Iommu {
 public:
  [[nodiscard]] Result<void> Map(Iova iova, void* address, std::size_t size,
                                 DmaAccess access) override;
  [[nodiscard]] Result<void> Unmap(Iova iova, std::size_t size) override;
  [[nodiscard]] Result<std::vector<IovaRange>> UsableRanges() const override;
  [[nodiscard]] std::size_t PageSize() const override { return 4096; }
  [[nodiscard]] std::string_view name() const override { return "fake"; }

  // The device's side. False if any byte is not mapped with this right: nothing is transferred
  // then, and faults() rises.
  [[nodiscard]] bool DeviceRead(Iova iova, std::span<std::byte> to);
  [[nodiscard]] bool DeviceWrite(Iova iova, std::span<const std::byte> from);
  [[nodiscard]] std::size_t faults() const { return faults_; }

 private:
  struct Mapping {
    std::byte* address;
    std::size_t size;
    DmaAccess access;
  };
  // Calls transfer(host address, offset, length) for each mapped piece of the range, after checking
  // all of it.
  template <typename Transfer>
  bool Access(Iova iova, std::size_t size, DmaAccess refused, Transfer transfer);

  std::map<Iova, Mapping> mappings_;
  std::size_t faults_ = 0;
};

}  // namespace carryover
