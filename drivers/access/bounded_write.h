// SPDX-License-Identifier: GPL-2.0-only
// Writes to sysfs attributes that may block for as long as somebody likes.
#pragma once

#include <filesystem>
#include <string_view>

#include "drivers/access/deadline.h"
#include "drivers/access/result.h"

namespace carryover {

// Writes the whole value by one write(2), before the deadline.
// A write to `unbind` of vfio-pci sleeps, unkillable, until every file of the device is closed, and
// so does all that waits for the device's lock. The write is therefore done by a child process that
// holds no files: this process can go on, end, and so close the file that the child waits for.
// Errors: ETIMEDOUT (the write may still take effect later), open(2)'s and write(2)'s.
[[nodiscard]] Result<void> BoundedWrite(const std::filesystem::path& attribute,
                                        std::string_view value, Deadline deadline);

}  // namespace carryover
