// SPDX-License-Identifier: GPL-2.0-only
// Takes a PCI function from its driver, gives it to vfio-pci, and puts it back as it was.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "drivers/access/deadline.h"
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
// For unbinding and binding one function: a driver's probe and remove may reset its device.
inline constexpr std::chrono::seconds kBindingTime{20};

// What is bound now. Errors: ENODEV (no such function, or its id is not `expected`: both are said).
[[nodiscard]] Result<BindingRecord> RecordBinding(const Sysfs& sysfs, const PciAddress& address,
                                                  const PciId& expected);

// Binds the function to `driver` by driver_override, and reads back that it is. Does nothing if it
// is bound to it already. Errors: ENOENT (the kernel has no such driver: nothing was changed),
// EBUSY (another driver has it), ETIMEDOUT (a file of it is open), and those of the writes.
[[nodiscard]] Result<void> BindTo(const Sysfs& sysfs, const PciAddress& address,
                                  std::string_view driver, Deadline deadline);

// Puts the function back as recorded, and reads back that it is. The driver_override is put back
// even if the driver is not. Errors: ENODEV (another device is in its place), those of BindTo().
[[nodiscard]] Result<void> RestoreBinding(const Sysfs& sysfs, const BindingRecord& record,
                                          Deadline deadline = Deadline::After(kBindingTime));

// Holds a function at vfio-pci; the destructor puts it back.
class Binding {
 public:
  // `before` is called with the record before anything is changed (to journal it).
  // Errors: those of RecordBinding() and BindTo(). What was changed by then is put back.
  [[nodiscard]] static Result<Binding> ToVfio(
      const Sysfs& sysfs, const PciAddress& address, const PciId& expected,
      const std::function<void(const BindingRecord&)>& before,
      Deadline deadline = Deadline::After(kBindingTime));

  Binding(Binding&& other) noexcept;
  Binding& operator=(Binding&& other) noexcept;
  Binding(const Binding&) = delete;
  Binding& operator=(const Binding&) = delete;
  ~Binding();

  [[nodiscard]] const BindingRecord& record() const { return record_; }
  // Puts it back now. Once it succeeded, it and the destructor do nothing. Close the device first.
  [[nodiscard]] Result<void> Restore(Deadline deadline = Deadline::After(kBindingTime));
  // Leaves the function where it is: another process puts it back, by record().
  void Release() { held_ = false; }

 private:
  Binding(const Sysfs& sysfs, BindingRecord record) : sysfs_(sysfs), record_(std::move(record)) {}

  Sysfs sysfs_;
  BindingRecord record_;
  bool held_ = true;
};

}  // namespace carryover
