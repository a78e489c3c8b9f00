// SPDX-License-Identifier: GPL-2.0-only
// Driver of the Intel 82576 Gigabit Ethernet controller (8086:10c9, copper), as in the 82576EB data
// sheet, and of QEMU's igb.
//
// It copies by looping frames back in the PHY: a frame is a header from the region and up to 8 KiB
// of source, read by transmit DMA; receive DMA puts the header back into the region and the rest
// into the destination, neither a byte more nor less. No alignment is asked of either.
//
// Limits: a destination may not begin at IOVA 0 (the device skips null receive buffers: EINVAL).
// A peer that sends frames to the driver's station address while copies are posted would have them
// received as if they were ours; then Wait() reports EIO. PHY loopback keeps the cable out; in QEMU
// give the device no peer (no netdev is needed) or a silent one.
#pragma once

#include <chrono>

#include "drivers/driver.h"

namespace carryover::igb {

// How long the link is given around its forcing into loopback; a real one needs it, an emulated one
// is not given any. Not in the data sheet: Linux' igb waits as long, or the first frames of its own
// loopback test get lost.
struct LinkSettling {
  std::chrono::milliseconds before_mac{50};
  std::chrono::milliseconds after_mac{500};
};

inline constexpr PciId k82576{.vendor = 0x8086, .device = 0x10c9};

[[nodiscard]] const DriverEntry& Entry();

// What Entry() makes, with another settling time.
[[nodiscard]] std::unique_ptr<Driver> MakeDriver(PciDevice& device, LinkSettling settling);

}  // namespace carryover::igb
