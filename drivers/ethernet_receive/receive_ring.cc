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

std::size_t ReceiveRing::CountDone() {
  const auto is_done = [this](std::size_t slot) {
    const std::uint64_t status = std::atomic_ref(At(slot)->status).load(std::memory_order_acquire);
    return (status & ReceiveDescriptor::kDone) != 0;
  };
  while (done_ < slots_ && is_done(done_)) ++done_;
  DmaReadBarrier();
  return done_;
}

std::span<const std::byte> ReceiveRing::Buffer(std::size_t slot) const {
  return memory_.memory.subspan(BufferOffset(slot), FrameReceiver::kSlotBytes);
}

std::optional<std::span<const std::byte>> ReceiveRing::Frame(std::size_t slot) const {
  const ReceiveDescriptor descriptor = *At(slot);
  constexpr std::uint32_t kWhole = ReceiveDescriptor::kDone | ReceiveDescriptor::kEndOfPacket;
  const auto status = static_cast<std::uint32_t>(descriptor.status);
  if ((status & (kWhole | ReceiveDescriptor::kErrors)) != kWhole ||
      descriptor.length() > FrameReceiver::kSlotBytes) {
    return std::nullopt;
  }
  return Buffer(slot).first(descriptor.length());
}

}  // namespace carryover::ethernet_receive
