// SPDX-License-Identifier: GPL-2.0-only
#include <nlohmann/json.hpp>

#include "fixtures/continuity/continuity_test.h"
#include "fixtures/device_need/device_need.h"
#include "fixtures/soak/soak.h"
#include "selftests/program/halves.h"
#include "selftests/program/selection.h"
#include "selftests/program/verbs.h"

namespace carryover {

ExitCode List(const Options& options, EventWriter& events) {
  std::size_t count = 0;
  for (const TestCase& test : AllTests(options.hidden)) {
    if (!MatchesFilter(test.name, options.Filter())) continue;
    ++count;
    const ContinuityInfo* info = FindContinuityTest(test.name);
    const std::string_view driver =
        info != nullptr ? info->traits.driver : NeededDevices(test.name).driver;
    const auto claim = ClaimOf(test.name);
    nlohmann::json event{
        {"name", test.name},
        {"kind", info != nullptr ? "continuity" : "run"},
        {"claim", claim ? nlohmann::json(ClaimName(*claim)) : nullptr},
        {"driver", driver.empty() ? nlohmann::json() : nlohmann::json(driver)},
        {"generations", info != nullptr ? info->generations : 0},
        {"time_limit_ms",
         Soak::Scaled(info != nullptr ? info->traits.time_limit : kRunTimeLimit).count()},
        {"own_kexec", info != nullptr && info->traits.own_kexec},
        {"file", test.file},
        {"line", test.line},
        {"summary", info != nullptr ? nlohmann::json(info->summary) : nullptr}};
    events.Write("test", std::move(event));
  }
  if (count == 0) {
    return SayError(events, "usage", "no test matches '" + options.Filter() + "'; `list` shows all",
                    ExitCode::kUsage);
  }
  return ExitCode::kOk;
}

}  // namespace carryover
