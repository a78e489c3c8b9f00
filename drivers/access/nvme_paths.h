// SPDX-License-Identifier: GPL-2.0-only
// The paths of a multipath NVMe namespace.
#pragma once

#include <filesystem>
#include <vector>

namespace carryover {

// Folders in sysfs of the controllers that `disk` can be reached by, below their PCI functions: a
// multipath namespace is below its subsystem, which links them. Empty for any other disk, which is
// below its function itself. `disk` is the namespace's folder without symbolic links.
[[nodiscard]] std::vector<std::filesystem::path> NvmePathsOf(const std::filesystem::path& disk);

}  // namespace carryover
