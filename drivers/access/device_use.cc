// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/device_use.h"

#include <fmt/format.h>

#include <cstdlib>
#include <map>

#include "drivers/access/disk_claim.h"
#include "drivers/access/nvme_paths.h"

namespace carryover {
namespace {

namespace fs = std::filesystem;

// Names of things in use, and where they are in sysfs.
using Objects = std::map<std::string, fs::path>;

// Enters `name` and, through the folder's links, all that it stands on.
template <typename Below>
void Collect(const fs::path& folder, const std::string& name, const Below& below,
             Objects& objects) {
  std::error_code error;
  const fs::path path = fs::canonical(folder / name, error);
  if (error || !objects.emplace(name, path).second) return;
  for (const std::string& lower : below(path)) Collect(folder, lower, below, objects);
}

// sysfs links the interfaces below a bond, a bridge or a VLAN as lower_NAME.
std::vector<std::string> LowerInterfaces(const fs::path& interface) {
  constexpr std::string_view kPrefix = "lower_";
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(interface, error)) {
    const std::string file = entry.path().filename().string();
    if (file.starts_with(kPrefix)) names.push_back(file.substr(kPrefix.size()));
  }
  return names;
}

// What dm, md, bcache and a loop device on a block device stand on; for a partition, what its disk
// does.
std::vector<std::string> Slaves(const fs::path& block) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& slave : fs::directory_iterator(block / "slaves", error)) {
    names.push_back(slave.path().filename().string());
  }
  if (fs::exists(block / "partition", error)) names.push_back(block.parent_path().filename());
  if (const auto file = Sysfs::Read(block / "loop/backing_file")) {
    names.push_back(fs::path(*file).filename());  // of a file no block device, or one too many
  }
  return names;
}

void CollectNvmePaths(Objects& objects) {
  Objects controllers;
  for (const auto& [name, path] : objects) {
    for (const fs::path& controller : NvmePathsOf(path)) {
      controllers.emplace(controller.filename().string(), controller);
    }
  }
  objects.merge(controllers);
}

std::optional<std::string> FindBelow(const Objects& objects, const fs::path& function) {
  std::error_code error;
  const std::string above = fs::canonical(function, error).string() + "/";
  if (error) return std::nullopt;
  for (const auto& [name, path] : objects) {
    if (path.string().starts_with(above)) return name;
  }
  return std::nullopt;
}

std::string Reason(const Use& use, const std::string& found, std::string_view kind) {
  if (use.name == found) return fmt::format("its {} {} {}", kind, found, use.what);
  return fmt::format("its {} {} is below {}, which {}", kind, found, use.name, use.what);
}

std::optional<std::string> WhyFunctionInUse(const Sysfs& sysfs, const PciAddress& address,
                                            const MachineUse& use) {
  const fs::path function = sysfs.FunctionPath(address);
  for (const Use& interface : use.interfaces) {
    Objects objects;
    Collect(sysfs.root() / "class/net", interface.name, LowerInterfaces, objects);
    if (const auto found = FindBelow(objects, function)) {
      return Reason(interface, *found, "interface");
    }
  }
  for (const Use& block : use.block_devices) {
    Objects objects;
    Collect(sysfs.root() / "class/block", block.name, Slaves, objects);
    CollectNvmePaths(objects);
    if (const auto found = FindBelow(objects, function)) {
      return Reason(block, *found, "block device");
    }
  }
  for (const ConsoleUse& console : use.consoles) {
    if (FindBelow({{"", console.path}}, function)) return console.why;
  }
  return std::nullopt;
}

// The first reason that `why` has for the function, or for one that goes with it.
template <typename Why>
std::optional<std::string> WhyAnyOf(const Sysfs& sysfs, const PciAddress& address, const Why& why) {
  if (auto reason = why(address)) return reason;
  for (const PciAddress& virtual_function : sysfs.VirtualFunctions(address)) {
    if (const auto reason = why(virtual_function)) {
      return fmt::format("{} is a virtual function of it, and {}", virtual_function.ToString(),
                         *reason);
    }
  }
  for (const PciAddress& mate : sysfs.GroupMates(address)) {
    if (const auto reason = why(mate)) {
      return fmt::format("it shares its IOMMU group with {}, and {}", mate.ToString(), *reason);
    }
  }
  return std::nullopt;
}

}  // namespace

Result<MachineUse> ReadMachineUse(const Sysfs& sysfs, const fs::path& proc) {
  const char* ssh = std::getenv("SSH_CONNECTION");  // NOLINT(concurrency-mt-unsafe): never set here
  auto interfaces = InterfacesInUse(ssh == nullptr ? "" : ssh);
  if (!interfaces) return std::unexpected(interfaces.error());
  auto blocks = BlockDevicesInUse(sysfs, proc);
  if (!blocks) return std::unexpected(blocks.error());
  auto consoles = ConsolesInUse(sysfs, proc);
  if (!consoles) return std::unexpected(consoles.error());
  const auto netconsole = NetconsoleInterfaces(sysfs, proc);
  if (!netconsole) return std::unexpected(netconsole.error());
  interfaces->insert(interfaces->end(), netconsole->begin(), netconsole->end());
  return MachineUse{std::move(*interfaces), std::move(*blocks), std::move(*consoles)};
}

std::optional<std::string> WhyInUse(const Sysfs& sysfs, const PciAddress& address,
                                    const MachineUse& use) {
  return WhyAnyOf(sysfs, address, [&](const PciAddress& function) {
    return WhyFunctionInUse(sysfs, function, use);
  });
}

std::optional<std::string> WhyInUse(const Sysfs& sysfs, const PciAddress& address) {
  const auto use = ReadMachineUse(sysfs);
  if (!use) return use.error().ToString();
  if (auto reason = WhyInUse(sysfs, address, *use)) return reason;
  return WhyAnyOf(sysfs, address,
                  [&](const PciAddress& function) { return WhyClaimed(sysfs, function); });
}

}  // namespace carryover
