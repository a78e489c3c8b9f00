// SPDX-License-Identifier: GPL-2.0-only
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "selftests/program/kernel_clock.h"
#include "selftests/program/verbs.h"

namespace carryover {

ExitCode Clock(const Options& /*options*/, EventWriter& events) {
  constexpr unsigned kKernelStamps = 3;
  SayKernelClock(events, kKernelStamps);
  events.Write("clock", {{"echo", nullptr}});  // from here on it answers
  for (std::string line; std::getline(std::cin, line);) events.Write("clock", {{"echo", line}});
  return ExitCode::kOk;
}

}  // namespace carryover
