// SPDX-License-Identifier: GPL-2.0-only
// Driver of virtio block devices without legacy (1af4:1042), as in Virtual I/O Device 1.2.
//
// It copies through the disk: a piece is written to scratch blocks, and read from there to its
// destination (drivers/media). The scratch blocks, 4 MiB of them, are those that DriverOptions
// names; no other block is written or read. Any length and alignment is good: what a block has
// besides is written from the driver's region, and read into it.
//
// RaiseInterrupt() asks for the device's id, on a queue of its own; for another vector the device
// is reset, and goes on. Copies are on another queue, which has no vector.
//
// Limits: the device must go through the IOMMU (VIRTIO_F_ACCESS_PLATFORM; QEMU: iommu_platform=on),
// be writable, and have two queues (VIRTIO_BLK_F_MQ).
#pragma once

#include "drivers/driver.h"

namespace carryover::virtio {

inline constexpr PciId kBlock{.vendor = 0x1af4, .device = 0x1042};

[[nodiscard]] const DriverEntry& Entry();

}  // namespace carryover::virtio
