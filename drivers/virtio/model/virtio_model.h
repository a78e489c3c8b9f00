// SPDX-License-Identifier: GPL-2.0-only
// A model of a virtio block device, from Virtual I/O Device 1.2: PCI transport, split virtqueues,
// reads, writes and the device's id. It hangs, and counts doorbells, by its first queue.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "drivers/model/device_model.h"
#include "drivers/virtio/registers.h"
#include "drivers/virtio/ring.h"

namespace carryover::virtio {

// How devices differ.
struct VirtioFlavour {
  std::uint64_t features =
      Feature::kVersion1 | Feature::kAccessPlatform | Feature::kMultiQueue | Feature::kSegMax;
  std::uint32_t block_size = 512;
  std::uint32_t size_max = 0;
  std::uint16_t queue_size = 256;
  std::uint32_t notify_multiplier = 4;
};

class VirtioModel final : public DeviceModel {
 public:
  static constexpr std::uint64_t kSectors = 131072;

  [[nodiscard]] static ModelIdentity Identity(const VirtioFlavour& flavour);

  VirtioModel(ModelHost& host, const VirtioFlavour& flavour)
      : DeviceModel(host), flavour_(flavour), identity_(Identity(flavour)) {}

  [[nodiscard]] const ModelIdentity& identity() const override { return identity_; }
  [[nodiscard]] std::uint64_t Read(unsigned bar, std::size_t offset, std::size_t size) override;
  void Write(unsigned bar, std::size_t offset, std::size_t size, std::uint64_t value) override;
  void ResetFunction() override { ResetDevice(); }
  void Work() override;

  // Sectors that were read or written.
  [[nodiscard]] const std::set<std::uint64_t>& touched() const { return touched_; }

 private:
  struct VirtQueue {
    std::uint16_t size = 0;
    std::uint16_t vector = Common::kNoVector;
    bool enabled = false;
    std::uint64_t descriptors = 0;
    std::uint64_t available = 0;
    std::uint64_t used = 0;
    std::uint16_t seen = 0;  // available entries taken
    std::uint16_t done = 0;  // used entries given
    bool notified = false;
  };
  struct Chain {
    std::vector<Descriptor> read;   // by the device
    std::vector<Descriptor> write;  // by the device
  };

  [[nodiscard]] std::uint64_t ReadCommon(std::size_t offset, std::size_t size);
  void WriteCommon(std::size_t offset, std::size_t size, std::uint64_t value);
  [[nodiscard]] std::uint64_t ReadDevice(std::size_t offset, std::size_t size) const;
  void WriteStatus(std::uint8_t value);
  void WriteQueue(std::size_t offset, std::uint32_t value);
  void Notify(std::size_t offset, std::size_t size, std::uint64_t value);
  void ResetDevice();
  [[nodiscard]] bool Running() const { return (status_ & Status::kDriverOk) != 0; }
  [[nodiscard]] VirtQueue& selected() { return queues_[select_]; }

  void WorkOn(std::uint16_t number);
  // A driver or an IOMMU that lets the device down: it stops.
  void Break(std::string why);
  [[nodiscard]] bool FetchChain(const VirtQueue& queue, std::uint16_t first, Chain& chain);
  // The status; none if the device broke, or was reset.
  [[nodiscard]] std::optional<std::uint8_t> Do(const Chain& chain, bool failing,
                                               std::uint32_t& written);
  [[nodiscard]] bool Gather(const std::vector<Descriptor>& parts, std::vector<std::byte>& data);
  [[nodiscard]] bool Scatter(const std::vector<Descriptor>& parts, std::span<const std::byte> data);

  VirtioFlavour flavour_;
  ModelIdentity identity_;
  std::uint32_t device_select_ = 0;
  std::uint32_t driver_select_ = 0;
  std::uint64_t agreed_ = 0;
  std::uint8_t status_ = 0;
  std::uint16_t select_ = 0;
  std::uint16_t config_vector_ = Common::kNoVector;
  std::array<VirtQueue, 2> queues_{};
  std::map<std::uint64_t, std::vector<std::byte>> disk_;
  std::set<std::uint64_t> touched_;
  std::uint64_t epoch_ = 0;  // resets so far: what was begun before one is not ended after it
};

}  // namespace carryover::virtio
