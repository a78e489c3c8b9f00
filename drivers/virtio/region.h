// SPDX-License-Identifier: GPL-2.0-only
// What lies where in the driver's DMA region, behind the saved state.
#pragma once

#include <array>
#include <cstdint>

#include "drivers/virtio/ring.h"

namespace carryover::virtio {

inline constexpr std::uint16_t kQueueSize = 256;  // descriptors, at most
inline constexpr std::uint16_t kChain = 4;  // descriptors of a request: header, data, rest, status
inline constexpr std::uint16_t kSlots = kQueueSize / kChain;

struct Queue {
  alignas(4096) std::array<Descriptor, kQueueSize> descriptors;
  alignas(4096) Available<kQueueSize> available;
  alignas(4096) Used<kQueueSize> used;
  alignas(4096) std::array<RequestHeader, kSlots> headers;
  std::array<std::uint8_t, kSlots> statuses;
};

struct RegionLayout {
  Queue copies;
  Queue interrupts;
  // What a block has besides a piece's bytes: written from the first, read into the second.
  alignas(4096) std::array<std::byte, 4096> filler;
  alignas(4096) std::array<std::byte, 4096> leftover;
};

}  // namespace carryover::virtio
