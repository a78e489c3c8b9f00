// SPDX-License-Identifier: GPL-2.0-only
// Whether blocks of a disk may be overwritten.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "drivers/access/block_range.h"
#include "drivers/access/deadline.h"
#include "drivers/access/pci_id.h"
#include "drivers/access/sysfs.h"

namespace carryover {

// The reason why `range` of the function's disk must not be written: it overlaps a partition, the
// partition table, or a file system, RAID or LVM member that has the whole disk; it ends beyond the
// disk; or that cannot be found out, as when the kernel's driver does not have the disk. Until
// `deadline` it is waited for: a driver shows its disk some time after it was bound. Of an NVMe
// controller's disks namespace 1 is meant, whatever its name. `devices` is where the nodes of block
// devices are.
// Sources: sysfs-block of the kernel's ABI documentation, libblkid(3).
[[nodiscard]] std::optional<std::string> WhyScratchInUse(
    const Sysfs& sysfs, const PciAddress& address, const BlockRange& range, Deadline deadline,
    const std::filesystem::path& devices = "/dev");

}  // namespace carryover
