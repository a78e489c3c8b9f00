// SPDX-License-Identifier: GPL-2.0-only
// What lies where in the driver's DMA region, behind the saved state.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "drivers/igb/descriptors.h"

namespace carryover::igb {

inline constexpr std::uint32_t kTxRingSize = 4096;  // descriptors
inline constexpr std::uint32_t kRxRingSize = 2048;  // frames

// Bytes that a frame carries: two pages. The 82576 takes frames of 9.5 KB (7.1, jumbo frames).
inline constexpr std::uint32_t kFramePayload = 8192;

struct RegionLayout {
  alignas(4096) std::array<TxDescriptor, kTxRingSize> tx;
  alignas(4096) std::array<RxDescriptor, kRxRingSize> rx;
  alignas(4096) std::array<FrameHeader, kRxRingSize> tx_headers;
  alignas(4096) std::array<FrameHeader, kRxRingSize> rx_headers;
};
static_assert(std::is_standard_layout_v<RegionLayout>);
static_assert(sizeof(RegionLayout) % 4096 == 0);
static_assert(offsetof(RegionLayout, tx) % kRingAlignment == 0);
static_assert(offsetof(RegionLayout, rx) % kRingAlignment == 0);
static_assert(sizeof(RegionLayout::tx) % kRingAlignment == 0 &&
              sizeof(RegionLayout::tx) <= kRingMaxBytes);
static_assert(sizeof(RegionLayout::rx) % kRingAlignment == 0 &&
              sizeof(RegionLayout::rx) <= kRingMaxBytes);

}  // namespace carryover::igb
