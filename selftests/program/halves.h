// SPDX-License-Identifier: GPL-2.0-only
// What run, arm and verify share: prepare the process, select, run, report.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "fixtures/continuity/claim.h"
#include "fixtures/continuity/continuity.h"
#include "selftests/program/event_writer.h"
#include "selftests/program/holder.h"
#include "selftests/program/options.h"
#include "selftests/program/test_events.h"

namespace carryover {

// Selected tests of one kind. A test that cannot be run here is left out of `names` and stands in
// `skipped`.
struct Selection {
  struct Skipped {
    std::string name;
    std::string reason;
  };
  std::vector<std::string> names;
  std::vector<Skipped> skipped;

  [[nodiscard]] bool empty() const { return names.empty() && skipped.empty(); }
  [[nodiscard]] std::size_t size() const { return names.size() + skipped.size(); }
};
enum class TestKind : std::uint8_t { kRun, kContinuity };
// Skips the tests of claims that this kernel does not make.
[[nodiscard]] Selection Select(const Options& options, TestKind kind);

// The claim that a test is of; none if it needs none.
[[nodiscard]] std::optional<Claim> ClaimOf(const std::string& test);

// True if --claim names it (`memory` if no --claim is given).
[[nodiscard]] bool IsClaimed(const Options& options, Claim claim);

// Registers the listed devices; an error event and an exit code if the list is wrong or a selected
// test needs a driver for which none is listed.
[[nodiscard]] std::optional<ExitCode> PrepareDevices(const Options& options,
                                                     const std::vector<std::string>& names,
                                                     EventWriter& events);

// Skips the tests that need more devices than are listed. After PrepareDevices().
void SkipWithoutDevices(Selection& selection);

// The continuity tests need LUO: an error event and an exit code if it is not there.
[[nodiscard]] std::optional<ExitCode> RequireLiveUpdate(EventWriter& events);

// Runs the named tests through GoogleTest, with the devices they need being opened meanwhile;
// `observer` hears of each. True if all are good.
[[nodiscard]] bool RunSelected(const std::vector<std::string>& names, EventWriter& events);

// SKIP with the reason, for each of them.
void ReportSkipped(const std::vector<Selection::Skipped>& skipped, EventWriter& events);

// Writes and preserves the ledger of what Continuity has armed, says `holding`, and tells whether
// to hold.
[[nodiscard]] bool HoldWhatIsArmed(EventWriter& events);

// Runs `work` in a holder (holder.h) within the time limits of `names`; kept resources and devices
// are let go when it ends without a kexec.
[[nodiscard]] ExitCode RunHolding(EventWriter& events, const std::vector<std::string>& names,
                                  const std::function<HolderOutcome()>& work);

}  // namespace carryover
