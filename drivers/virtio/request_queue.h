// SPDX-License-Identifier: GPL-2.0-only
// Block requests on a split virtqueue, a slot each.
#pragma once

#include <cstdint>
#include <optional>

#include "drivers/access/iommu.h"
#include "drivers/virtio/region.h"
#include "drivers/virtio/transport.h"

namespace carryover::virtio {

// A part of a request's data.
struct Part {
  Iova address = 0;
  std::uint32_t length = 0;  // 0: there is none
};

class RequestQueue {
 public:
  RequestQueue() = default;
  // `memory` is at `iova`; `size`: descriptors.
  RequestQueue(Queue& memory, Iova iova, std::uint16_t size)
      : memory_(&memory), iova_(iova), size_(size) {}

  // Empty rings; whatever is in memory does not matter.
  void Clear(bool interrupts);
  [[nodiscard]] QueuePlace place() const;
  [[nodiscard]] std::uint16_t slots() const { return size_ / kChain; }

  // Requests so far, modulo 2^16: where the ring stands.
  [[nodiscard]] std::uint16_t index() const { return available_; }
  // Rings that stand there already, with nothing posted.
  void ResumeAt(std::uint16_t index) { available_ = used_ = index; }
  // Nothing was posted, or used, since the index.
  [[nodiscard]] bool IsIdle() const;

  // Puts a request into a free slot. The device sees it with Publish(), and is told of it by
  // Transport::Notify().
  void Put(std::uint16_t slot, const RequestHeader& header, Part data, Part rest);
  void Publish();
  struct Done {
    std::uint32_t slot = 0;  // slots() or more: the device answers what it was not asked
    std::uint8_t status = kOk;
  };
  // The next request that is done.
  [[nodiscard]] std::optional<Done> Take();

 private:
  [[nodiscard]] Iova At(std::size_t offset) const { return iova_ + offset; }

  Queue* memory_ = nullptr;
  Iova iova_ = 0;
  std::uint16_t size_ = 0;
  std::uint16_t available_ = 0;
  std::uint16_t used_ = 0;
};

}  // namespace carryover::virtio
