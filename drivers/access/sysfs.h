// SPDX-License-Identifier: GPL-2.0-only
// The part of sysfs that describes PCI functions. The root can be another folder, for unit tests.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "drivers/access/bounded_write.h"
#include "drivers/access/deadline.h"
#include "drivers/access/pci_id.h"
#include "drivers/access/result.h"

namespace carryover {

class Sysfs {
 public:
  using Writer = std::function<Result<void>(const std::filesystem::path& attribute,
                                            std::string_view value, Deadline deadline)>;

  // Writes go through `writer`; a fake kernel can so answer them.
  explicit Sysfs(std::filesystem::path root = "/sys", Writer writer = BoundedWrite)
      : root_(std::move(root)), writer_(std::move(writer)) {}

  [[nodiscard]] const std::filesystem::path& root() const { return root_; }
  [[nodiscard]] std::filesystem::path FunctionPath(const PciAddress& address) const;

  // All PCI functions, by address.
  [[nodiscard]] std::vector<PciAddress> Functions() const;
  [[nodiscard]] bool Exists(const PciAddress& address) const;

  // Errors: ENODEV (no such function), EINVAL (what is there is no number).
  [[nodiscard]] Result<PciId> Id(const PciAddress& address) const;
  // Class code: base class, subclass, programming interface (0x020000 is Ethernet).
  [[nodiscard]] Result<std::uint32_t> ClassCode(const PciAddress& address) const;
  // COMMAND of its configuration space (PCI 3.0, 6.2.2), not through the device's file, which may
  // keep its user waiting. Errors: those of open(2) and pread(2), EIO.
  [[nodiscard]] Result<std::uint16_t> Command(const PciAddress& address) const;
  // Name of the bound driver; empty optional if none.
  [[nodiscard]] std::optional<std::string> Driver(const PciAddress& address) const;
  // Empty if it is not set ("(null)" in sysfs).
  [[nodiscard]] std::string DriverOverride(const PciAddress& address) const;
  // Empty optional without an IOMMU.
  [[nodiscard]] std::optional<unsigned> IommuGroup(const PciAddress& address) const;
  // The other functions of its IOMMU group.
  [[nodiscard]] std::vector<PciAddress> GroupMates(const PciAddress& address) const;
  // Its SR-IOV virtual functions: they go when its driver goes.
  [[nodiscard]] std::vector<PciAddress> VirtualFunctions(const PciAddress& address) const;
  // "flr", "pm", "bus", ...: best first.
  [[nodiscard]] std::vector<std::string> ResetMethods(const PciAddress& address) const;
  // "vfio3": the name of its VFIO character device under /dev/vfio/devices. Error: ENOENT (not
  // bound to a VFIO driver, or no CONFIG_VFIO_DEVICE_CDEV).
  [[nodiscard]] Result<std::string> VfioCdevName(const PciAddress& address) const;

  // One attribute, without the trailing newline.
  [[nodiscard]] static Result<std::string> Read(const std::filesystem::path& attribute);
  // The whole value by one write(2). Errors: ETIMEDOUT, and the kernel's answer.
  [[nodiscard]] Result<void> Write(const std::filesystem::path& attribute, std::string_view value,
                                   Deadline deadline) const {
    return writer_(attribute, value, deadline);
  }

 private:
  std::filesystem::path root_;
  Writer writer_;
};

}  // namespace carryover
