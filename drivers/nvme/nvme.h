// SPDX-License-Identifier: GPL-2.0-only
// Driver of NVMe controllers, by class (01:08:02), as in the NVM Express Base Specification 2.0.
//
// It copies through namespace 1: a piece is written to scratch blocks, and read from there to its
// destination (drivers/media). The scratch blocks, 4 MiB of them, are those that DriverOptions
// names; no other block is written or read. A read of what was written needs no flush: a volatile
// write cache returns it, too (NVM Command Set, 2.1.4).
//
// Any length and alignment is good where the controller takes SGLs of any alignment (SGLS 01b).
// Where it does not, PRPs are used, and addresses and lengths are whole blocks
// (traits().alignment): what is not a whole block could not be written without reading beyond the
// source.
//
// The controller interrupts by vector 0 for its own administration. RaiseInterrupt() reads one
// scratch block, on a queue of its own, which is made anew for another vector.
//
// Limits: blocks of 512 or 4096 bytes without metadata, two MSI-X vectors, two I/O queues.
#pragma once

#include "drivers/driver.h"

namespace carryover::nvme {

inline constexpr std::uint32_t kClassCode = 0x010802;

[[nodiscard]] const DriverEntry& Entry();

}  // namespace carryover::nvme
