// SPDX-License-Identifier: GPL-2.0-only
// Driver of the DMA channels of Intel Xeon processors (Crystal Beach DMA, QuickData Technology,
// I/OAT), versions 3.2 and 3.3: by the Intel Xeon E5 v2 data sheet, volume 2, chapter 8, and, where
// that is silent (descriptors, how a channel is restarted), by what Linux, FreeBSD, SPDK and DPDK
// do. Each channel is a PCI function.
//
// A copy is a descriptor for each XFERCAP bytes of it; any alignment is good. An interrupt is a
// descriptor, too, that copies nothing: it comes after the copies that were posted before.
//
// Limits: addresses above the processor's (46 or 48 bits) halt the channel: EIO.
#pragma once

#include "drivers/driver.h"

namespace carryover::ioat {

inline constexpr PciId kSkylake{.vendor = 0x8086, .device = 0x2021};

// True for the channels of Xeon E5 and E7 v2 (8086:0e20 to 0e27), v3 (2f20 to 2f27) and v4 (6f20 to
// 6f27), and of Skylake-SP and Cascade Lake (8086:2021). Not for
// - functions 0 and 1 as XOR channels (device ids ending in 2e and 2f): suspending one may corrupt
//   what the other channels copy (specification update of E7 v2, CF5);
// - Atom S1200 and Xeon D-1500 (0c50 to 0c53, 6f50 to 6f53): a channel's reset loses the MSI-X
//   table, and a user of VFIO is not told what was in it, so that interrupts that were enabled
//   before Start() would be lost;
// - version 3.4 (0b00, Ice Lake), and before 3.2.
[[nodiscard]] bool Drives(PciId id);

[[nodiscard]] const DriverEntry& Entry();

}  // namespace carryover::ioat
