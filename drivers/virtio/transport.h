// SPDX-License-Identifier: GPL-2.0-only
// A virtio device's PCI transport: status, features, configuration and queues. Knows no requests.
#pragma once

#include <cstdint>
#include <string_view>

#include "drivers/access/deadline.h"
#include "drivers/access/iommu.h"
#include "drivers/access/mmio.h"
#include "drivers/access/pci_device.h"
#include "drivers/access/result.h"
#include "drivers/virtio/registers.h"

namespace carryover::virtio {

// Where a queue's parts are.
struct QueuePlace {
  Iova descriptors = 0;
  Iova available = 0;
  Iova used = 0;
  std::uint16_t size = 0;

  friend bool operator==(const QueuePlace&, const QueuePlace&) = default;
};

class Transport {
 public:
  // Finds the structures that the device's capabilities name. Errors: EPROTO (one is missing, or
  // lies where it cannot).
  [[nodiscard]] static Result<Transport> Find(PciDevice& device);

  // ENODEV if it reads as all ones; EIO if it has failed (DEVICE_NEEDS_RESET).
  [[nodiscard]] Result<void> CheckPresent(std::string_view during);
  [[nodiscard]] std::uint8_t status() { return common_->Read8(common_at_ + Common::kStatus); }

  // 2.4: the device forgets queues and features, and does nothing any more.
  [[nodiscard]] Result<void> Reset(Deadline deadline);
  // After Reset(): agrees on those of `wanted` that the device offers. Errors: EINVAL (it does not
  // offer all of `needed`: `why` says what that means), EIO (it does not accept them).
  [[nodiscard]] Result<std::uint64_t> Agree(std::uint64_t needed, std::uint64_t wanted,
                                            std::string_view why);
  // After Agree(): a queue with this vector. Errors: EINVAL (no such queue), EIO.
  [[nodiscard]] Result<void> SetUpQueue(std::uint16_t queue, const QueuePlace& place,
                                        std::uint16_t vector);
  // Descriptors that the queue may have; 0: there is no such queue.
  [[nodiscard]] std::uint16_t QueueSizeOf(std::uint16_t queue);
  // How it was set up; a size of 0 if it is not enabled.
  [[nodiscard]] QueuePlace PlaceOf(std::uint16_t queue);
  void Run();
  void Notify(std::uint16_t queue);

  // Device specific configuration.
  [[nodiscard]] std::uint32_t Config32(std::size_t offset) {
    return device_->Read32(device_at_ + offset);
  }
  // Both halves as they were at one time.
  [[nodiscard]] std::uint64_t Config64(std::size_t offset);

 private:
  Transport() = default;
  void SetStatus(std::uint8_t bits);
  void Select(std::uint16_t queue) { common_->Write16(common_at_ + Common::kQueueSelect, queue); }
  [[nodiscard]] std::uint16_t Read16(std::size_t offset) {
    return common_->Read16(common_at_ + offset);
  }
  [[nodiscard]] Iova ReadAddress(std::size_t offset);

  Mmio* common_ = nullptr;
  std::size_t common_at_ = 0;
  Mmio* notify_ = nullptr;
  std::size_t notify_at_ = 0;
  std::size_t notify_size_ = 0;
  std::uint32_t notify_multiplier_ = 0;
  std::array<std::size_t, 2> notify_offsets_{};  // of queues, once set up
  Mmio* device_ = nullptr;
  std::size_t device_at_ = 0;
};

}  // namespace carryover::virtio
