// SPDX-License-Identifier: GPL-2.0-only
// A ring of receive descriptors and their buffers in one piece of memory, as Intel's gigabit
// controllers fill it: advanced descriptors with one buffer (82576 data sheet, 7.1.5), and extended
// ones (82574 data sheet, 7.1), which are the same as far as they are used. 16 bytes each, little
// endian; the device writes them back over what it read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "drivers/driver.h"
#include "drivers/frame_receiver.h"

namespace carryover::ethernet_receive {

struct ReceiveDescriptor {
  static constexpr std::uint32_t kDone = 1U << 0;
  static constexpr std::uint32_t kEndOfPacket = 1U << 1;
  // Extended errors. Those of checksums are not asked for, and reported nevertheless (82574).
  static constexpr std::uint32_t kErrors = 1U << 31 | 1U << 28 | 1U << 26 | 1U << 25 | 1U << 24;

  std::uint64_t address = 0;
  std::uint64_t status = 0;  // 0; written back: status and errors, length above

  [[nodiscard]] std::uint32_t length() const {
    return static_cast<std::uint32_t>(status >> 32) & 0xffff;
  }
};
static_assert(sizeof(ReceiveDescriptor) == 16);

// Layout: the descriptors, then the buffers, in the order of the slots.
class ReceiveRing {
 public:
  static constexpr std::size_t kSlotUnit = 4096 / sizeof(ReceiveDescriptor);

  [[nodiscard]] static constexpr std::size_t Bytes(std::size_t slots) {
    return slots * (sizeof(ReceiveDescriptor) + FrameReceiver::kSlotBytes);
  }

  ReceiveRing() = default;
  // Memory of Bytes(n) for an n that is a multiple of kSlotUnit. Errors: EINVAL.
  [[nodiscard]] static Result<ReceiveRing> In(DmaRegion memory);

  // Gives each descriptor its buffer, all to be filled.
  void Prepare();

  [[nodiscard]] std::size_t slots() const { return slots_; }
  [[nodiscard]] Iova iova() const { return memory_.iova; }
  [[nodiscard]] std::size_t descriptor_bytes() const { return slots_ * sizeof(ReceiveDescriptor); }
  // Slots from the first one on that were written back. What is in them may be read then.
  [[nodiscard]] std::size_t CountDone();

  [[nodiscard]] std::span<const std::byte> Buffer(std::size_t slot) const;
  [[nodiscard]] bool IsUnused(std::size_t slot) const;
  [[nodiscard]] std::optional<std::span<const std::byte>> Frame(std::size_t slot) const;

 private:
  [[nodiscard]] ReceiveDescriptor* At(std::size_t slot) const;
  [[nodiscard]] std::uint64_t ReadStatus(std::size_t slot) const;
  [[nodiscard]] std::size_t BufferOffset(std::size_t slot) const {
    return descriptor_bytes() + slot * FrameReceiver::kSlotBytes;
  }

  DmaRegion memory_;
  std::size_t slots_ = 0;
  std::size_t done_ = 0;  // of the last CountDone()
};

}  // namespace carryover::ethernet_receive
