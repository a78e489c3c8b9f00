// SPDX-License-Identifier: GPL-2.0-only
#include <fmt/format.h>

#include <fstream>
#include <optional>
#include <sstream>
#include <string>

#include "drivers/access/machine_use.h"

namespace carryover {
namespace {

namespace fs = std::filesystem;

// The part of a line of mountinfo that matters (proc_pid_mountinfo(5)).
struct Mount {
  std::string device_number;  // "254:1"; 0:N for file systems without one device, as btrfs
  std::string mount_point;
  std::string type;
  std::string source;  // "/dev/mapper/root"
};

std::optional<Mount> ParseMount(const std::string& line) {
  const std::size_t separator = line.find(" - ");
  if (separator == std::string::npos) return std::nullopt;
  Mount mount;
  std::string skipped;
  std::istringstream head(line.substr(0, separator));
  head >> skipped >> skipped >> mount.device_number >> skipped >> mount.mount_point;
  std::istringstream tail(line.substr(separator + 3));
  tail >> mount.type >> mount.source;
  return mount;
}

// "vda1" of "/dev/disk/by-label/root", if sysfs knows such a block device.
std::optional<std::string> BlockName(const Sysfs& sysfs, const std::string& source) {
  if (!source.starts_with('/')) return std::nullopt;
  std::error_code error;
  const fs::path device = fs::weakly_canonical(source, error);
  if (error || !fs::exists(sysfs.root() / "class/block" / device.filename(), error)) {
    return std::nullopt;
  }
  return device.filename().string();
}

// All devices of the btrfs that `name` is one of.
std::vector<std::string> BtrfsDevices(const Sysfs& sysfs, const std::string& name) {
  std::error_code error;
  for (const auto& volume : fs::directory_iterator(sysfs.root() / "fs/btrfs", error)) {
    const fs::path devices = volume.path() / "devices";
    if (!fs::exists(devices / name, error)) continue;
    std::vector<std::string> names;
    for (const auto& device : fs::directory_iterator(devices, error)) {
      names.push_back(device.path().filename().string());
    }
    return names;
  }
  return {name};
}

void AddMount(const Sysfs& sysfs, const Mount& mount, std::vector<Use>& used) {
  const std::string what = "is mounted on " + mount.mount_point;
  std::error_code error;
  const fs::path device = fs::read_symlink(sysfs.root() / "dev/block" / mount.device_number, error);
  if (!error) {
    used.push_back({device.filename().string(), what});
    return;
  }
  const auto name = BlockName(sysfs, mount.source);
  if (!name) return;
  if (mount.type == "btrfs") {
    for (const std::string& one : BtrfsDevices(sysfs, *name)) used.push_back({one, what});
  } else {
    used.push_back({*name, what});
  }
}

}  // namespace

Result<std::vector<Use>> BlockDevicesInUse(const Sysfs& sysfs, const fs::path& proc) {
  std::vector<Use> used;
  std::ifstream mounts(proc / "self/mountinfo");
  if (!mounts) return FailErrno("open " + (proc / "self/mountinfo").string());
  for (std::string line; std::getline(mounts, line);) {
    if (const auto mount = ParseMount(line)) AddMount(sysfs, *mount, used);
  }
  std::ifstream swaps(proc / "swaps");  // there is none without CONFIG_SWAP
  std::string line;
  std::getline(swaps, line);  // heading
  while (std::getline(swaps, line)) {
    // A swap file's disk is in use as the file system's.
    const auto name = BlockName(sysfs, line.substr(0, line.find_first_of(" \t")));
    if (name) used.push_back({*name, "is used as swap"});
  }
  return used;
}

}  // namespace carryover
