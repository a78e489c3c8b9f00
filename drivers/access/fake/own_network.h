// SPDX-License-Identifier: GPL-2.0-only
// A network namespace of one's own, for what only the kernel can answer.
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace carryover {

// What `work` returns in a child process that has such a namespace, and may do everything there;
// none where this process may have none.
[[nodiscard]] std::optional<std::string> InOwnNetwork(const std::function<std::string()>& work);

}  // namespace carryover
