// SPDX-License-Identifier: GPL-2.0-only
#include <algorithm>
#include <cerrno>
#include <iterator>
#include <nlohmann/json.hpp>

#include "fixtures/devices/devices.h"
#include "selftests/program/boot_identity.h"
#include "selftests/program/halves.h"
#include "selftests/program/holder.h"
#include "selftests/program/verbs.h"

namespace carryover {

ExitCode Arm(const Options& options, EventWriter& events) {
  Selection selection = Select(options, TestKind::kContinuity);
  if (selection.empty()) {
    return SayError(events, "usage", "no continuity test matches '" + options.Filter() + "'",
                    ExitCode::kUsage);
  }
  if (options.with_run) {
    Selection run = Select(options, TestKind::kRun);
    std::ranges::move(run.names, std::back_inserter(selection.names));
    std::ranges::move(run.skipped, std::back_inserter(selection.skipped));
  }
  if (auto exit = RequireLiveUpdate(events)) return *exit;
  if (auto exit = PrepareDevices(options, selection.names, events)) return *exit;
  SkipWithoutDevices(selection);
  const std::vector<std::string>& names = selection.names;
  return RunHolding(events, names, [&] -> HolderOutcome {
    const BootIdentity boot = ReadBootIdentity();
    Continuity& continuity = Continuity::Get();
    continuity.Begin(Half::kArm, 0, std::nullopt);
    continuity.next().boot_id = boot.boot_id;
    continuity.next().kho_count = boot.kho_count.value_or(0);
    continuity.next().nonce = options.nonce;
    events.Plan(selection.size());
    ReportSkipped(selection.skipped, events);
    const bool good = RunSelected(names, events);
    const bool hold = HoldWhatIsArmed(events);
    return {good ? ExitCode::kOk : ExitCode::kFailed, hold};
  });
}

ExitCode Release(const Options& options, EventWriter& events) {
  const auto released = ReleaseHolder(Deadline::After(std::chrono::seconds(30)));
  const bool is_taken = options.take_over;  // by now there may be no holder any more
  if (!released && !(is_taken && released.error().code == ENOENT)) {
    return SayError(events, "holder", released.error().ToString(), ExitCode::kCannot);
  }
  return ExitCode::kOk;
}

}  // namespace carryover
