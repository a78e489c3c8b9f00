// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/await_readable.h"

#include "drivers/access/poll_deadline.h"

namespace carryover {

Result<void> AwaitReadable(int fd, Deadline deadline) {
  pollfd readable{.fd = fd, .events = POLLIN, .revents = 0};
  const auto ready = PollDeadline({&readable, 1}, deadline);
  if (!ready) return std::unexpected(ready.error());
  if (!*ready) return Fail(ETIMEDOUT, "nothing to read");
  return {};
}

}  // namespace carryover
