// SPDX-License-Identifier: GPL-2.0-only
// What this machine cannot do without: the interfaces it is reached by, the disks it runs from, the
// consoles it speaks by.
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

// What a console of the kernel stands on.
struct ConsoleUse {
  std::filesystem::path path;  // in sysfs, without symbolic links
  std::string why;             // "its ttyS4 is a console of the kernel"

  friend bool operator==(const ConsoleUse&, const ConsoleUse&) = default;
};

struct MachineUse {
  std::vector<Use> interfaces;
  std::vector<Use> block_devices;
  std::vector<ConsoleUse> consoles = {};
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

// The devices of the kernel's consoles, by `proc`/consoles: serial ports on PCI cards and behind
// USB controllers; for a virtual terminal, every function with a frame buffer and the one that the
// firmware showed its screen on (boot_vga); for hvc, every virtio console. Error: that table cannot
// be read.
[[nodiscard]] Result<std::vector<ConsoleUse>> ConsolesInUse(
    const Sysfs& sysfs, const std::filesystem::path& proc = "/proc");

// Interfaces that netconsole sends by, as its folder in configfs and the kernel's command line
// tell. Errors: ENODATA (netconsole is a console, and neither tells, or the command line alone
// names one that is not there), `proc`/consoles cannot be read.
[[nodiscard]] Result<std::vector<Use>> NetconsoleInterfaces(
    const Sysfs& sysfs, const std::filesystem::path& proc = "/proc");

// All of these, for this machine and this process's $SSH_CONNECTION.
[[nodiscard]] Result<MachineUse> ReadMachineUse(const Sysfs& sysfs,
                                                const std::filesystem::path& proc = "/proc");

}  // namespace carryover
