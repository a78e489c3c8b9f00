// SPDX-License-Identifier: GPL-2.0-only
// The processor's counter that no kernel sets: it runs on through a kexec, and is the one clock
// that an outgoing and an incoming kernel have in common (Intel SDM volume 3, "Time-Stamp
// Counter").
#pragma once

#include <cstdint>
#include <optional>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace carryover {

// Ticks of a rate that is told nowhere; none on a processor of another kind.
[[nodiscard]] inline std::optional<std::uint64_t> ReadTsc() {
#if defined(__x86_64__)
  _mm_lfence();  // not before what comes before it
  return __rdtsc();
#else
  return std::nullopt;
#endif
}

}  // namespace carryover
