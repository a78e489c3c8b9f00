// SPDX-License-Identifier: GPL-2.0-only
// Driver of Intel QuickData Technology (I/OAT, CBDMA), version 3.2 and later: the DMA engines of
// Xeon E5 and E7 v1 to v4 (8086:3c20-27, 0e20-27, 2f20-27, 6f20-27) and of Xeon Scalable
// (8086:2021).
//
// A copy is a descriptor or some; any length and alignment is good. The ring is a chain of
// descriptors that closes; the count of descriptors is its doorbell. RaiseInterrupt() posts a
// descriptor that moves nothing: it comes after the copies that were posted before it.
//
// Limits: Atom's engines (0c50 and its like) are left out: they lose their MSI-X table at a reset.
#pragma once

#include "drivers/driver.h"

namespace carryover::ioat {

[[nodiscard]] const DriverEntry& Entry();

}  // namespace carryover::ioat
