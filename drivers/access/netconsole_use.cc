// SPDX-License-Identifier: GPL-2.0-only
// Source: Documentation/networking/netconsole.rst.
#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>

#include "drivers/access/machine_use.h"

namespace carryover {
namespace {

namespace fs = std::filesystem;

void Add(const std::string& interface, std::vector<Use>& used) {
  const Use use{interface, "carries the kernel's netconsole"};
  if (std::ranges::find(used, use) == used.end()) used.push_back(use);
}

Result<bool> HasNetconsole(const fs::path& proc) {
  std::ifstream consoles(proc / "consoles");
  if (!consoles) return FailErrno("open " + (proc / "consoles").string());
  for (std::string line; std::getline(consoles, line);) {
    if (line.starts_with("netcon")) return true;
  }
  return false;
}

// Targets of netconsole=[+][r][SOURCE-PORT]@[SOURCE-IP]/[DEVICE],[TARGET-PORT]@TARGET-IP/[MAC], by
// ';'. Without a device it is eth0.
void AddFromCommandLine(const std::string& value, std::vector<Use>& used) {
  std::istringstream targets(value);
  for (std::string target; std::getline(targets, target, ';');) {
    const std::string source = target.substr(0, target.find(','));
    const std::size_t slash = source.find('/');
    const std::string device = slash == std::string::npos ? "" : source.substr(slash + 1);
    Add(device.empty() ? "eth0" : device, used);
  }
}

// The command line may have a hardware address, and a name that udev has changed since.
bool AreThere(const Sysfs& sysfs, const std::vector<Use>& interfaces) {
  return std::ranges::all_of(interfaces, [&](const Use& interface) {
    std::error_code error;
    return fs::exists(sysfs.root() / "class/net" / interface.name, error);
  });
}

}  // namespace

Result<std::vector<Use>> NetconsoleInterfaces(const Sysfs& sysfs, const fs::path& proc) {
  std::vector<Use> used;
  const auto is_there = HasNetconsole(proc);
  if (!is_there) return std::unexpected(is_there.error());
  if (!*is_there) return used;
  std::ifstream command_line(proc / "cmdline");
  for (std::string word; command_line >> word;) {
    for (const std::string prefix : {"netconsole=", "netconsole.netconsole="}) {
      if (word.starts_with(prefix)) AddFromCommandLine(word.substr(prefix.size()), used);
    }
  }
  const fs::path folder = sysfs.root() / "kernel/config/netconsole";
  std::error_code error;
  const bool is_told = fs::is_directory(folder, error);
  for (const auto& target : fs::directory_iterator(folder, error)) {
    const auto device = Sysfs::Read(target.path() / "dev_name");
    if (device && Sysfs::Read(target.path() / "enabled").value_or("1") != "0") {
      Add(*device, used);
    }
  }
  if (is_told || (!used.empty() && AreThere(sysfs, used))) return used;
  return Fail(ENODATA,
              "netconsole is a console of the kernel, and it cannot be told by which interface: "
              "mount configfs (mount -t configfs none /sys/kernel/config)");
}

}  // namespace carryover
