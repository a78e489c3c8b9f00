// SPDX-License-Identifier: GPL-2.0-only
// Takes a PCI function from its driver, gives it to vfio-pci, and puts it back as it was.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "drivers/access/pci_id.h"
#include "drivers/access/result.h"
#include "drivers/access/sysfs.h"

namespace carryover {

// How a function was bound: all that is needed to put it back, also by another process.
struct BindingRecord {
  PciAddress address;
  PciId id;
  std::optional<std::string> driver;  // empty optional: none
  std::string driver_override;        // empty: not set

  friend bool operator==(const BindingRecord&, const BindingRecord&) = default;
};

inline constexpr std::string_view kVfioPci = "vfio-pci";

// What is bound now. Errors: ENODEV (no such function, or its id is not `expected`: said with both).
[[nodiscard]] Result<BindingRecord> RecordBinding(const Sysfs& sysfs, const PciAddress& address,
                                                  const PciId& expected);

// Binds the recorded function to `driver` by driver_override, and reads back that it is.
// Errors: ENOENT (the kernel has no such driver), EBUSY (another driver took it), write errors.
[[nodiscard]] Result<void> BindTo(const Sysfs& sysfs, const PciAddress& address,
                                  std::string_view driver);

// Puts everything back as recorded, and reads back that it is.
[[nodiscard]] Result<void> RestoreBinding(const Sysfs& sysfs, const BindingRecord& record);

// Holds a function at vfio-pci; the destructor puts it back.
class Binding {
 public:
  // `before` is called with the record before anything is changed (to journal it).
  [[nodiscard]] static Result<Binding> ToVfio(
      const Sysfs& sysfs, const PciAddress& address, const PciId& expected,
      const std::function<void(const BindingRecord&)>& before);

  Binding(Binding&& other) noexcept;
  Binding& operator=(Binding&& other) noexcept;
  Binding(const Binding&) = delete;
  Binding& operator=(const Binding&) = delete;
  ~Binding();

  [[nodiscard]] const BindingRecord& record() const { return *record_; }
  // Puts it back now. Afterwards the destructor does nothing.
  [[nodiscard]] Result<void> Restore();

 private:
  Binding(const Sysfs& sysfs, BindingRecord record) : sysfs_(sysfs), record_(std::move(record)) {}

  Sysfs sysfs_;
  std::optional<BindingRecord> record_;
};

}  // namespace carryover
