// SPDX-License-Identifier: GPL-2.0-only
// Puts a PCI function back as somebody found it, who is gone.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "drivers/access/binding.h"

namespace carryover {

// RestoreBinding(), and how the function was bound before. A driver other than vfio-pci, to which
// somebody else has bound it since, is not taken from a function that is in use: `why_in_use` says
// why it is. Errors: EBUSY (that), and those of RestoreBinding().
[[nodiscard]] Result<BindingRecord> PutBack(
    const Sysfs& sysfs, const BindingRecord& wanted,
    const std::function<std::optional<std::string>(const PciAddress&)>& why_in_use);

}  // namespace carryover
