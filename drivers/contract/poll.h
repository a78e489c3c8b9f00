// SPDX-License-Identifier: GPL-2.0-only
// Waiting for a device's register.
#pragma once

#include <algorithm>
#include <chrono>
#include <string>
#include <string_view>
#include <thread>

#include "drivers/access/deadline.h"
#include "drivers/access/result.h"

namespace carryover {

// Returns when `done()`, sleeping `interval` between two looks; what is true at the deadline still
// counts. `device` has CheckPresent(what), as an Engine has. Errors: ENODEV (the device is gone),
// ETIMEDOUT; their message is `what`.
template <typename Device, typename Done>
[[nodiscard]] Result<void> PollUntil(Device& device, Done done, std::chrono::nanoseconds interval,
                                     Deadline deadline, std::string_view what) {
  while (true) {
    const bool last = deadline.Passed();
    if (auto present = device.CheckPresent(what); !present) return present;
    if (done()) return {};
    if (last) return Fail(ETIMEDOUT, std::string(what));
    std::this_thread::sleep_for(std::min(interval, deadline.Remaining()));
  }
}

}  // namespace carryover
