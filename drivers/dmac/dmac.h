// SPDX-License-Identifier: GPL-2.0-only
// Driver of dmac, the reference device (1234:0dac; docs/dmac.md).
//
// A copy is a descriptor; any length and alignment is good.
#pragma once

#include "drivers/driver.h"

namespace carryover::dmac {

inline constexpr PciId kDmac{.vendor = 0x1234, .device = 0x0dac};

[[nodiscard]] const DriverEntry& Entry();

}  // namespace carryover::dmac
