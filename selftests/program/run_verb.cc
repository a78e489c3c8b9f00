// SPDX-License-Identifier: GPL-2.0-only
#include <nlohmann/json.hpp>

#include "fixtures/devices/devices.h"
#include "selftests/program/halves.h"
#include "selftests/program/verbs.h"

namespace carryover {

ExitCode Run(const Options& options, EventWriter& events) {
  Selection selection = Select(options, TestKind::kRun);
  if (selection.empty()) {
    return SayError(events, "usage", "no test without a kexec matches '" + options.Filter() + "'",
                    ExitCode::kUsage);
  }
  if (auto exit = PrepareDevices(options, selection.names, events)) return *exit;
  SkipWithoutDevices(selection);
  Continuity::Get().Begin(Half::kRun, 0, std::nullopt);
  events.Plan(selection.size());
  ReportSkipped(selection.skipped, events);
  const bool good = RunSelected(selection.names, events);
  if (auto restored = Devices::Get().RestoreAll(); !restored) {
    return SayError(events, "device", restored.error().ToString(), ExitCode::kCannot);
  }
  return good ? ExitCode::kOk : ExitCode::kFailed;
}

}  // namespace carryover
