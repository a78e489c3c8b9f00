// SPDX-License-Identifier: GPL-2.0-only
// Whose kexec a kernel came up by. A lock does not survive the kexec: until what was armed has been
// verified, the kernel's command line says who is to do that.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "drivers/access/result.h"

namespace carryover {

// For the command line of the kernel that `owner` kexecs into: "carryover.owner=ann%40desk".
[[nodiscard]] std::string OwnerWord(std::string_view owner);

// The owner that a kernel's command line names; none if it names nobody.
[[nodiscard]] std::optional<std::string> OwnerOf(std::string_view command_line);

// Where a kernel shows itself; another folder in unit tests.
struct HandoverRoots {
  std::filesystem::path run = "/run/carryover";
  std::filesystem::path proc = "/proc";
};

// Owner of the kexec that this kernel came up by, if nobody has begun to verify it; none after
// MarkVerified(), and on a kernel that `kexec` did not start.
[[nodiscard]] std::optional<std::string> OwnerOfUnverified(const HandoverRoots& roots = {});

// From now on, until the next boot, this kernel is anybody's. Errors: those of the file.
[[nodiscard]] Result<void> MarkVerified(const HandoverRoots& roots = {});

}  // namespace carryover
