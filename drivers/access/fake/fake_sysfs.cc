// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/fake/fake_sysfs.h"

#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <stdexcept>

namespace carryover {

namespace fs = std::filesystem;

FakeSysfs::FakeSysfs() {
  std::string folder = (fs::temp_directory_path() / "fake-sysfs-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) throw std::runtime_error("mkdtemp " + folder);
  root_ = folder;
  fs::create_directories(root_ / "bus/pci/devices");
  fs::create_directories(root_ / "bus/pci/drivers");
}

FakeSysfs::~FakeSysfs() {
  std::error_code error;
  fs::remove_all(root_, error);
}

Sysfs FakeSysfs::sysfs() {
  return Sysfs(root_, [this](const fs::path& attribute, std::string_view value, Deadline) {
    return Answer(attribute, value);
  });
}

fs::path FakeSysfs::FunctionPath(const PciAddress& address) const {
  return root_ / "devices/pci0000:00" / address.ToString();
}

void FakeSysfs::AddFunction(const PciAddress& address, const PciId& id,
                            std::optional<unsigned> iommu_group) {
  const std::string relative = "devices/pci0000:00/" + address.ToString();
  WriteFile(relative + "/vendor", fmt::format("0x{:04x}\n", id.vendor));
  WriteFile(relative + "/device", fmt::format("0x{:04x}\n", id.device));
  WriteFile(relative + "/class", "0x020000\n");
  WriteFile(relative + "/driver_override", "(null)\n");
  Link("bus/pci/devices/" + address.ToString(), FunctionPath(address));
  if (!iommu_group) return;
  const std::string group = fmt::format("kernel/iommu_groups/{}", *iommu_group);
  Link(group + "/devices/" + address.ToString(), FunctionPath(address));
  Link(relative + "/iommu_group", root_ / group);
}

void FakeSysfs::AddDriver(const std::string& name, std::set<PciId> ids) {
  drivers_[name] = std::move(ids);
  WriteFile("bus/pci/drivers/" + name + "/bind", "");
  WriteFile("bus/pci/drivers/" + name + "/unbind", "");
}

void FakeSysfs::SetDriver(const PciAddress& address, const std::optional<std::string>& driver) {
  const fs::path link = FunctionPath(address) / "driver";
  fs::remove(link);
  if (driver) fs::create_directory_symlink(root_ / "bus/pci/drivers" / *driver, link);
}

void FakeSysfs::SetOverride(const PciAddress& address, const std::string& driver) {
  std::ofstream(FunctionPath(address) / "driver_override")
      << (driver.empty() ? "(null)" : driver) << '\n';
}

fs::path FakeSysfs::AddObject(const PciAddress& address, const std::string& relative) {
  const fs::path path = FunctionPath(address) / relative;
  fs::create_directories(path);
  return path;
}

void FakeSysfs::Link(const std::string& name, const fs::path& target) {
  fs::create_directories((root_ / name).parent_path());
  fs::create_symlink(target, root_ / name);
}

void FakeSysfs::WriteFile(const std::string& name, std::string_view text) {
  fs::create_directories((root_ / name).parent_path());
  std::ofstream(root_ / name) << text;
}

bool FakeSysfs::Matches(const PciAddress& address, const std::string& driver) {
  const Sysfs view = sysfs();
  const std::string wanted = view.DriverOverride(address);
  if (!wanted.empty()) return wanted == driver;
  const auto id = view.Id(address);
  return id && drivers_[driver].contains(*id);
}

// drivers/base/bus.c, bind_store(): ENODEV unless the driver matches and the function is free.
Result<void> FakeSysfs::Bind(const PciAddress& address, const std::string& driver) {
  if (sysfs().Driver(address) || !Matches(address, driver)) return Fail(ENODEV, "bind");
  SetDriver(address, driver);
  return {};
}

Result<void> FakeSysfs::Answer(const fs::path& attribute, std::string_view value) {
  const std::string name = attribute.filename().string();
  writes_.emplace_back(fs::relative(attribute, root_).string(), value);
  if (const auto failing = failing_.find(name); failing != failing_.end()) {
    return Fail(failing->second, "write " + attribute.string());
  }
  std::error_code error;
  const std::string folder = fs::canonical(attribute.parent_path(), error).filename().string();
  if (error) return Fail(ENOENT, "open " + attribute.string());
  if (name == "driver_override") {
    const auto address = PciAddress::Parse(folder);
    if (!address) return std::unexpected(address.error());
    SetOverride(*address, value == "\n" ? "" : std::string(value));
    return {};
  }
  const auto address = PciAddress::Parse(value);
  if (!address) return std::unexpected(address.error());
  if (name == "bind") return Bind(*address, folder);
  if (name == "unbind") {
    if (sysfs().Driver(*address) != folder) return Fail(ENODEV, "unbind");
    SetDriver(*address, std::nullopt);
    if (!greedy_.empty()) (void)Bind(*address, greedy_);  // it may not match
    return {};
  }
  return Fail(ENOENT, "write " + attribute.string());
}

}  // namespace carryover
