// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "drivers/access/deadline.h"
#include "drivers/access/result.h"

namespace carryover {

// Waits until `fd` has something to read, or its other end is closed (poll(2), POLLIN or POLLHUP);
// a pidfd is readable when its process has ended. Errors: ETIMEDOUT, and those of poll.
[[nodiscard]] Result<void> AwaitReadable(int fd, Deadline deadline);

}  // namespace carryover
