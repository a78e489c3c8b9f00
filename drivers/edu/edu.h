// SPDX-License-Identifier: GPL-2.0-only
// Driver of edu, QEMU's device for teaching (1234:11e8; QEMU, docs/specs/edu.rst).
//
// It copies through the device's 4 KiB of memory: a piece of the source in, and out to the
// destination. Any length and alignment is good.
//
// Limits: one transfer at a time, and QEMU's edu takes 0.1 s for each: 20 KB a second. It has no
// rings: Wait() starts what Copy() could not. It cannot be stopped: Quiesce() waits for the
// transfer, and a device that does not end it is reset as a whole function by Start() and Stop().
// It does not notice what the IOMMU refuses: in QEMU a piece whose source cannot be read arrives as
// whatever the device's memory held. Create it with dma_mask=0xffffffffffffffff: by default it
// clips all addresses to 28 bits, silently.
#pragma once

#include <chrono>
#include <memory>

#include "drivers/driver.h"

namespace carryover::edu {

inline constexpr PciId kEdu{.vendor = 0x1234, .device = 0x11e8};

// How long a transfer is waited for before the function is reset: ten times what QEMU's takes.
inline constexpr std::chrono::milliseconds kTransferPatience{1000};

[[nodiscard]] const DriverEntry& Entry();

// What Entry() makes, with another patience.
[[nodiscard]] std::unique_ptr<Driver> MakeDriver(PciDevice& device,
                                                 std::chrono::milliseconds transfer_patience);

}  // namespace carryover::edu
