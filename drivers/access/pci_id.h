// SPDX-License-Identifier: GPL-2.0-only
// Names of PCI functions: address (0000:01:00.0) and identity (8086:10c9).
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "drivers/access/result.h"

namespace carryover {

struct PciId {
  std::uint16_t vendor = 0;
  std::uint16_t device = 0;

  // "8086:10c9", hexadecimal, four digits each. Error: EINVAL.
  [[nodiscard]] static Result<PciId> Parse(std::string_view text);
  [[nodiscard]] std::string ToString() const;

  friend auto operator<=>(const PciId&, const PciId&) = default;
};

struct PciAddress {
  std::uint32_t domain = 0;  // VMD and Hyper-V make domains above 0xffff
  std::uint8_t bus = 0;
  std::uint8_t device = 0;    // 0 to 31
  std::uint8_t function = 0;  // 0 to 7

  // "0000:01:00.0" or "01:00.0" (domain 0). Error: EINVAL.
  [[nodiscard]] static Result<PciAddress> Parse(std::string_view text);
  [[nodiscard]] std::string ToString() const;

  friend auto operator<=>(const PciAddress&, const PciAddress&) = default;
};

}  // namespace carryover
