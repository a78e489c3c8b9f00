// SPDX-License-Identifier: GPL-2.0-only
// What lies where in the driver's DMA region.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "drivers/igb/descriptors.h"

namespace carryover::igb {

inline constexpr std::uint32_t kTxRingSize = 4096;  // descriptors
inline constexpr std::uint32_t kRxRingSize = 2048;  // frames

// Bytes that a frame carries: two pages. The 82576 takes frames of 9.5 KB (7.1, jumbo frames).
inline constexpr std::uint32_t kFramePayload = 8192;

// What Save() writes and Attach() believes. Everything before `checksum` is covered by it.
struct SavedState {
  static constexpr std::uint64_t kMagic = 0x6267692d6f727263;  // "crro-igb"
  static constexpr std::uint32_t kVersion = 1;

  std::uint64_t magic = kMagic;
  std::uint32_t version = kVersion;
  std::uint16_t vendor = 0;
  std::uint16_t device = 0;
  std::uint64_t iova = 0;  // of the region
  std::uint32_t tx_tail = 0;
  std::uint32_t rx_tail = 0;
  std::uint32_t running = 0;  // 0: saved while quiesced
  std::uint32_t reserved = 0;
  std::uint64_t checksum = 0;
};
static_assert(std::has_unique_object_representations_v<SavedState>);

// FNV-1a, 64 bits, over all before the checksum.
inline std::uint64_t Checksum(const SavedState& state) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const std::byte byte :
       std::as_bytes(std::span(&state, 1)).first(offsetof(SavedState, checksum))) {
    hash = (hash ^ std::to_integer<std::uint64_t>(byte)) * 0x100000001b3;
  }
  return hash;
}

struct RegionLayout {
  alignas(4096) SavedState saved;
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
