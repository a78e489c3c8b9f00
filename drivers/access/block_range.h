// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>

namespace carryover {

// Logical blocks of a disk, as large as the disk says they are.
struct BlockRange {
  std::uint64_t first = 0;
  std::uint64_t count = 0;

  friend bool operator==(const BlockRange&, const BlockRange&) = default;
};

}  // namespace carryover
