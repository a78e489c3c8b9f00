// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/poll_deadline.h"

namespace carryover {

Result<bool> PollDeadline(std::span<pollfd> wanted, Deadline deadline) {
  for (;;) {
    const auto left = deadline.Remaining();
    const timespec timeout{.tv_sec = left.count() / 1'000'000'000,
                           .tv_nsec = left.count() % 1'000'000'000};
    const int ready = ppoll(wanted.data(), wanted.size(), &timeout, nullptr);
    if (ready >= 0) return ready > 0;
    if (errno != EINTR) return FailErrno("poll");
  }
}

}  // namespace carryover
