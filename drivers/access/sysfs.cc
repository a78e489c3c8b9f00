// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/sysfs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/pci_regs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
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

// "0x8086" or "5".
Result<std::uint32_t> ReadNumber(const fs::path& attribute, int base) {
  const auto text = Sysfs::Read(attribute);
  if (!text) return std::unexpected(text.error());
  const std::string_view digits = std::string_view(*text).substr(text->starts_with("0x") ? 2 : 0);
  std::uint32_t value = 0;
  const char* const end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value, base);
  if (error != std::errc() || stop != end) {
    return Fail(EINVAL, fmt::format("{} holds '{}', not a number", attribute.string(), *text));
  }
  return value;
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
  if (!Exists(address)) {
    return Fail(ENODEV, fmt::format("there is no PCI function {} (`lspci -Dnn` lists them)",
                                    address.ToString()));
  }
  const auto vendor = ReadNumber(FunctionPath(address) / "vendor", 16);
  if (!vendor) return std::unexpected(vendor.error());
  const auto device = ReadNumber(FunctionPath(address) / "device", 16);
  if (!device) return std::unexpected(device.error());
  return PciId{static_cast<std::uint16_t>(*vendor), static_cast<std::uint16_t>(*device)};
}

Result<std::uint32_t> Sysfs::ClassCode(const PciAddress& address) const {
  return ReadNumber(FunctionPath(address) / "class", 16);
}

Result<std::uint16_t> Sysfs::Command(const PciAddress& address) const {
  const fs::path path = FunctionPath(address) / "config";
  const UniqueFd config(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!config.valid()) return FailErrno(path);
  std::array<std::uint8_t, 2> bytes{};
  const ssize_t size = pread(config.get(), bytes.data(), bytes.size(), PCI_COMMAND);
  if (size < 0) return FailErrno(path);
  if (size != static_cast<ssize_t>(bytes.size())) {
    return Fail(EIO, fmt::format("{} ends before COMMAND", path.string()));
  }
  return static_cast<std::uint16_t>(bytes[0] | (bytes[1] << 8));
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
  unsigned group = 0;
  const auto [end, error] = std::from_chars(name->data(), name->data() + name->size(), group);
  if (error != std::errc()) return std::nullopt;
  return group;
}

std::vector<PciAddress> Sysfs::GroupMates(const PciAddress& address) const {
  auto mates = AddressesIn(FunctionPath(address) / "iommu_group/devices");
  std::erase(mates, address);
  return mates;
}

std::vector<PciAddress> Sysfs::VirtualFunctions(const PciAddress& address) const {
  std::vector<PciAddress> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(FunctionPath(address), error)) {
    if (!entry.path().filename().string().starts_with("virtfn")) continue;
    const auto name = LinkName(entry.path());
    if (!name) continue;
    if (const auto function = PciAddress::Parse(*name)) found.push_back(*function);
  }
  std::ranges::sort(found);
  return found;
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

}  // namespace carryover
