// SPDX-License-Identifier: GPL-2.0-only
// What every verb does first that changes something on the machine.
#pragma once

#include <optional>

#include "selftests/program/event_writer.h"
#include "selftests/program/options.h"

namespace carryover {

// Takes the machine (target_lock.h) for as long as this process lives, or the holder that it
// leaves; no other run is in the middle of a kexec then (handover_owner.h). An `error` event of
// kind `held` and an exit code if somebody else has it: with --take-over, his holder is ended
// first.
[[nodiscard]] std::optional<ExitCode> TakeMachine(const Options& options, EventWriter& events);

}  // namespace carryover
