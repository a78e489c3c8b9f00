// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <string>

#include "drivers/access/result.h"
#include "drivers/access/unique_fd.h"

namespace carryover {

// A socket of this type (SOCK_STREAM, SOCK_DGRAM, with flags) and name, in the place of one that an
// earlier process left behind; a file that is no socket stays. Errors: ENAMETOOLONG, those of
// bind(2).
[[nodiscard]] Result<UniqueFd> BindUnixSocket(const std::string& path, int type);

// Connects `fd` to the socket of this name. Errors: ENAMETOOLONG, those of connect(2).
[[nodiscard]] Result<void> ConnectUnixSocket(int fd, const std::string& path);

}  // namespace carryover
