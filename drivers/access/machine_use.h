// SPDX-License-Identifier: GPL-2.0-only
// What this machine cannot do without: the interfaces it is reached by, the disks it runs from.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "drivers/access/result.h"
#include "drivers/access/sysfs.h"

namespace carryover {

struct Use {
  std::string name;  // "eth0", "vda1"
  std::string what;  // "carries the default route", "is mounted on /home"

  friend bool operator==(const Use&, const Use&) = default;
};

struct MachineUse {
  std::vector<Use> interfaces;
  std::vector<Use> block_devices;
};

// Interfaces that carry a default route of any table, or the local address of `ssh_connection`,
// the value of $SSH_CONNECTION (ssh(1)); empty if there is none.
// Errors: EADDRNOTAVAIL (no interface has that address: it cannot be told which is used),
// netlink's.
[[nodiscard]] Result<std::vector<Use>> InterfacesInUse(const std::string& ssh_connection);

// Block devices that are mounted or swapped to, by `proc`/self/mountinfo and `proc`/swaps, and all
// devices of a mounted btrfs. Errors: those tables cannot be read.
[[nodiscard]] Result<std::vector<Use>> BlockDevicesInUse(
    const Sysfs& sysfs, const std::filesystem::path& proc = "/proc");

// Both, for this machine and this process's $SSH_CONNECTION.
[[nodiscard]] Result<MachineUse> ReadMachineUse(const Sysfs& sysfs);

}  // namespace carryover
