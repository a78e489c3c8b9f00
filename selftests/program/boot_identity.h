// SPDX-License-Identifier: GPL-2.0-only
// Which boot of which kernel this is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace carryover {

struct BootIdentity {
  std::string kernel;   // uname -r
  std::string boot_id;  // /proc/sys/kernel/random/boot_id
  std::string command_line;
  std::optional<std::uint64_t> tainted;  // /proc/sys/kernel/tainted
  // Of the boot's kernel log; null if it has scrolled away or cannot be read.
  std::optional<std::int64_t> kho_count;   // 0 on a cold boot
  std::optional<std::int64_t> luo_number;  // absent on a cold boot
};

[[nodiscard]] BootIdentity ReadBootIdentity();

}  // namespace carryover
