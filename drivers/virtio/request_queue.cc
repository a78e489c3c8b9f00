// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/virtio/request_queue.h"

#include <atomic>

#include "drivers/access/mmio.h"

namespace carryover::virtio {
namespace {

constexpr std::uint8_t kNoStatus = 0xff;  // none that a device gives

}  // namespace

void RequestQueue::Clear(bool interrupts) {
  memory_->available.flags = interrupts ? 0 : Available<kQueueSize>::kNoInterrupt;
  memory_->available.index = 0;
  memory_->used.flags = 0;
  memory_->used.index = 0;
  available_ = used_ = 0;
}

QueuePlace RequestQueue::place() const {
  return {.descriptors = At(offsetof(Queue, descriptors)),
          .available = At(offsetof(Queue, available)),
          .used = At(offsetof(Queue, used)),
          .size = size_};
}

bool RequestQueue::IsIdle() const {
  return memory_->available.index == available_ && memory_->used.index == used_;
}

void RequestQueue::Put(std::uint16_t slot, const RequestHeader& header, Part data, Part rest) {
  const bool to_memory = header.type != RequestHeader::kOut;
  const auto data_flag = static_cast<std::uint16_t>(to_memory ? Descriptor::kWrite : 0);
  const auto first = static_cast<std::uint16_t>(slot * kChain);
  memory_->headers[slot] = header;
  memory_->statuses[slot] = kNoStatus;
  std::uint16_t next = first;
  const auto put = [&](Iova address, std::uint32_t length, std::uint16_t flags) {
    const auto following = static_cast<std::uint16_t>(next + 1);
    memory_->descriptors[next] = {
        .address = address, .length = length, .flags = flags, .next = following};
    next = following;
  };
  put(At(offsetof(Queue, headers) + slot * sizeof(RequestHeader)), sizeof(RequestHeader),
      Descriptor::kNext);
  const auto chained = static_cast<std::uint16_t>(data_flag | Descriptor::kNext);
  put(data.address, data.length, chained);
  if (rest.length != 0) put(rest.address, rest.length, chained);
  put(At(offsetof(Queue, statuses) + slot), 1, Descriptor::kWrite);
  memory_->available.ring[available_ % size_] = first;
  ++available_;
}

void RequestQueue::Publish() {
  DmaWriteBarrier();
  std::atomic_ref(memory_->available.index).store(available_, std::memory_order_release);
  DmaWriteBarrier();
}

std::optional<RequestQueue::Done> RequestQueue::Take() {
  const std::uint16_t index = std::atomic_ref(memory_->used.index).load(std::memory_order_acquire);
  if (index == used_) return std::nullopt;
  DmaReadBarrier();
  const std::uint32_t id = memory_->used.ring[used_ % size_].id;
  ++used_;
  if (id % kChain != 0 || id / kChain >= slots()) return Done{.slot = slots()};
  return Done{.slot = id / kChain, .status = memory_->statuses[id / kChain]};
}

}  // namespace carryover::virtio
