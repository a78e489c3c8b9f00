// SPDX-License-Identifier: GPL-2.0-only
// What lies in the driver's DMA region, behind the saved state: what the device has been given.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "drivers/access/iommu.h"

namespace carryover::edu {

// A transfer into the device's buffer and out of it again.
struct Piece {
  Iova source = 0;
  Iova destination = 0;
  std::uint64_t bytes = 0;  // 1 to kBufferSize
};

// Pieces are kept in a ring, as devices keep them that have one: this device takes one at a time.
inline constexpr std::uint32_t kPieces = 256;

struct RegionLayout {
  alignas(4096) std::array<Piece, kPieces> pieces;
};

}  // namespace carryover::edu
