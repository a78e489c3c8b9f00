// SPDX-License-Identifier: GPL-2.0-only
// The descriptor, and what the driver keeps in its region.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace carryover::ioat {

// Base descriptor of a copy, 64 bytes, aligned to 64. There is no section on it in the public data
// sheets: Linux, FreeBSD and SPDK agree.
struct Descriptor {
  static constexpr std::uint32_t kInterrupt = 1U << 0;
  static constexpr std::uint32_t kNoSourceSnoop = 1U << 1;
  static constexpr std::uint32_t kNoDestinationSnoop = 1U << 2;
  static constexpr std::uint32_t kCompletion = 1U << 3;  // write CHANSTS to the completion address
  static constexpr std::uint32_t kFence = 1U << 4;
  static constexpr std::uint32_t kNull = 1U << 5;  // copy nothing; the size must not be 0
  static constexpr std::uint32_t kSourcePageBreak = 1U << 6;
  static constexpr std::uint32_t kDestinationPageBreak = 1U << 7;
  static constexpr std::uint32_t kBundle = 1U << 8;
  static constexpr std::uint32_t kDestinationDca = 1U << 9;
  static constexpr std::uint32_t kHint = 1U << 10;
  // Bits 31:24: the operation; 0 is a copy.
  static constexpr unsigned kOperationShift = 24;

  std::uint32_t size = 0;
  std::uint32_t control = 0;
  std::uint64_t source = 0;
  std::uint64_t destination = 0;
  std::uint64_t next = 0;
  std::uint64_t reserved[2] = {};
  std::uint64_t user[2] = {};  // the device ignores it
};
static_assert(sizeof(Descriptor) == 64);

// Counts of descriptors wrap with DMACOUNT: the ring divides them.
inline constexpr std::uint32_t kRingSize = 4096;
static_assert((std::numeric_limits<std::uint16_t>::max() + 1) % kRingSize == 0);

struct RegionLayout {
  alignas(4096) std::array<Descriptor, kRingSize> ring;  // each points to the next
  alignas(4096) std::uint64_t completion;                // CHANSTS, written by the device
};

}  // namespace carryover::ioat
