// SPDX-License-Identifier: GPL-2.0-only
// Why a PCI function must be left alone.
#pragma once

#include <optional>
#include <string>

#include "drivers/access/machine_use.h"
#include "drivers/access/pci_id.h"
#include "drivers/access/sysfs.h"

namespace carryover {

// The reason if `use` stands on the function, on one of its virtual functions, or on a mate in its
// IOMMU group. Followed are bonds, bridges and VLANs, partitions, dm (LVM, LUKS, multipath), md,
// bcache, loop devices on a block device, NVMe multipath, USB, and virtio.
[[nodiscard]] std::optional<std::string> WhyInUse(const Sysfs& sysfs, const PciAddress& address,
                                                  const MachineUse& use);

// The same for ReadMachineUse(), and if anybody holds one of its disks exclusively (disk_claim.h).
// What cannot be found out counts as a reason.
[[nodiscard]] std::optional<std::string> WhyInUse(const Sysfs& sysfs, const PciAddress& address);

}  // namespace carryover
