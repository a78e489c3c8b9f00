// SPDX-License-Identifier: GPL-2.0-only
// Access to a BAR, and the barriers between memory and device. A driver sees only the abstract
// Mmio, so that a fake device can stand behind it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace carryover {

// Little endian, as PCI is. Offsets are in bytes, multiples of the access size, and below size().
// An all-ones read may mean that the device is gone (PCIe master abort).
class Mmio {
 public:
  virtual ~Mmio() = default;

  [[nodiscard]] virtual std::uint8_t Read8(std::size_t offset) = 0;
  [[nodiscard]] virtual std::uint16_t Read16(std::size_t offset) = 0;
  [[nodiscard]] virtual std::uint32_t Read32(std::size_t offset) = 0;
  [[nodiscard]] virtual std::uint64_t Read64(std::size_t offset) = 0;
  virtual void Write8(std::size_t offset, std::uint8_t value) = 0;
  virtual void Write16(std::size_t offset, std::uint16_t value) = 0;
  virtual void Write32(std::size_t offset, std::uint32_t value) = 0;
  virtual void Write64(std::size_t offset, std::uint64_t value) = 0;
  // 64 bytes by one write, where the processor can do that (MOVDIR64B); else by eight writes of 8,
  // ascending. `offset` is a multiple of 64.
  virtual void Write512(std::size_t offset, std::span<const std::byte, 64> bytes) {
    for (std::size_t i = 0; i < bytes.size(); i += sizeof(std::uint64_t)) {
      std::uint64_t value = 0;
      std::memcpy(&value, bytes.data() + i, sizeof(value));
      Write64(offset + i, value);
    }
  }
  [[nodiscard]] virtual std::size_t size() const = 0;

  // For devices whose 64-bit registers must be accessed as two 32-bit halves in a given order.
  void Write64LowFirst(std::size_t offset, std::uint64_t value) {
    Write32(offset, static_cast<std::uint32_t>(value));
    Write32(offset + 4, static_cast<std::uint32_t>(value >> 32));
  }
  void Write64HighFirst(std::size_t offset, std::uint64_t value) {
    Write32(offset + 4, static_cast<std::uint32_t>(value >> 32));
    Write32(offset, static_cast<std::uint32_t>(value));
  }
};

// All stores to DMA memory before it are visible to the device before any MMIO write after it (the
// doorbell).
inline void DmaWriteBarrier() { std::atomic_thread_fence(std::memory_order_seq_cst); }

// No load from DMA memory after it is done before the load of the completion flag before it.
inline void DmaReadBarrier() { std::atomic_thread_fence(std::memory_order_acquire); }

}  // namespace carryover
