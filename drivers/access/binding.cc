// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/binding.h"

#include <fmt/format.h>

namespace carryover {
namespace {

Result<void> Unbind(const Sysfs& sysfs, const PciAddress& address, Deadline deadline) {
  if (!sysfs.Driver(address)) return {};
  auto unbound =
      sysfs.Write(sysfs.FunctionPath(address) / "driver/unbind", address.ToString(), deadline);
  // It may have gone by itself in between.
  if (!unbound && !sysfs.Driver(address)) return {};
  return unbound;
}

// A lone newline clears it (Documentation/ABI/testing/sysfs-bus-pci, driver_override).
Result<void> SetOverride(const Sysfs& sysfs, const PciAddress& address, std::string_view driver,
                         Deadline deadline) {
  if (sysfs.DriverOverride(address) == driver) return {};
  return sysfs.Write(sysfs.FunctionPath(address) / "driver_override",
                     driver.empty() ? std::string_view("\n") : driver, deadline);
}

Result<void> ExpectDriver(const Sysfs& sysfs, const PciAddress& address,
                          const std::optional<std::string>& wanted) {
  const auto bound = sysfs.Driver(address);
  if (bound == wanted) return {};
  return Fail(EBUSY, fmt::format("{} should be bound to {}, and is to {}", address.ToString(),
                                 wanted.value_or("no driver"), bound.value_or("no driver")));
}

Result<void> ExpectKnown(const Sysfs& sysfs, std::string_view driver) {
  std::error_code error;
  if (std::filesystem::exists(sysfs.root() / "bus/pci/drivers" / driver, error)) return {};
  return Fail(ENOENT, fmt::format("this kernel has no PCI driver {0}: load it (modprobe {0}) or "
                                  "build it in",
                                  driver));
}

Result<void> Bind(const Sysfs& sysfs, const PciAddress& address, const std::string& driver,
                  Deadline deadline) {
  auto bound =
      sysfs.Write(sysfs.root() / "bus/pci/drivers" / driver / "bind", address.ToString(), deadline);
  // A probe that ran by itself in between has the same end.
  if (!bound && !sysfs.Driver(address)) return bound;
  return ExpectDriver(sysfs, address, driver);
}

Result<void> RestoreDriver(const Sysfs& sysfs, const BindingRecord& record, Deadline deadline) {
  if (sysfs.Driver(record.address) == record.driver) return {};
  if (record.driver) {
    if (auto known = ExpectKnown(sysfs, *record.driver); !known) return known;
  }
  // The override before the unbind: no other driver can take the function in between. A driver that
  // is not named by an override that is set refuses it.
  const std::string wanted = record.driver.value_or("");
  if (auto set = SetOverride(sysfs, record.address, wanted, deadline); !set) return set;
  if (auto unbound = Unbind(sysfs, record.address, deadline); !unbound) return unbound;
  if (!record.driver) return ExpectDriver(sysfs, record.address, std::nullopt);
  return Bind(sysfs, record.address, *record.driver, deadline);
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

Result<void> BindTo(const Sysfs& sysfs, const PciAddress& address, std::string_view driver,
                    Deadline deadline) {
  if (sysfs.Driver(address) == driver) return {};
  if (auto known = ExpectKnown(sysfs, driver); !known) return known;
  // The override first: no other driver can take the function in between.
  if (auto set = SetOverride(sysfs, address, driver, deadline); !set) return set;
  if (auto unbound = Unbind(sysfs, address, deadline); !unbound) return unbound;
  return Bind(sysfs, address, std::string(driver), deadline);
}

Result<void> RestoreBinding(const Sysfs& sysfs, const BindingRecord& record, Deadline deadline) {
  if (auto same = RecordBinding(sysfs, record.address, record.id); !same) {
    return std::unexpected(same.error());
  }
  const auto restored = RestoreDriver(sysfs, record, deadline);
  const auto set = SetOverride(sysfs, record.address, record.driver_override, deadline);
  return restored ? set : restored;
}

Result<Binding> Binding::ToVfio(const Sysfs& sysfs, const PciAddress& address,
                                const PciId& expected,
                                const std::function<void(const BindingRecord&)>& before,
                                Deadline deadline) {
  auto record = RecordBinding(sysfs, address, expected);
  if (!record) return std::unexpected(record.error());
  if (before) before(*record);
  Binding binding(sysfs, std::move(*record));  // puts back what a failed bind has changed
  if (auto bound = BindTo(sysfs, address, kVfioPci, deadline); !bound) {
    if (bound.error().code != EINVAL) return std::unexpected(bound.error());
    return Fail(EINVAL, bound.error().message +
                            ": if this device is on vfio-pci's list of those with known errata, "
                            "boot with vfio_pci.disable_denylist=1");
  }
  return binding;
}

Binding::Binding(Binding&& other) noexcept
    : sysfs_(std::move(other.sysfs_)),
      record_(std::move(other.record_)),
      held_(std::exchange(other.held_, false)) {}

Binding& Binding::operator=(Binding&& other) noexcept {
  if (this != &other) {
    (void)Restore();
    sysfs_ = std::move(other.sysfs_);
    record_ = std::move(other.record_);
    held_ = std::exchange(other.held_, false);
  }
  return *this;
}

Binding::~Binding() { (void)Restore(); }

Result<void> Binding::Restore(Deadline deadline) {
  if (!held_) return {};
  auto restored = RestoreBinding(sysfs_, record_, deadline);
  if (restored) held_ = false;
  return restored;
}

}  // namespace carryover
