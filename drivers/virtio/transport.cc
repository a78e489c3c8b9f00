// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/virtio/transport.h"

#include <fmt/format.h>
#include <linux/pci_regs.h>

#include <map>

#include "drivers/contract/poll.h"

namespace carryover::virtio {
namespace {

struct Structure {
  Mmio* bar = nullptr;
  std::size_t offset = 0;
  std::size_t size = 0;
  std::uint32_t multiplier = 0;
};

constexpr std::size_t kConfigSize = 256;

Result<Structure> ReadStructure(PciDevice& device, std::size_t at) {
  const auto bar_index = device.ReadConfig(at + Capability::kBar, 1);
  const auto offset = device.ReadConfig(at + Capability::kOffset, 4);
  const auto size = device.ReadConfig(at + Capability::kSize, 4);
  if (!bar_index || !offset || !size) return Fail(EIO, "virtio: configuration space");
  const auto bar = device.Bar(*bar_index);
  if (!bar) return std::unexpected(bar.error());
  if (*offset > (*bar)->size() || *size > (*bar)->size() - *offset) {
    return Fail(EPROTO, fmt::format("virtio: the capability at {:#x} names {} bytes at {:#x} of "
                                    "BAR {}, which has {}",
                                    at, *size, *offset, *bar_index, (*bar)->size()));
  }
  Structure structure{.bar = *bar, .offset = *offset, .size = *size};
  const auto length = device.ReadConfig(at + Capability::kLength, 1);
  if (length && *length >= Capability::kNotifyMultiplier + 4) {
    const auto multiplier = device.ReadConfig(at + Capability::kNotifyMultiplier, 4);
    if (multiplier) structure.multiplier = *multiplier;
  }
  return structure;
}

// The first structure of each type is what the device prefers (4.1.4.1).
Result<std::map<std::uint32_t, Structure>> ReadStructures(PciDevice& device) {
  std::map<std::uint32_t, Structure> structures;
  auto at = device.ReadConfig(PCI_CAPABILITY_LIST, 1);
  // A list that does not end has more entries than fit.
  for (std::size_t seen = 0; at && *at != 0; ++seen) {
    if (seen > kConfigSize / 4 || *at % 4 != 0 || *at < 0x40 || *at + 20 > kConfigSize) {
      return Fail(EPROTO, fmt::format("virtio: the list of capabilities is broken at {:#x}", *at));
    }
    const auto id = device.ReadConfig(*at, 1);
    const auto type = device.ReadConfig(*at + Capability::kType, 1);
    if (id && type && *id == PCI_CAP_ID_VNDR && *type >= Capability::kCommon &&
        *type <= Capability::kDevice && !structures.contains(*type)) {
      auto structure = ReadStructure(device, *at);
      if (!structure) return std::unexpected(structure.error());
      structures[*type] = *structure;
    }
    at = device.ReadConfig(*at + PCI_CAP_LIST_NEXT, 1);
  }
  if (!at) return std::unexpected(at.error());
  return structures;
}

}  // namespace

Result<Transport> Transport::Find(PciDevice& device) {
  auto structures = ReadStructures(device);
  if (!structures) return std::unexpected(structures.error());
  for (const auto& [type, least] : {std::pair{Capability::kCommon, Common::kLength},
                                    {Capability::kNotify, std::size_t{2}},
                                    {Capability::kDevice, BlockConfig::kLength}}) {
    if (structures->contains(type) && structures->at(type).size >= least) continue;
    return Fail(EPROTO, fmt::format("virtio: the device has no structure of type {} of {} bytes: "
                                    "is it a legacy device?",
                                    type, least));
  }
  Transport transport;
  const Structure& common = structures->at(Capability::kCommon);
  transport.common_ = common.bar;
  transport.common_at_ = common.offset;
  const Structure& notify = structures->at(Capability::kNotify);
  transport.notify_ = notify.bar;
  transport.notify_at_ = notify.offset;
  transport.notify_size_ = notify.size;
  transport.notify_multiplier_ = notify.multiplier;
  const Structure& device_config = structures->at(Capability::kDevice);
  transport.device_ = device_config.bar;
  transport.device_at_ = device_config.offset;
  return transport;
}

Result<void> Transport::CheckPresent(std::string_view during) {
  const std::uint8_t now = status();
  if (now == 0xff) {
    return Fail(
        ENODEV,
        fmt::format("virtio: {}: device_status reads as all ones: the device is gone", during));
  }
  if ((now & Status::kNeedsReset) == 0) return {};
  return Fail(EIO, fmt::format("virtio: {}: the device has failed (DEVICE_NEEDS_RESET)", during));
}

Result<void> Transport::Reset(Deadline deadline) {
  if (status() == 0xff) return CheckPresent("reset");
  common_->Write8(common_at_ + Common::kStatus, 0);
  while (true) {
    const bool last = deadline.Passed();
    const std::uint8_t now = status();
    if (now == 0) return {};
    if (now == 0xff) return CheckPresent("reset");
    if (last) {
      return Fail(ETIMEDOUT,
                  fmt::format("virtio: waiting for the reset (device_status {:#x})", now));
    }
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

void Transport::SetStatus(std::uint8_t bits) {
  common_->Write8(common_at_ + Common::kStatus, static_cast<std::uint8_t>(status() | bits));
}

// 3.1.1
Result<std::uint64_t> Transport::Agree(std::uint64_t needed, std::uint64_t wanted,
                                       std::string_view why) {
  SetStatus(Status::kAcknowledge);
  SetStatus(Status::kDriver);
  std::uint64_t offered = 0;
  for (std::uint32_t word = 0; word < 2; ++word) {
    common_->Write32(common_at_ + Common::kDeviceFeatureSelect, word);
    offered |= std::uint64_t{common_->Read32(common_at_ + Common::kDeviceFeature)} << (32 * word);
  }
  if ((offered & needed) != needed) {
    return Fail(EINVAL,
                fmt::format("virtio: the device offers features {:#x}, {:#x} are needed: {}",
                            offered, needed, why));
  }
  const std::uint64_t agreed = offered & (needed | wanted);
  for (std::uint32_t word = 0; word < 2; ++word) {
    common_->Write32(common_at_ + Common::kDriverFeatureSelect, word);
    common_->Write32(common_at_ + Common::kDriverFeature,
                     static_cast<std::uint32_t>(agreed >> (32 * word)));
  }
  SetStatus(Status::kFeaturesOk);
  if ((status() & Status::kFeaturesOk) != 0) return agreed;
  return Fail(EIO, fmt::format("virtio: the device does not accept features {:#x}", agreed));
}

std::uint16_t Transport::QueueSizeOf(std::uint16_t queue) {
  if (queue >= Read16(Common::kNumQueues)) return 0;
  Select(queue);
  return Read16(Common::kQueueSize);
}

Result<void> Transport::SetUpQueue(std::uint16_t queue, const QueuePlace& place,
                                   std::uint16_t vector) {
  if (QueueSizeOf(queue) < place.size) {
    return Fail(EINVAL, fmt::format("virtio: queue {} of {} descriptors: {} are needed", queue,
                                    QueueSizeOf(queue), place.size));
  }
  const std::size_t offset = std::size_t{Read16(Common::kQueueNotifyOff)} * notify_multiplier_;
  if (offset + 2 > notify_size_) {
    return Fail(EPROTO, fmt::format("virtio: queue {} is notified at {:#x}, of {} bytes", queue,
                                    offset, notify_size_));
  }
  notify_offsets_.at(queue) = offset;
  common_->Write16(common_at_ + Common::kQueueSize, place.size);
  common_->Write16(common_at_ + Common::kQueueVector, vector);
  // 4.1.5.1.2: the device says so if it has no room for the vector.
  if (Read16(Common::kQueueVector) != vector) {
    return Fail(EIO, fmt::format("virtio: queue {} does not take vector {}", queue, vector));
  }
  common_->Write64LowFirst(common_at_ + Common::kQueueDesc, place.descriptors);
  common_->Write64LowFirst(common_at_ + Common::kQueueDriver, place.available);
  common_->Write64LowFirst(common_at_ + Common::kQueueDevice, place.used);
  common_->Write16(common_at_ + Common::kQueueEnable, 1);
  return {};
}

Iova Transport::ReadAddress(std::size_t offset) {
  const Iova low = common_->Read32(common_at_ + offset);
  return low | Iova{common_->Read32(common_at_ + offset + 4)} << 32;
}

QueuePlace Transport::PlaceOf(std::uint16_t queue) {
  const std::uint16_t size = QueueSizeOf(queue);
  if (size == 0 || Read16(Common::kQueueEnable) == 0) return {};
  const std::size_t offset = std::size_t{Read16(Common::kQueueNotifyOff)} * notify_multiplier_;
  if (offset + 2 > notify_size_) return {};
  notify_offsets_.at(queue) = offset;
  return {.descriptors = ReadAddress(Common::kQueueDesc),
          .available = ReadAddress(Common::kQueueDriver),
          .used = ReadAddress(Common::kQueueDevice),
          .size = size};
}

void Transport::Run() {
  common_->Write16(common_at_ + Common::kConfigVector, Common::kNoVector);
  SetStatus(Status::kDriverOk);
}

void Transport::Notify(std::uint16_t queue) {
  notify_->Write16(notify_at_ + notify_offsets_.at(queue), queue);
}

std::uint64_t Transport::Config64(std::size_t offset) {
  // 2.5.1: it changed meanwhile if the generation did.
  while (true) {
    const std::uint8_t before = common_->Read8(common_at_ + Common::kGeneration);
    const std::uint64_t value = Config32(offset) | std::uint64_t{Config32(offset + 4)} << 32;
    if (common_->Read8(common_at_ + Common::kGeneration) == before) return value;
  }
}

}  // namespace carryover::virtio
