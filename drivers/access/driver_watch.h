// SPDX-License-Identifier: GPL-2.0-only
// Hears from the kernel which drivers bind to PCI functions and unbind from them, whoever asked.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include "drivers/access/deadline.h"
#include "drivers/access/netlink_socket.h"
#include "drivers/access/pci_id.h"
#include "drivers/access/result.h"

namespace carryover {

struct DriverEvent {
  PciAddress address;
  std::string driver;
  bool bound = false;  // or unbound

  friend bool operator==(const DriverEvent&, const DriverEvent&) = default;
};

// One uevent as the kernel sends it: "bind@DEVPATH", then KEY=VALUE strings, each ended by a zero.
// Empty if it is not a PCI function's bind or unbind. The unbind of vfio-pci names no driver.
[[nodiscard]] std::optional<DriverEvent> ParseDriverEvent(std::span<const char> uevent);

class DriverWatch {
 public:
  // Hears all events from now on. Errors: netlink's.
  [[nodiscard]] static Result<DriverWatch> Open();

  // The next event of this function; those of others are dropped.
  // Errors: ETIMEDOUT; ENOBUFS (events were lost: read the binding from sysfs, and go on).
  [[nodiscard]] Result<DriverEvent> Next(const PciAddress& address, Deadline deadline);

 private:
  explicit DriverWatch(NetlinkSocket socket) : socket_(std::move(socket)) {}

  NetlinkSocket socket_;
};

}  // namespace carryover
