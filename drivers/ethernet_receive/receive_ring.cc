// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/ethernet_receive/receive_ring.h"

#include <fmt/format.h>

#include <atomic>

#include "drivers/access/mmio.h"

namespace carryover::ethernet_receive {

Result<ReceiveRing> ReceiveRing::In(DmaRegion memory) {
  ReceiveRing ring;
  ring.memory_ = memory;
  ring.slots_ = memory.memory.size() / Bytes(1);
  if (ring.slots_ == 0 || ring.slots_ % kSlotUnit != 0 ||
      memory.memory.size() != Bytes(ring.slots_) || memory.iova % 4096 != 0) {
    return Fail(EINVAL, fmt::format("a receive ring of {} bytes at IOVA {:#x}",
                                    memory.memory.size(), memory.iova));
  }
  return ring;
}

ReceiveDescriptor* ReceiveRing::At(std::size_t slot) const {
  return reinterpret_cast<ReceiveDescriptor*>(memory_.memory.data()) + slot;
}

void ReceiveRing::Prepare() {
  for (std::size_t slot = 0; slot < slots_; ++slot) {
    *At(slot) = {.address = memory_.iova + BufferOffset(slot)};
  }
  done_ = 0;
}

std::uint64_t ReceiveRing::ReadStatus(std::size_t slot) const {
  return std::atomic_ref(At(slot)->status).load(std::memory_order_acquire);
}

std::size_t ReceiveRing::CountDone() {
  while (done_ < slots_ && (ReadStatus(done_) & ReceiveDescriptor::kDone) != 0) ++done_;
  DmaReadBarrier();
  return done_;
}

std::span<const std::byte> ReceiveRing::Buffer(std::size_t slot) const {
  return memory_.memory.subspan(BufferOffset(slot), FrameReceiver::kSlotBytes);
}

bool ReceiveRing::IsUnused(std::size_t slot) const {
  return ReadStatus(slot) == 0 && At(slot)->address == memory_.iova + BufferOffset(slot);
}

std::optional<std::span<const std::byte>> ReceiveRing::Frame(std::size_t slot) const {
  const ReceiveDescriptor descriptor{.address = 0, .status = ReadStatus(slot)};
  DmaReadBarrier();
  constexpr std::uint32_t kWhole = ReceiveDescriptor::kDone | ReceiveDescriptor::kEndOfPacket;
  const auto status = static_cast<std::uint32_t>(descriptor.status);
  if ((status & (kWhole | ReceiveDescriptor::kErrors)) != kWhole ||
      descriptor.length() > FrameReceiver::kSlotBytes) {
    return std::nullopt;
  }
  return Buffer(slot).first(descriptor.length());
}

}  // namespace carryover::ethernet_receive
