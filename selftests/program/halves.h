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

// Selected tests of one kind. A test of a claim that this kernel does not make is left out of
// `names` and stands in `not_claimed`.
struct Selection {
  std::vector<std::string> names;
  std::vector<std::string> not_claimed;
};
enum class TestKind : std::uint8_t { kRun, kContinuity };
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

// The continuity tests need LUO: an error event and an exit code if it is not there.
[[nodiscard]] std::optional<ExitCode> RequireLiveUpdate(EventWriter& events);

// Runs the named tests through GoogleTest, with the devices they need being opened meanwhile;
// `observer` hears of each. True if all are good.
[[nodiscard]] bool RunSelected(const std::vector<std::string>& names, EventWriter& events);

// SKIP with the reason for each test whose claim is not made.
void SkipNotClaimed(const std::vector<std::string>& names, EventWriter& events);

// Writes and preserves the ledger of what Continuity has armed, says `holding`, and tells whether
// to hold.
[[nodiscard]] bool HoldWhatIsArmed(EventWriter& events);

// Runs `work` in a holder (holder.h) within the time limits of `names`; kept resources and devices
// are let go when it ends without a kexec.
[[nodiscard]] ExitCode RunHolding(EventWriter& events, const std::vector<std::string>& names,
                                  const std::function<HolderOutcome()>& work);

}  // namespace carryover
