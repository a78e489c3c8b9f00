// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <string_view>

#include "drivers/access/mmio.h"
#include "drivers/access/result.h"

namespace carryover::dmac {

// Whether what answers at BAR 0 is a dmac. Errors: ENODEV (all ones: it is gone), EIO (another ID).
[[nodiscard]] Result<void> CheckIdentity(Mmio& bar, std::string_view during);

}  // namespace carryover::dmac
