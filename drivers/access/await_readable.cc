// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/await_readable.h"

#include <poll.h>

namespace carryover {

Result<void> AwaitReadable(int fd, Deadline deadline) {
  for (;;) {
    const auto left = deadline.Remaining();
    const timespec timeout{.tv_sec = left.count() / 1'000'000'000,
                           .tv_nsec = left.count() % 1'000'000'000};
    pollfd readable{.fd = fd, .events = POLLIN, .revents = 0};
    const int ready = ppoll(&readable, 1, &timeout, nullptr);
    if (ready > 0) return {};
    if (ready == 0) return Fail(ETIMEDOUT, "nothing to read");
    if (errno != EINTR) return FailErrno("poll");
  }
}

}  // namespace carryover
