// SPDX-License-Identifier: GPL-2.0-only
// What Save() leaves in a region, and Attach() believes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "drivers/access/pci_id.h"
#include "drivers/access/result.h"
#include "drivers/contract/engine.h"

namespace carryover {

// Host byte order: it is read on the machine that wrote it.
struct SavedState {
  static constexpr std::uint64_t kMagic = 0x7661732d6f727263;  // "crro-sav"
  static constexpr std::uint32_t kVersion = 3;

  std::uint64_t magic = kMagic;
  std::uint32_t version = kVersion;
  std::uint16_t vendor = 0;
  std::uint16_t device = 0;
  std::uint64_t driver = 0;  // hash of its name
  std::uint64_t iova = 0;    // of the region
  RingPositions positions{};
  std::uint64_t running = 0;  // 0: saved while quiesced
  std::uint64_t checksum = 0;

  [[nodiscard]] static SavedState Of(std::string_view driver, PciId id, Iova iova,
                                     const RingPositions& positions, bool running);
  // EINVAL: not a state that Of() gave for this driver, function and IOVA.
  [[nodiscard]] Result<void> CheckFor(std::string_view driver, PciId id, Iova iova) const;
  // The checksum of all before it.
  [[nodiscard]] std::uint64_t Sum() const;
};
static_assert(std::has_unique_object_representations_v<SavedState>);

}  // namespace carryover
