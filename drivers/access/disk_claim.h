// SPDX-License-Identifier: GPL-2.0-only
// Whether anybody on this machine has the disks of a PCI function to himself.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "drivers/access/pci_id.h"
#include "drivers/access/sysfs.h"

namespace carryover {

// Opens a block device's node exclusively and closes it; 0, or errno.
using Claim = std::function<int(const std::filesystem::path& node)>;
[[nodiscard]] int ClaimOnce(const std::filesystem::path& node);

// The reason if a disk or a partition of the function is claimed: EBUSY of open(2) with O_EXCL. By
// that is seen what no table of this process tells: what is mounted in another mount namespace, ZFS
// and bcachefs, assembled dm and md that nobody has mounted, storage servers. Another who tries at
// the same moment is no claim: it is tried three times. `devices` is where the nodes are; one that
// is not there is passed over.
[[nodiscard]] std::optional<std::string> WhyClaimed(const Sysfs& sysfs, const PciAddress& address,
                                                    const Claim& claim = ClaimOnce,
                                                    const std::filesystem::path& devices = "/dev");

}  // namespace carryover
