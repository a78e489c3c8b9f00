// SPDX-License-Identifier: GPL-2.0-only
// Which card it is: the PCIe Device Serial Number.
#pragma once

#include <string>

#include "drivers/access/pci_id.h"
#include "drivers/access/result.h"
#include "drivers/access/sysfs.h"

namespace carryover {

// Eight bytes as lspci(8) prints them, "00-1b-21-ff-ff-8a-3c-10": the highest of the upper register
// first (PCI Express Base Specification, Device Serial Number Extended Capability). Empty if the
// function has no such capability, or is no PCIe one.
// Errors: those of reading its configuration space; EACCES (only root sees beyond its header).
[[nodiscard]] Result<std::string> SerialNumber(const Sysfs& sysfs, const PciAddress& address);

}  // namespace carryover
