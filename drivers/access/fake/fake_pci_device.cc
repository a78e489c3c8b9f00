// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/fake/fake_pci_device.h"

#include <fmt/format.h>
#include <linux/pci_regs.h>
#include <sys/eventfd.h>

namespace carryover {

FakePciDevice::FakePciDevice(PciId id, std::map<InterruptKind, unsigned> vectors)
    : id_(id), vectors_(std::move(vectors)) {
  config_[PCI_VENDOR_ID] = static_cast<std::uint8_t>(id.vendor);
  config_[PCI_VENDOR_ID + 1] = static_cast<std::uint8_t>(id.vendor >> 8);
  config_[PCI_DEVICE_ID] = static_cast<std::uint8_t>(id.device);
  config_[PCI_DEVICE_ID + 1] = static_cast<std::uint8_t>(id.device >> 8);
  config_[PCI_COMMAND] = PCI_COMMAND_MEMORY;
}

Result<Mmio*> FakePciDevice::Bar(unsigned index) {
  Mmio* const model = BarModel(index);
  if (model == nullptr) return Fail(ENODEV, fmt::format("no BAR {}", index));
  return model;
}

Result<std::uint32_t> FakePciDevice::ReadConfig(std::size_t offset, std::size_t size) {
  if (size > 4 || offset + size > config_.size()) return Fail(EINVAL, "config access");
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < size; ++i) {
    value |= static_cast<std::uint32_t>(config_.at(offset + i)) << (8 * i);
  }
  return value;
}

Result<void> FakePciDevice::WriteConfig(std::size_t offset, std::size_t size, std::uint32_t value) {
  if (size > 4 || offset + size > config_.size()) return Fail(EINVAL, "config access");
  for (std::size_t i = 0; i < size; ++i) {
    config_.at(offset + i) = static_cast<std::uint8_t>(value >> (8 * i));
  }
  return {};
}

Result<void> FakePciDevice::SetBusMaster(bool on) {
  auto& command = config_[PCI_COMMAND];
  command =
      static_cast<std::uint8_t>(on ? command | PCI_COMMAND_MASTER : command & ~PCI_COMMAND_MASTER);
  return {};
}

bool FakePciDevice::bus_master() const { return (config_[PCI_COMMAND] & PCI_COMMAND_MASTER) != 0; }

Result<void> FakePciDevice::Reset() {
  ++resets_;
  config_[PCI_COMMAND] = PCI_COMMAND_MEMORY;
  OnReset();
  return {};
}

Result<unsigned> FakePciDevice::InterruptVectors(InterruptKind kind) {
  const auto found = vectors_.find(kind);
  return found == vectors_.end() ? 0 : found->second;
}

Result<void> FakePciDevice::EnableInterrupts(InterruptKind kind, std::span<const int> event_fds) {
  const auto found = vectors_.find(kind);
  if (found == vectors_.end() || event_fds.size() > found->second) {
    return Fail(EINVAL, fmt::format("no {} vectors of this kind", event_fds.size()));
  }
  enabled_[kind].assign(event_fds.begin(), event_fds.end());
  return {};
}

Result<void> FakePciDevice::DisableInterrupts(InterruptKind kind) {
  enabled_.erase(kind);
  if (kind == InterruptKind::kMsix) pending_.clear();
  return {};
}

Result<void> FakePciDevice::MaskMsix(unsigned vector) { return UnmaskMsix(vector, -1); }

Result<void> FakePciDevice::UnmaskMsix(unsigned vector, int event_fd) {
  const auto found = enabled_.find(InterruptKind::kMsix);
  if (found == enabled_.end() || vector >= found->second.size()) {
    return Fail(EINVAL, fmt::format("vector {} is not enabled", vector));
  }
  found->second[vector] = event_fd;
  if (event_fd >= 0 && pending_.erase(vector) != 0) Raise(InterruptKind::kMsix, vector);
  return {};
}

bool FakePciDevice::DmaRead(Iova iova, std::span<std::byte> to) {
  return bus_master() && iommu_.DeviceRead(iova, to);
}

bool FakePciDevice::DmaWrite(Iova iova, std::span<const std::byte> from) {
  return bus_master() && iommu_.DeviceWrite(iova, from);
}

void FakePciDevice::Raise(InterruptKind kind, unsigned vector) {
  const auto found = enabled_.find(kind);
  if (found == enabled_.end() || vector >= found->second.size()) return;
  if (kind != InterruptKind::kIntx && !bus_master()) return;
  const int event_fd = found->second[vector];
  if (event_fd < 0) {
    pending_.insert(vector);
    return;
  }
  (void)eventfd_write(event_fd, 1);
}

}  // namespace carryover
