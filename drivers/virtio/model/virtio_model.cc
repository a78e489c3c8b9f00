// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/virtio/model/virtio_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace carryover::virtio {
namespace {

constexpr unsigned kBar = 4;
constexpr std::size_t kCommonAt = 0x0000;
constexpr std::size_t kIsrAt = 0x1000;
constexpr std::size_t kDeviceAt = 0x2000;
constexpr std::size_t kNotifyAt = 0x3000;
constexpr std::uint32_t kSector = BlockConfig::kSector;
constexpr unsigned kVectors = 3;

std::vector<std::uint8_t> CapabilityOf(std::uint8_t type, std::size_t offset, std::uint32_t size,
                                       std::uint32_t multiplier) {
  std::vector<std::uint8_t> bytes(type == Capability::kNotify ? 20 : 16);
  const auto put = [&bytes](std::size_t at, std::uint32_t value) {
    for (std::size_t i = 0; i < 4; ++i) bytes[at + i] = static_cast<std::uint8_t>(value >> (8 * i));
  };
  bytes[0] = 0x09;
  bytes[Capability::kLength] = static_cast<std::uint8_t>(bytes.size());
  bytes[Capability::kType] = type;
  bytes[Capability::kBar] = kBar;
  put(Capability::kOffset, static_cast<std::uint32_t>(offset));
  put(Capability::kSize, size);
  if (type == Capability::kNotify) put(Capability::kNotifyMultiplier, multiplier);
  return bytes;
}

}  // namespace

ModelIdentity VirtioModel::Identity(const VirtioFlavour& flavour) {
  return {.id = {.vendor = 0x1af4, .device = 0x1042},
          .class_code = 0x010000,
          .revision = 1,
          .subsystem = {.vendor = 0x1af4, .device = 0x1100},
          .bars = {{.index = 1, .size = 4096}, {.index = kBar, .size = 16384, .wide = true}},
          .msix_vectors = kVectors,
          .msix_bar = 1,
          .capabilities = {
              CapabilityOf(Capability::kCommon, kCommonAt, Common::kLength, 0),
              CapabilityOf(Capability::kIsr, kIsrAt, 4, 0),
              CapabilityOf(Capability::kDevice, kDeviceAt, 64, 0),
              CapabilityOf(Capability::kNotify, kNotifyAt, 4096, flavour.notify_multiplier)}};
}

void VirtioModel::ResetDevice() {
  ++epoch_;
  device_select_ = driver_select_ = 0;
  agreed_ = 0;
  status_ = 0;
  select_ = 0;
  config_vector_ = Common::kNoVector;
  queues_ = {};
  for (VirtQueue& queue : queues_) queue.size = flavour_.queue_size;
}

std::uint64_t VirtioModel::Read(unsigned bar, std::size_t offset, std::size_t size) {
  if (bar == kBar && offset < Common::kLength) return ReadCommon(offset, size);
  if (bar == kBar && offset >= kDeviceAt && offset + size <= kDeviceAt + 64) {
    return ReadDevice(offset - kDeviceAt, size);
  }
  Violation(fmt::format("read of {:#x} in BAR {}", offset, bar));
  return 0;
}

std::uint64_t VirtioModel::ReadCommon(std::size_t offset, std::size_t size) {
  const VirtQueue& queue = selected();
  const auto half = [&](std::size_t field, std::uint64_t value) {
    return static_cast<std::uint32_t>(offset == field ? value : value >> 32);
  };
  std::size_t own = 2;
  std::uint64_t value = 0;
  switch (offset) {
    case Common::kDeviceFeatureSelect:
      own = 4, value = device_select_;
      break;
    case Common::kDeviceFeature: {
      std::uint64_t offered = flavour_.features;
      if (flavour_.block_size != kSector) offered |= Feature::kBlockSize;
      if (flavour_.size_max != 0) offered |= Feature::kSizeMax;
      own = 4, value = device_select_ < 2 ? (offered >> (32 * device_select_)) & 0xffff'ffff : 0;
      break;
    }
    case Common::kConfigVector:
      value = config_vector_;
      break;
    case Common::kNumQueues:
      value = (flavour_.features & Feature::kMultiQueue) != 0 ? 2 : 1;
      break;
    case Common::kStatus:
      own = 1, value = status_;
      break;
    case Common::kGeneration:
      own = 1, value = 0;
      break;
    case Common::kQueueSelect:
      value = select_;
      break;
    case Common::kQueueSize:
      value = queue.size != 0 ? queue.size : flavour_.queue_size;
      break;
    case Common::kQueueVector:
      value = queue.vector;
      break;
    case Common::kQueueEnable:
      value = queue.enabled ? 1 : 0;
      break;
    case Common::kQueueNotifyOff:
      value = select_;
      break;
    case Common::kQueueDesc:
    case Common::kQueueDesc + 4:
      own = 4, value = half(Common::kQueueDesc, queue.descriptors);
      break;
    case Common::kQueueDriver:
    case Common::kQueueDriver + 4:
      own = 4, value = half(Common::kQueueDriver, queue.available);
      break;
    case Common::kQueueDevice:
    case Common::kQueueDevice + 4:
      own = 4, value = half(Common::kQueueDevice, queue.used);
      break;
    default:
      own = 0;
  }
  if (size != own) Violation(fmt::format("read of {} bytes at {:#x}", size, offset));
  return value;
}

