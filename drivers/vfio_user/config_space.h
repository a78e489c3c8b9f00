// SPDX-License-Identifier: GPL-2.0-only
// Configuration space of a model's function: PCI Express endpoint, with a function level reset,
// power states D0 and D3hot, and MSI or MSI-X (PCI 3.0, 6 and 6.8; PCI Express 6.0, 7.5.2
// and 7.5.3). QEMU keeps its own copy of what has to do with BARs and vectors, and forwards the
// rest.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "drivers/model/device_model.h"

namespace carryover::vfio_user {

class ConfigSpace {
 public:
  static constexpr std::size_t kSize = 4096;

  explicit ConfigSpace(const ModelIdentity& identity);

  // `offset` + size is at most kSize.
  void Read(std::size_t offset, std::span<std::byte> to) const;
  // Bits that cannot be written keep their value. True if the write begins a function level reset.
  [[nodiscard]] bool Write(std::size_t offset, std::span<const std::byte> from);
  // What a function level reset does to it: all that can be written is cleared.
  void Reset();
  [[nodiscard]] bool bus_master() const;
  // In D3hot a function sends neither requests nor interrupts (PCI Express 6.0, 5.3.1.4.1).
  [[nodiscard]] bool in_d3hot() const;

 private:
  void Put(std::size_t offset, std::uint32_t value, std::size_t size);
  void Permit(std::size_t offset, std::uint32_t mask, std::size_t size);
  // Adds a capability behind the last; returns its offset.
  std::size_t AddCapability(std::uint8_t id, std::size_t size);

  std::vector<std::uint8_t> bytes_;
  std::vector<std::uint8_t> writable_;  // mask of each byte
  std::size_t link_;                    // where the next capability's offset goes
  std::size_t next_;                    // where that capability goes
  std::size_t express_ = 0;
  std::size_t power_ = 0;
};

}  // namespace carryover::vfio_user
