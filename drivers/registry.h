// SPDX-License-Identifier: GPL-2.0-only
// All drivers.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "drivers/driver.h"

namespace carryover {

[[nodiscard]] std::span<const DriverEntry* const> Drivers();

// "edu, igb", for messages.
[[nodiscard]] std::string DriverNames();

// Null if no driver has this name.
[[nodiscard]] const DriverEntry* FindDriver(std::string_view name);

// The first driver that can drive this function; null if none can.
[[nodiscard]] const DriverEntry* DriverFor(const PciKind& kind);

}  // namespace carryover