std::uint64_t VirtioModel::ReadDevice(std::size_t offset, std::size_t size) const {
  std::array<std::byte, 64> config{};
  const auto put = [&config](std::size_t at, auto value) {
    std::memcpy(config.data() + at, &value, sizeof(value));
  };
  put(BlockConfig::kCapacity, kSectors);
  put(BlockConfig::kSizeMax, flavour_.size_max);
  put(BlockConfig::kSegMax, std::uint32_t{126});
  put(BlockConfig::kBlockSize, flavour_.block_size);
  put(BlockConfig::kNumQueues, std::uint16_t{2});
  std::uint64_t value = 0;
  std::memcpy(&value, config.data() + offset, size);
  return value;
}

void VirtioModel::Write(unsigned bar, std::size_t offset, std::size_t size, std::uint64_t value) {
  if (bar == kBar && offset < Common::kLength) return WriteCommon(offset, size, value);
  if (bar == kBar && offset >= kNotifyAt) return Notify(offset - kNotifyAt, size, value);
  Violation(fmt::format("write of {:#x} in BAR {}", offset, bar));
}

void VirtioModel::WriteCommon(std::size_t offset, std::size_t size, std::uint64_t value) {
  const auto word = static_cast<std::uint32_t>(value);
  const auto is = [&](std::size_t field, std::size_t own) {
    return offset == field && size == own;
  };
  const bool negotiating = (status_ & Status::kDriver) != 0 && (status_ & Status::kFeaturesOk) == 0;
  if (is(Common::kStatus, 1)) return WriteStatus(static_cast<std::uint8_t>(value));
  if (is(Common::kDeviceFeatureSelect, 4)) {
    device_select_ = word;
  } else if (is(Common::kDriverFeatureSelect, 4)) {
    driver_select_ = word;
  } else if (is(Common::kDriverFeature, 4)) {
    if (!negotiating) Violation("features written outside of their negotiation");
    if (driver_select_ < 2) {
      const unsigned shift = 32 * driver_select_;
      agreed_ = (agreed_ & ~(std::uint64_t{0xffff'ffff} << shift)) | std::uint64_t{word} << shift;
    }
  } else if (is(Common::kConfigVector, 2)) {
    config_vector_ = static_cast<std::uint16_t>(word);
  } else if (is(Common::kQueueSelect, 2) && word < queues_.size()) {
    select_ = static_cast<std::uint16_t>(word);
  } else if ((offset >= Common::kQueueDesc && size == 4) ||
             (offset >= Common::kQueueSize && offset < Common::kQueueDesc && size == 2)) {
    WriteQueue(offset, word);
  } else {
    Violation(fmt::format("write of {} bytes at {:#x}: {:#x}", size, offset, value));
  }
}

void VirtioModel::WriteQueue(std::size_t offset, std::uint32_t value) {
  VirtQueue& queue = selected();
  if (Running() || queue.enabled || (status_ & Status::kFeaturesOk) == 0) {
    return Violation(fmt::format("queue {} set up with device_status {:#x}", select_, status_));
  }
  const auto put = [&](std::size_t field, std::uint64_t& address) {
    const bool low = offset == field;
    address = low ? (address & ~std::uint64_t{0xffff'ffff}) | value
                  : (address & 0xffff'ffff) | std::uint64_t{value} << 32;
  };
  switch (offset) {
    case Common::kQueueSize:
      if (!std::has_single_bit(value) || value > flavour_.queue_size) {
        return Violation(fmt::format("queue_size {}", value));
      }
      queue.size = static_cast<std::uint16_t>(value);
      return;
    case Common::kQueueVector:
      queue.vector = static_cast<std::uint16_t>(value < kVectors ? value : Common::kNoVector);
      return;
    case Common::kQueueEnable:
      // 2.7
      if (value != 1 || queue.descriptors % 16 != 0 || queue.available % 2 != 0 ||
          queue.used % 4 != 0 || queue.descriptors == 0) {
        return Violation(fmt::format("queue {} enabled at {:#x}", select_, queue.descriptors));
      }
      queue.enabled = true;
      return;
    case Common::kQueueDesc:
    case Common::kQueueDesc + 4:
      return put(Common::kQueueDesc, queue.descriptors);
    case Common::kQueueDriver:
    case Common::kQueueDriver + 4:
      return put(Common::kQueueDriver, queue.available);
    case Common::kQueueDevice:
    case Common::kQueueDevice + 4:
      return put(Common::kQueueDevice, queue.used);
    default:
      Violation(fmt::format("write of {:#x}", offset));
  }
}

// 2.1, 3.1.1
void VirtioModel::WriteStatus(std::uint8_t value) {
  if (value == 0) {
    CountReset();
    const std::uint8_t before = status_;
    ResetDevice();
    // It does nothing any more, and never says so.
    if (reset_stuck()) status_ = before == 0 ? Status::kAcknowledge : before;
    return;
  }
  if ((status_ & ~value) != 0) Violation("a bit of device_status is cleared without a reset");
  const auto sets = [&](std::uint8_t bit) { return (value & bit) != 0 && (status_ & bit) == 0; };
  if (sets(Status::kDriver) && (status_ & Status::kAcknowledge) == 0) {
    Violation("DRIVER before ACKNOWLEDGE");
  }
  if (sets(Status::kDriverOk) && (status_ & Status::kFeaturesOk) == 0) {
    Violation("DRIVER_OK before FEATURES_OK");
  }
  if (sets(Status::kFeaturesOk) && (agreed_ & Feature::kVersion1) == 0) {
    value = static_cast<std::uint8_t>(value & ~Status::kFeaturesOk);
  }
  status_ = value;
}

void VirtioModel::Notify(std::size_t offset, std::size_t size, std::uint64_t value) {
  const std::size_t number = value;
  if (size != 2 || number >= queues_.size() || offset != number * flavour_.notify_multiplier) {
    return Violation(fmt::format("notification {} at {:#x}", value, offset));
  }
  if (!Running() || !queues_[number].enabled) {
    // A device that broke stays silent.
    if ((status_ & Status::kNeedsReset) == 0) Violation("notified before DRIVER_OK");
    return;
  }
  queues_[number].notified = true;
  if (number == 0) CountDoorbell();
}

void VirtioModel::Work() {
  for (const std::uint16_t number : std::array<std::uint16_t, 2>{0, 1}) WorkOn(number);
}

void VirtioModel::Break(std::string why) {
  Violation(std::move(why));
  status_ |= Status::kNeedsReset;
}

void VirtioModel::WorkOn(std::uint16_t number) {
  VirtQueue& queue = queues_[number];
  const std::uint64_t epoch = epoch_;
  const auto alive = [&] {
    return epoch == epoch_ && Running() && (status_ & Status::kNeedsReset) == 0;
  };
  while (alive() && queue.notified) {
    std::uint16_t index = 0;
    const bool read = host().DmaRead(queue.available + 2, BytesOf(index));
    if (epoch != epoch_) return;
    if (!read) {
      status_ |= Status::kNeedsReset;
      return;
    }
    if (index == queue.seen) {
      queue.notified = false;
      return;
    }
    if (number == 0 && !TakeUnit()) return;
    const bool failing = number == 0 && TakeFailure();
    std::uint16_t first = 0;
    const std::uint64_t entry = queue.available + 4 + std::uint64_t{2} * (queue.seen % queue.size);
    Chain chain;
    if (!host().DmaRead(entry, BytesOf(first)) || !alive() || !FetchChain(queue, first, chain)) {
      if (epoch == epoch_) status_ |= Status::kNeedsReset;
      return;
    }
    ++queue.seen;
    std::uint32_t written = 0;
    const auto status = Do(chain, failing, written);
    if (!status) {
      if (epoch == epoch_) status_ |= Status::kNeedsReset;
      return;
    }
    std::uint8_t byte = *status;
    UsedElement used{.id = first, .length = written + 1};
    const std::uint64_t slot = queue.used + 4 + sizeof(used) * (queue.done % queue.size);
    auto done = static_cast<std::uint16_t>(queue.done + 1);
    std::uint16_t flags = 0;
    const bool told = host().DmaWrite(chain.write.back().address, BytesOf(byte)) && alive() &&
                      host().DmaWrite(slot, BytesOf(used)) && alive() &&
                      host().DmaWrite(queue.used + 2, BytesOf(done)) && alive() &&
                      host().DmaRead(queue.available, BytesOf(flags));
    if (epoch != epoch_) return;
    queue.done = done;
    if (!told) {
      status_ |= Status::kNeedsReset;
      return;
    }
    if (queue.vector != Common::kNoVector && (flags & Available<1>::kNoInterrupt) == 0) {
      host().Raise(InterruptKind::kMsix, queue.vector);
    }
  }
}

bool VirtioModel::FetchChain(const VirtQueue& queue, std::uint16_t first, Chain& chain) {
  std::uint16_t next = first;
  for (std::uint16_t seen = 0;; ++seen) {
    if (next >= queue.size || seen >= queue.size) {
      Break(fmt::format("descriptor {} in a chain of {}", next, seen));
      return false;
    }
    Descriptor descriptor;
    if (!host().DmaRead(queue.descriptors + next * sizeof(descriptor), BytesOf(descriptor))) {
      return false;
    }
    const bool write = (descriptor.flags & Descriptor::kWrite) != 0;
    if (!write && !chain.write.empty()) {
      Break("a descriptor to be read behind one to be written");
      return false;
    }
    if (descriptor.length == 0) {
      Break("a descriptor of no bytes");
      return false;
    }
    (write ? chain.write : chain.read).push_back(descriptor);
    if ((descriptor.flags & Descriptor::kNext) == 0) break;
    next = descriptor.next;
  }
  if (chain.write.empty() || chain.write.back().length != 1 || chain.read.empty() ||
      chain.read.front().length != sizeof(RequestHeader)) {
    Break("a request without its header or its status byte");
    return false;
  }
  return true;
}

bool VirtioModel::Gather(const std::vector<Descriptor>& parts, std::vector<std::byte>& data) {
  for (const Descriptor& part : parts) {
    const std::size_t at = data.size();
    data.resize(at + part.length);
    if (!host().DmaRead(part.address, std::span(data).subspan(at))) return false;
  }
  return true;
}

bool VirtioModel::Scatter(const std::vector<Descriptor>& parts, std::span<const std::byte> data) {
  for (const Descriptor& part : parts) {
    if (!host().DmaWrite(part.address, data.first(part.length))) return false;
    data = data.subspan(part.length);
  }
  return true;
}

std::optional<std::uint8_t> VirtioModel::Do(const Chain& chain, bool failing,
                                            std::uint32_t& written) {
  const std::uint64_t epoch = epoch_;
  RequestHeader header;
  if (!host().DmaRead(chain.read.front().address, BytesOf(header)) || epoch != epoch_) {
    return std::nullopt;
  }
  if (header.reserved != 0) Violation("the request's reserved field is set");
  if (failing) return kIoError;
  const std::vector<Descriptor> out(chain.read.begin() + 1, chain.read.end());
  const std::vector<Descriptor> in(chain.write.begin(), chain.write.end() - 1);
  std::uint64_t bytes = 0;
  for (const Descriptor& part : header.type == RequestHeader::kOut ? out : in) {
    if (flavour_.size_max != 0 && part.length > flavour_.size_max) {
      Violation(fmt::format("a segment of {} bytes", part.length));
    }
    bytes += part.length;
  }
  if (header.type == RequestHeader::kGetId) {
    if (bytes != RequestHeader::kIdBytes) return kIoError;
    written = static_cast<std::uint32_t>(bytes);
    const std::vector<std::byte> id(bytes, std::byte{'c'});
    if (!Scatter(in, id) || epoch != epoch_) return std::nullopt;
    return kOk;
  }
  if (header.type != RequestHeader::kIn && header.type != RequestHeader::kOut) return kUnsupported;
  if (bytes == 0 || bytes % flavour_.block_size != 0 ||
      header.sector % (flavour_.block_size / kSector) != 0) {
    Violation(fmt::format("a request of {} bytes from sector {}", bytes, header.sector));
    return kIoError;
  }
  const std::uint64_t count = bytes / kSector;
  if (header.sector >= kSectors || count > kSectors - header.sector) return kIoError;
  for (std::uint64_t i = 0; i < count; ++i) touched_.insert(header.sector + i);
  std::vector<std::byte> data;
  if (header.type == RequestHeader::kOut) {
    if (!Gather(out, data) || epoch != epoch_) return std::nullopt;
    for (std::uint64_t i = 0; i < count; ++i) {
      const auto begin = data.begin() + static_cast<std::ptrdiff_t>(i * kSector);
      disk_[header.sector + i].assign(begin, begin + kSector);
    }
    return kOk;
  }
  data.resize(bytes);
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto found = disk_.find(header.sector + i);
    if (found == disk_.end()) continue;
    std::ranges::copy(found->second, data.begin() + static_cast<std::ptrdiff_t>(i * kSector));
  }
  written = static_cast<std::uint32_t>(bytes);
  if (!Scatter(in, data) || epoch != epoch_) return std::nullopt;
  return kOk;
}

}  // namespace carryover::virtio
