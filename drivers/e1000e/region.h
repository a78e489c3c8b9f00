// SPDX-License-Identifier: GPL-2.0-only
// What lies where in the driver's DMA region, behind the saved state.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "drivers/e1000e/descriptors.h"

namespace carryover::e1000e {

inline constexpr std::uint32_t kTxRingSize = 4096;  // descriptors
inline constexpr std::uint32_t kRxRingSize = 2048;  // frames

// Bytes that a frame carries: two pages. The 82574 takes frames of 9018 bytes (jumbo frames).
inline constexpr std::uint32_t kFramePayload = 8192;
inline constexpr std::uint32_t kMaxFrame = 9018;  // with CRC
static_assert(sizeof(FrameHeader) + kFramePayload + 4 <= kMaxFrame);
static_assert(kFramePayload % Psrctl::kDataUnit == 0);

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
static_assert(sizeof(RegionLayout::tx) % kRingLengthUnit == 0 &&
              sizeof(RegionLayout::tx) <= kRingMaxBytes);
static_assert(sizeof(RegionLayout::rx) % kRingLengthUnit == 0 &&
              sizeof(RegionLayout::rx) <= kRingMaxBytes);

}  // namespace carryover::e1000e
