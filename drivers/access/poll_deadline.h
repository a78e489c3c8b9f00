// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <poll.h>

#include <span>

#include "drivers/access/deadline.h"
#include "drivers/access/result.h"

namespace carryover {

// poll(2) until the deadline, also if signals come. False if nothing was ready by then.
[[nodiscard]] Result<bool> PollDeadline(std::span<pollfd> wanted, Deadline deadline);

}  // namespace carryover
