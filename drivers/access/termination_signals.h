// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "drivers/access/result.h"
#include "drivers/access/unique_fd.h"

namespace carryover {

// Blocks SIGTERM and SIGINT in this thread and those it will start; the file is readable when one
// has come (signalfd(2)). So a program that is to end does so where it looks, not anywhere.
[[nodiscard]] Result<UniqueFd> TakeTerminationSignals();

}  // namespace carryover
