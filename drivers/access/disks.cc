// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/disks.h"

#include <algorithm>
#include <string>

#include "drivers/access/nvme_paths.h"

namespace carryover {

namespace fs = std::filesystem;

std::vector<fs::path> DisksOf(const Sysfs& sysfs, const PciAddress& address) {
  std::vector<fs::path> disks;
  std::error_code error;
  const fs::path function = fs::canonical(sysfs.FunctionPath(address), error);
  if (error) return disks;
  const auto is_below = [above = function.string() + "/"](const fs::path& path) {
    return path.string().starts_with(above);
  };
  for (const auto& entry : fs::directory_iterator(sysfs.root() / "class/block", error)) {
    const fs::path disk = fs::canonical(entry.path(), error);
    // Paths of a multipath namespace (nvme0c0n1) are hidden: they have no node.
    if (error || fs::exists(disk / "partition") ||
        Sysfs::Read(disk / "hidden").value_or("0") == "1") {
      continue;
    }
    if (is_below(disk) || std::ranges::any_of(NvmePathsOf(disk), is_below)) disks.push_back(disk);
  }
  std::ranges::sort(disks);
  return disks;
}

}  // namespace carryover
