// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/model/device_model.h"

#include <linux/pci_regs.h>

#include <utility>

namespace carryover {
namespace {

constexpr std::chrono::seconds kCatchUp{1};

void Put(std::vector<std::uint8_t>& config, std::size_t offset, std::uint32_t value,
         std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) {
    config.at(offset + i) = static_cast<std::uint8_t>(value >> (8 * i));
  }
}

}  // namespace

std::vector<std::uint8_t> InitialConfig(const ModelIdentity& identity) {
  std::vector<std::uint8_t> config(256);
  Put(config, PCI_VENDOR_ID, identity.id.vendor, 2);
  Put(config, PCI_DEVICE_ID, identity.id.device, 2);
  Put(config, PCI_CLASS_REVISION, identity.class_code << 8 | identity.revision, 4);
  Put(config, PCI_SUBSYSTEM_VENDOR_ID, identity.subsystem.vendor, 2);
  Put(config, PCI_SUBSYSTEM_ID, identity.subsystem.device, 2);
  for (const ModelBar& bar : identity.bars) {
    Put(config, PCI_BASE_ADDRESS_0 + 4 * bar.index,
        bar.wide ? PCI_BASE_ADDRESS_MEM_TYPE_64 : PCI_BASE_ADDRESS_MEM_TYPE_32, 4);
  }
  if (identity.intx) Put(config, PCI_INTERRUPT_PIN, 1, 1);
  std::size_t link = PCI_CAPABILITY_LIST;
  std::size_t next = 0x40;
  for (const auto& capability : identity.capabilities) {
    Put(config, link, static_cast<std::uint32_t>(next), 1);
    for (std::size_t i = 0; i < capability.size(); ++i) Put(config, next + i, capability[i], 1);
    link = next + PCI_CAP_LIST_NEXT;
    Put(config, link, 0, 1);
    next = (next + capability.size() + 3) / 4 * 4;
  }
  if (!identity.capabilities.empty()) Put(config, PCI_STATUS, PCI_STATUS_CAP_LIST, 2);
  return config;
}

void DeviceModel::SetHung(bool hung) {
  hung_ = hung;
  let_through_ = 0;
  Work();
}

void DeviceModel::LetThrough(std::size_t units) {
  let_through_ = units;
  Work();
}

void DeviceModel::Spend(std::size_t bytes) {
  if (bandwidth_ == 0) return;
  const std::chrono::duration<double> time(static_cast<double>(bytes) /
                                           static_cast<double>(bandwidth_));
  // Late as it may be called, it catches up; not with what it did not have to do.
  const Clock::time_point now = Clock::now();
  const Clock::time_point begin = now - busy_until_ < kCatchUp ? busy_until_ : now;
  busy_until_ = begin + std::chrono::duration_cast<Clock::duration>(time);
}

std::optional<DeviceModel::Clock::time_point> DeviceModel::BusyUntil() const {
  if (bandwidth_ == 0 || (hung_ && let_through_ == 0)) return std::nullopt;
  return busy_until_;
}

bool DeviceModel::TakeUnit() {
  if (bandwidth_ != 0 && Clock::now() < busy_until_) return false;
  if (!hung_) return true;
  if (let_through_ == 0) return false;
  --let_through_;
  return true;
}

bool DeviceModel::TakeFailure() { return std::exchange(fail_next_, false); }

}  // namespace carryover
