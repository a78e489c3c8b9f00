// SPDX-License-Identifier: GPL-2.0-only
#include "selftests/program/kernel_clock.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>

#include "drivers/access/deadline.h"
#include "fixtures/kernel_log/kernel_log.h"
#include "selftests/program/tsc.h"

namespace carryover {

void SayKernelClock(EventWriter& events, unsigned times) {
  constexpr std::string_view kMarker = "carryover: clock";
  constexpr std::chrono::seconds kPatience{1};
  auto log = KernelLog::Open(KernelLog::From::kNow);
  for (unsigned i = 0; log && i < times; ++i) {
    const auto before = ReadTsc();
    const bool written = WriteKernelLog("<7>" + std::string(kMarker)).has_value();
    const auto after = ReadTsc();
    if (!written || !before || !after) return;
    const auto record = log->WaitFor(kMarker, Deadline::After(kPatience));
    if (!record) return;
    events.Write("kernel-clock",
                 {{"before", *before}, {"time_us", record->time_us}, {"after", *after}});
  }
}

}  // namespace carryover
