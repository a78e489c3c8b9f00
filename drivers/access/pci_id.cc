// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/pci_id.h"

#include <fmt/format.h>

#include <charconv>

namespace carryover {
namespace {

// All of `text` as a hexadecimal number of at most `digits` digits, not above `max`.
template <typename T>
bool ParseHex(std::string_view text, std::size_t digits, unsigned long max, T& out) {
  if (text.empty() || text.size() > digits) return false;
  unsigned long value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc() || end != text.data() + text.size() || value > max) return false;
  out = static_cast<T>(value);
  return true;
}

}  // namespace

Result<PciId> PciId::Parse(std::string_view text) {
  PciId id;
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || text.size() != 9 ||
      !ParseHex(text.substr(0, colon), 4, 0xffff, id.vendor) ||
      !ParseHex(text.substr(colon + 1), 4, 0xffff, id.device)) {
    return Fail(EINVAL, fmt::format("'{}' is not a vendor:device like 8086:10c9", text));
  }
  return id;
}

std::string PciId::ToString() const { return fmt::format("{:04x}:{:04x}", vendor, device); }

Result<PciAddress> PciAddress::Parse(std::string_view text) {
  const auto fail = [text] {
    return Fail(EINVAL, fmt::format("'{}' is not a PCI address like 0000:01:00.0", text));
  };
  PciAddress address;
  std::string_view rest = text;
  const std::size_t first = rest.find(':');
  if (first == std::string_view::npos) return fail();
  if (rest.find(':', first + 1) != std::string_view::npos) {
    if (!ParseHex(rest.substr(0, first), 8, 0xffffffff, address.domain)) return fail();
    rest.remove_prefix(first + 1);
  }
  const std::size_t colon = rest.find(':');
  const std::size_t dot = rest.find('.');
  if (dot == std::string_view::npos || dot < colon ||
      !ParseHex(rest.substr(0, colon), 2, 0xff, address.bus) ||
      !ParseHex(rest.substr(colon + 1, dot - colon - 1), 2, 0x1f, address.device) ||
      !ParseHex(rest.substr(dot + 1), 1, 7, address.function)) {
    return fail();
  }
  return address;
}

std::string PciAddress::ToString() const {
  return fmt::format("{:04x}:{:02x}:{:02x}.{:x}", domain, bus, device, function);
}

}  // namespace carryover
