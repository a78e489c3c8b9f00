// SPDX-License-Identifier: GPL-2.0-only
// Driver of the Intel Data Streaming Accelerator (8086:0b25 of Sapphire Rapids and its like), as in
// its Architecture Specification 2.0, without PASID: descriptors carry IOVAs.
//
// A copy is a move descriptor, a batch of copies a batch descriptor; any length and alignment is
// good. Dedicated work queue 0 has the copies. RaiseInterrupt() has work queue 1, and a descriptor
// that moves nothing: it does not wait for copies. Vector 0 is the device's own.
//
// A descriptor is handed to the device by one write of 64 bytes (MOVDIR64B), which all processors
// that have a DSA can do. On others, as on the bench, it is eight writes of 8 bytes, which only the
// model takes.
#pragma once

#include "drivers/driver.h"

namespace carryover::dsa {

inline constexpr PciId kDsa{.vendor = 0x8086, .device = 0x0b25};

[[nodiscard]] const DriverEntry& Entry();

}  // namespace carryover::dsa
