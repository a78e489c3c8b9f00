// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/termination_signals.h"

#include <sys/signalfd.h>

#include <csignal>

namespace carryover {

Result<UniqueFd> TakeTerminationSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  if (const int error = pthread_sigmask(SIG_BLOCK, &signals, nullptr); error != 0) {
    return Fail(error, "pthread_sigmask");
  }
  UniqueFd fd(signalfd(-1, &signals, SFD_CLOEXEC));
  if (!fd.valid()) return FailErrno("signalfd");
  return fd;
}

}  // namespace carryover
