// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/disks.h"

#include <algorithm>
#include <string>

namespace carryover {
namespace {

namespace fs = std::filesystem;

bool IsBelow(const fs::path& path, const std::string& above) {
  return path.string().starts_with(above);
}

// A multipath namespace is below its subsystem, which links its controllers.
bool HasControllerBelow(const fs::path& disk, const std::string& above) {
  const fs::path subsystem = disk.parent_path();
  if (!subsystem.filename().string().starts_with("nvme-subsys")) return false;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(subsystem, error)) {
    if (!entry.is_symlink(error)) continue;
    const fs::path controller = fs::canonical(entry.path(), error);
    if (!error && IsBelow(controller, above)) return true;
  }
  return false;
}

}  // namespace

std::vector<fs::path> DisksOf(const Sysfs& sysfs, const PciAddress& address) {
  std::vector<fs::path> disks;
  std::error_code error;
  const fs::path function = fs::canonical(sysfs.FunctionPath(address), error);
  if (error) return disks;
  const std::string above = function.string() + "/";
  for (const auto& entry : fs::directory_iterator(sysfs.root() / "class/block", error)) {
    const fs::path disk = fs::canonical(entry.path(), error);
    // Paths of a multipath namespace (nvme0c0n1) are hidden: they have no node.
    if (error || fs::exists(disk / "partition") ||
        Sysfs::Read(disk / "hidden").value_or("0") == "1") {
      continue;
    }
    if (IsBelow(disk, above) || HasControllerBelow(disk, above)) disks.push_back(disk);
  }
  std::ranges::sort(disks);
  return disks;
}

}  // namespace carryover
