// SPDX-License-Identifier: GPL-2.0-only
// Why a PCI function must be left alone.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "drivers/access/pci_id.h"
#include "drivers/access/result.h"
#include "drivers/access/sysfs.h"

namespace carryover {

// What this machine cannot do without.
struct MachineUse {
  // Network interfaces that carry a default route, or the local address of $SSH_CONNECTION, and what they carry.
  std::vector<std::pair<std::string, std::string>> interfaces;
  // Block devices ("vda1") that are mounted or swapped to, and where.
  std::vector<std::pair<std::string, std::string>> block_devices;
};

// By rtnetlink, /proc/self/mountinfo and /proc/swaps. Errors: netlink's.
[[nodiscard]] Result<MachineUse> ReadMachineUse(const std::string& ssh_connection);

// The reason if the function, or a mate in its IOMMU group, carries a part of `use`; through dm, md and the like.
[[nodiscard]] std::optional<std::string> WhyInUse(const Sysfs& sysfs, const PciAddress& address,
                                                  const MachineUse& use);

// The same for this machine and this process's $SSH_CONNECTION. What cannot be found out counts as a reason.
[[nodiscard]] std::optional<std::string> WhyInUse(const Sysfs& sysfs, const PciAddress& address);

}  // namespace carryover
