// SPDX-License-Identifier: GPL-2.0-only
// Driver of the Intel 82574L Gigabit Ethernet controller (8086:10d3), as in the 82574 data sheet,
// and of QEMU's e1000e.
//
// It copies by looping frames back in the PHY: a frame is a header from the region and up to 8 KiB
// of source, read by transmit DMA; receive DMA, which splits a frame at a fixed size, puts the
// header back into the region and the rest into the destination, neither a byte more nor less. No
// alignment is asked of either.
//
// Limits: no copy to the first or the last byte of all IOVAs (EINVAL), which mean that there is no
// buffer. Resume() resets the device if copies were outstanding: nothing else empties its FIFOs. A
// peer that sends frames to the driver's station address while copies are posted would have them
// received as if they were ours; then Wait() reports EIO. PHY loopback keeps the cable out; in QEMU
// give the device no peer (no netdev is needed) or a silent one.
#pragma once

#include <chrono>
#include <memory>

#include "drivers/driver.h"

namespace carryover::e1000e {

// How long the PHY is given, where the data sheet has no sign to wait for: a link's forcing into
// loopback, and the configuration from the EEPROM after a reset. As long as Linux' e1000e waits.
struct Settling {
  std::chrono::milliseconds configuration{25};
  std::chrono::milliseconds loopback{250};
};

inline constexpr PciId k82574{.vendor = 0x8086, .device = 0x10d3};

[[nodiscard]] const DriverEntry& Entry();

// What Entry() makes, with another settling time.
[[nodiscard]] std::unique_ptr<Driver> MakeDriver(PciDevice& device, Settling settling);

}  // namespace carryover::e1000e
