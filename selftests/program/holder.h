// SPDX-License-Identifier: GPL-2.0-only
// The holder: the process that keeps every session open until the kexec, while `arm` itself can
// end.
#pragma once

#include <sys/types.h>

#include <functional>

#include "drivers/access/deadline.h"
#include "drivers/access/result.h"
#include "selftests/program/options.h"

namespace carryover {

// What the forked child has to say of itself.
struct HolderOutcome {
  ExitCode code = ExitCode::kOk;
  bool hold = false;  // stay until the kexec or SIGTERM
};

// Runs `work` in a detached child process (own session, no controlling terminal) and returns its
// exit code as soon as `work` is done; the child stays if it is to hold, with standard streams on
// /dev/null, until SIGTERM, and runs `let_go` then; else it has run it before. Errors: EBUSY
// (another holder is alive), ETIMEDOUT (`work` is not done at the deadline; the child is killed),
// ECHILD (it died), fork's.
[[nodiscard]] Result<ExitCode> RunInHolder(const std::function<HolderOutcome()>& work,
                                           const std::function<void()>& let_go, Deadline deadline);

// Process id of the holder that is alive. Error: ENOENT (none).
[[nodiscard]] Result<pid_t> FindHolder();

// Ends the holder and waits until it is gone. Errors: ENOENT (none), ETIMEDOUT.
[[nodiscard]] Result<void> ReleaseHolder(Deadline deadline);

}  // namespace carryover
