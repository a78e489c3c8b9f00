// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/binding.h"

#include <fmt/format.h>

namespace carryover {
namespace {

Result<void> Unbind(const Sysfs& sysfs, const PciAddress& address) {
  if (!sysfs.Driver(address)) return {};
  auto unbound =
      Sysfs::Write(sysfs.FunctionPath(address) / "driver/unbind", address.ToString());
  // It may have gone by itself in between.
  if (!unbound && !sysfs.Driver(address)) return {};
  return unbound;
}

// sysfs clears driver_override when a lone newline is written (drivers/base/driver.c).
Result<void> SetOverride(const Sysfs& sysfs, const PciAddress& address, std::string_view driver) {
  return Sysfs::Write(sysfs.FunctionPath(address) / "driver_override",
                      driver.empty() ? std::string_view("\n") : driver);
}

Result<void> ExpectDriver(const Sysfs& sysfs, const PciAddress& address,
                          const std::optional<std::string>& wanted) {
  const auto bound = sysfs.Driver(address);
  if (bound == wanted) return {};
  return Fail(EBUSY, fmt::format("{} should be bound to {}, and is to {}", address.ToString(),
                                 wanted.value_or("no driver"), bound.value_or("no driver")));
}

Result<void> Bind(const Sysfs& sysfs, const PciAddress& address, const std::string& driver) {
  const auto path = sysfs.root() / "bus/pci/drivers" / driver;
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    return Fail(ENOENT, fmt::format("this kernel has no driver {}", driver));
  }
  if (auto bound = Sysfs::Write(path / "bind", address.ToString()); !bound) {
    // A probe that ran by itself in between has the same end.
    if (sysfs.Driver(address) != driver) return bound;
  }
  return ExpectDriver(sysfs, address, driver);
}

}  // namespace

Result<BindingRecord> RecordBinding(const Sysfs& sysfs, const PciAddress& address,
                                    const PciId& expected) {
  auto id = sysfs.Id(address);
  if (!id) return std::unexpected(id.error());
  if (*id != expected) {
    return Fail(ENODEV, fmt::format("{} is {}, and {} was listed: correct the list of devices",
                                    address.ToString(), id->ToString(), expected.ToString()));
  }
  return BindingRecord{address, *id, sysfs.Driver(address), sysfs.DriverOverride(address)};
}

Result<void> BindTo(const Sysfs& sysfs, const PciAddress& address, std::string_view driver) {
  if (sysfs.Driver(address) == driver) return {};
  // The override first: no other driver can take the function in between.
  if (auto set = SetOverride(sysfs, address, driver); !set) return set;
  if (auto unbound = Unbind(sysfs, address); !unbound) return unbound;
  return Bind(sysfs, address, std::string(driver));
}

Result<void> RestoreBinding(const Sysfs& sysfs, const BindingRecord& record) {
  if (sysfs.Driver(record.address) != record.driver) {
    if (auto unbound = Unbind(sysfs, record.address); !unbound) return unbound;
    // Without an override that fits, bind(2) of the old driver is refused.
    if (auto set = SetOverride(sysfs, record.address, record.driver.value_or("")); !set) return set;
    if (record.driver) {
      if (auto bound = Bind(sysfs, record.address, *record.driver); !bound) return bound;
    }
  }
  if (auto set = SetOverride(sysfs, record.address, record.driver_override); !set) return set;
  return ExpectDriver(sysfs, record.address, record.driver);
}

Result<Binding> Binding::ToVfio(const Sysfs& sysfs, const PciAddress& address,
                                const PciId& expected,
                                const std::function<void(const BindingRecord&)>& before) {
  auto record = RecordBinding(sysfs, address, expected);
  if (!record) return std::unexpected(record.error());
  if (before) before(*record);
  Binding binding(sysfs, std::move(*record));  // puts back what a failed bind has changed
  if (auto bound = BindTo(sysfs, address, kVfioPci); !bound) return std::unexpected(bound.error());
  return binding;
}

Binding::Binding(Binding&& other) noexcept
    : sysfs_(std::move(other.sysfs_)), record_(std::exchange(other.record_, std::nullopt)) {}

Binding& Binding::operator=(Binding&& other) noexcept {
  if (this != &other) {
    (void)Restore();
    sysfs_ = std::move(other.sysfs_);
    record_ = std::exchange(other.record_, std::nullopt);
  }
  return *this;
}

Binding::~Binding() { (void)Restore(); }

Result<void> Binding::Restore() {
  if (!record_) return {};
  const BindingRecord record = *std::exchange(record_, std::nullopt);
  return RestoreBinding(sysfs_, record);
}

}  // namespace carryover
