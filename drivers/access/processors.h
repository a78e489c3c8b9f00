// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <algorithm>
#include <thread>

namespace carryover {

// How many threads are worth to start for work on memory: one a processor, 1 if that is unknown.
[[nodiscard]] inline unsigned Processors() {
  return std::max(1U, std::thread::hardware_concurrency());
}

}  // namespace carryover
