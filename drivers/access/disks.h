// SPDX-License-Identifier: GPL-2.0-only
// The disks of a PCI function.
#pragma once

#include <filesystem>
#include <vector>

#include "drivers/access/pci_id.h"
#include "drivers/access/sysfs.h"

namespace carryover {

// Folders in sysfs of the function's whole disks, by name; of a multipath NVMe namespace that of
// its subsystem. Empty if the kernel's driver does not have it.
[[nodiscard]] std::vector<std::filesystem::path> DisksOf(const Sysfs& sysfs,
                                                         const PciAddress& address);

}  // namespace carryover
