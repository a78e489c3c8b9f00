// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/sysfs.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <sstream>

#include "drivers/access/unique_fd.h"

namespace carryover {
namespace {

namespace fs = std::filesystem;

// Name of what a symbolic link points to.
std::optional<std::string> LinkName(const fs::path& link) {
  std::error_code error;
  const fs::path to = fs::read_symlink(link, error);
  if (error) return std::nullopt;
  return to.filename().string();
}

std::vector<PciAddress> AddressesIn(const fs::path& folder) {
  std::vector<PciAddress> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (auto address = PciAddress::Parse(entry.path().filename().string())) {
      found.push_back(*address);
    }
  }
  std::ranges::sort(found);
  return found;
}

}  // namespace

fs::path Sysfs::FunctionPath(const PciAddress& address) const {
  return root_ / "bus/pci/devices" / address.ToString();
}

std::vector<PciAddress> Sysfs::Functions() const { return AddressesIn(root_ / "bus/pci/devices"); }

bool Sysfs::Exists(const PciAddress& address) const {
  std::error_code error;
  return fs::exists(FunctionPath(address), error);
}

Result<PciId> Sysfs::Id(const PciAddress& address) const {
  const auto vendor = Read(FunctionPath(address) / "vendor");
  const auto device = Read(FunctionPath(address) / "device");
  if (!vendor || !device) {
    return Fail(ENODEV, fmt::format("no PCI function {}", address.ToString()));
  }
  return PciId{static_cast<std::uint16_t>(std::stoul(*vendor, nullptr, 16)),
               static_cast<std::uint16_t>(std::stoul(*device, nullptr, 16))};
}

Result<std::uint32_t> Sysfs::ClassCode(const PciAddress& address) const {
  const auto text = Read(FunctionPath(address) / "class");
  if (!text) return std::unexpected(text.error());
  return static_cast<std::uint32_t>(std::stoul(*text, nullptr, 16));
}

std::optional<std::string> Sysfs::Driver(const PciAddress& address) const {
  return LinkName(FunctionPath(address) / "driver");
}

std::string Sysfs::DriverOverride(const PciAddress& address) const {
  const auto text = Read(FunctionPath(address) / "driver_override");
  return !text || *text == "(null)" ? std::string() : *text;
}

std::optional<unsigned> Sysfs::IommuGroup(const PciAddress& address) const {
  const auto name = LinkName(FunctionPath(address) / "iommu_group");
  if (!name) return std::nullopt;
  return static_cast<unsigned>(std::stoul(*name));
}

std::vector<PciAddress> Sysfs::GroupMates(const PciAddress& address) const {
  auto mates = AddressesIn(FunctionPath(address) / "iommu_group/devices");
  std::erase(mates, address);
  return mates;
}

std::vector<std::string> Sysfs::ResetMethods(const PciAddress& address) const {
  std::vector<std::string> methods;
  if (const auto text = Read(FunctionPath(address) / "reset_method")) {
    std::istringstream words(*text);
    for (std::string word; words >> word;) methods.push_back(word);
  }
  return methods;
}

Result<std::string> Sysfs::VfioCdevName(const PciAddress& address) const {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(FunctionPath(address) / "vfio-dev", error)) {
    return entry.path().filename().string();
  }
  return Fail(ENOENT, fmt::format("{} has no VFIO character device (is it bound to vfio-pci, and "
                                  "has the kernel CONFIG_VFIO_DEVICE_CDEV?)",
                                  address.ToString()));
}

Result<std::string> Sysfs::Read(const fs::path& attribute) {
  const UniqueFd fd(open(attribute.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return FailErrno(fmt::format("open {}", attribute.string()));
  std::array<char, 4096> buffer{};  // an attribute is at most a page
  const ssize_t size = read(fd.get(), buffer.data(), buffer.size());
  if (size < 0) return FailErrno(fmt::format("read {}", attribute.string()));
  std::string text(buffer.data(), static_cast<std::size_t>(size));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

Result<void> Sysfs::Write(const fs::path& attribute, std::string_view value) {
  const UniqueFd fd(open(attribute.c_str(), O_WRONLY | O_CLOEXEC | O_TRUNC));
  if (!fd.valid()) return FailErrno(fmt::format("open {}", attribute.string()));
  if (write(fd.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size())) {
    return FailErrno(fmt::format("write '{}' to {}", value, attribute.string()));
  }
  return {};
}

}  // namespace carryover
