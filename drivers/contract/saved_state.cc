// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/contract/saved_state.h"

#include <fmt/format.h>

#include <span>

namespace carryover {
namespace {

// FNV-1a, 64 bits.
std::uint64_t Hash(std::span<const std::byte> bytes) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const std::byte byte : bytes) {
    hash = (hash ^ std::to_integer<std::uint64_t>(byte)) * 0x100000001b3;
  }
  return hash;
}

std::uint64_t Hash(std::string_view name) { return Hash(std::as_bytes(std::span(name))); }

}  // namespace

std::uint64_t SavedState::Sum() const {
  return Hash(std::as_bytes(std::span(this, 1)).first(offsetof(SavedState, checksum)));
}

SavedState SavedState::Of(std::string_view driver, PciId id, Iova iova,
                          const RingPositions& positions, bool running) {
  SavedState state;
  state.vendor = id.vendor;
  state.device = id.device;
  state.driver = Hash(driver);
  state.iova = iova;
  state.positions = positions;
  state.running = running ? 1 : 0;
  state.checksum = state.Sum();
  return state;
}

Result<void> SavedState::CheckFor(std::string_view name, PciId id, Iova region) const {
  if (magic != kMagic) {
    return Fail(EINVAL, fmt::format("{}: Attach(): the region has no saved state", name));
  }
  if (version != kVersion) {
    return Fail(EINVAL, fmt::format("{}: Attach(): saved state of version {}, this program has {}",
                                    name, version, kVersion));
  }
  if (checksum != Sum()) {
    return Fail(EINVAL, fmt::format("{}: Attach(): the saved state's checksum is wrong", name));
  }
  if (driver != Hash(name) || vendor != id.vendor || device != id.device || iova != region) {
    return Fail(EINVAL,
                fmt::format("{}: Attach(): saved {} for {} at IOVA {:#x}, not for {} at {:#x}",
                            name, driver == Hash(name) ? "" : "by another driver",
                            PciId{vendor, device}.ToString(), iova, id.ToString(), region));
  }
  return {};
}

}  // namespace carryover
