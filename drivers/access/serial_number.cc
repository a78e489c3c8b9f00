// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/serial_number.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fstream>

namespace carryover {
namespace {

constexpr std::size_t kHeaderSize = 64;
constexpr std::size_t kConventionalSize = 256;
constexpr std::size_t kConfigurationSize = 4096;
constexpr std::uint16_t kDeviceSerialNumber = 0x0003;
constexpr std::size_t kCapabilitySize = 12;
// A capability has a dword at least: in a longer list one follows itself.
constexpr int kMostCapabilities = (kConfigurationSize - kConventionalSize) / 4;

using Configuration = std::array<unsigned char, kConfigurationSize>;

// Configuration space is little endian, as are all machines that this runs on.
std::uint32_t DwordAt(const Configuration& configuration, std::size_t offset) {
  std::uint32_t value = 0;
  std::memcpy(&value, configuration.data() + offset, sizeof value);
  return value;
}

std::string Text(std::uint32_t upper, std::uint32_t lower) {
  std::string text;
  for (const std::uint32_t half : {upper, lower}) {
    for (int shift = 24; shift >= 0; shift -= 8) {
      text += fmt::format("{}{:02x}", text.empty() ? "" : "-", (half >> shift) & 0xff);
    }
  }
  return text;
}

}  // namespace

Result<std::string> SerialNumber(const Sysfs& sysfs, const PciAddress& address) {
  const auto path = sysfs.FunctionPath(address) / "config";
  std::ifstream file(path, std::ios::binary);
  if (!file) return Fail(errno, fmt::format("{} cannot be read", path.string()));
  Configuration configuration{};
  file.read(reinterpret_cast<char*>(configuration.data()), configuration.size());
  const auto size = static_cast<std::size_t>(file.gcount());
  if (size <= kHeaderSize) {
    return Fail(EACCES, fmt::format("{} has {} bytes for this user: be root", path.string(), size));
  }
  if (size < kConfigurationSize) return "";
  std::size_t offset = kConventionalSize;
  for (int seen = 0; seen < kMostCapabilities; ++seen) {
    const std::uint32_t header = DwordAt(configuration, offset);
    if ((header & 0xffff) == kDeviceSerialNumber && offset + kCapabilitySize <= size) {
      return Text(DwordAt(configuration, offset + 8), DwordAt(configuration, offset + 4));
    }
    offset = header >> 20;  // the lowest two bits are reserved
    if (offset < kConventionalSize || offset % 4 != 0) break;
  }
  return "";
}

}  // namespace carryover
