// SPDX-License-Identifier: GPL-2.0-only
// The verbs of the program, one function each (docs/protocol.md).
#pragma once

#include "selftests/program/event_writer.h"
#include "selftests/program/options.h"

namespace carryover {

[[nodiscard]] ExitCode List(const Options& options, EventWriter& events);
[[nodiscard]] ExitCode Probe(const Options& options, EventWriter& events);
[[nodiscard]] ExitCode Run(const Options& options, EventWriter& events);
[[nodiscard]] ExitCode Arm(const Options& options, EventWriter& events);
[[nodiscard]] ExitCode Verify(const Options& options, EventWriter& events);
[[nodiscard]] ExitCode Kexec(const Options& options, EventWriter& events);
[[nodiscard]] ExitCode Clock(const Options& options, EventWriter& events);
[[nodiscard]] ExitCode Log(const Options& options, EventWriter& events);
[[nodiscard]] ExitCode Release(const Options& options, EventWriter& events);
[[nodiscard]] ExitCode Restore(const Options& options, EventWriter& events);

// Says `message` as an `error` event of this kind ("usage", "device", "feature", "ledger-missing",
// "ledger-refused", "holder", "held", "lock", "kexec", "log") and returns the exit code.
ExitCode SayError(EventWriter& events, std::string_view kind, std::string_view message,
                  ExitCode code);

}  // namespace carryover
