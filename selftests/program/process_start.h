// SPDX-License-Identifier: GPL-2.0-only
// Which process it is: an id alone may have been given to another one.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "drivers/access/result.h"

namespace carryover {

// When the process began, in clock ticks since boot (proc(5), stat, field 22). Error: ENOENT (there
// is none, or it has ended and is not waited for yet).
[[nodiscard]] Result<std::uint64_t> StartTime(pid_t pid);

}  // namespace carryover
