// SPDX-License-Identifier: GPL-2.0-only
// A BAR mapped from a VFIO device file.
#pragma once

#include <cstddef>
#include <memory>

#include "drivers/access/mmio.h"
#include "drivers/access/result.h"

namespace carryover {

class MappedBar final : public Mmio {
 public:
  // Maps `size` bytes at `offset` of the device file, for this process and no child of it.
  // Errors: mmap(2)'s.
  [[nodiscard]] static Result<std::unique_ptr<MappedBar>> Map(int device_fd, std::uint64_t offset,
                                                              std::size_t size);
  MappedBar(const MappedBar&) = delete;
  MappedBar& operator=(const MappedBar&) = delete;
  ~MappedBar() override;

  [[nodiscard]] std::uint8_t Read8(std::size_t offset) override;
  [[nodiscard]] std::uint16_t Read16(std::size_t offset) override;
  [[nodiscard]] std::uint32_t Read32(std::size_t offset) override;
  [[nodiscard]] std::uint64_t Read64(std::size_t offset) override;
  void Write8(std::size_t offset, std::uint8_t value) override;
  void Write16(std::size_t offset, std::uint16_t value) override;
  void Write32(std::size_t offset, std::uint32_t value) override;
  void Write64(std::size_t offset, std::uint64_t value) override;
  void Write512(std::size_t offset, std::span<const std::byte, 64> bytes) override;
  [[nodiscard]] std::size_t size() const override { return size_; }

 private:
  MappedBar(std::byte* address, std::size_t size) : address_(address), size_(size) {}

  // Aborts on an access outside the BAR or not aligned: a driver's bug, not a device's.
  template <typename T>
  volatile T* Register(std::size_t offset) const;

  std::byte* address_;
  std::size_t size_;
};

}  // namespace carryover
