// SPDX-License-Identifier: GPL-2.0-only
// The lock on the machine under test: one run at a time, whoever started it from wherever.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "drivers/access/result.h"
#include "drivers/access/unique_fd.h"

namespace carryover {

inline constexpr const char* kRunDirectory = "/run/carryover";

// Who has the lock, as the file says.
struct LockRecord {
  std::string owner;  // --owner, or DefaultOwner()
  std::string verb;
  std::string since;  // UTC, as 2026-11-28T05:00:00Z
  pid_t pid = 0;      // the process that took it; a holder that it left has it on
  std::uint64_t start_time = 0;

  [[nodiscard]] std::string ToString() const;
};

// flock(2) on DIRECTORY/lock. A child of the process has it too, and keeps it when the process
// ends: so a holder has it from `arm` to the kexec, and the kernel frees it whatever they die of.
class TargetLock {
 public:
  // Takes it, and writes down for whom. If `owner` has it already, by a process that has ended and
  // left a holder, that is enough. Errors: EBUSY (somebody has it: who is said), those of the file.
  [[nodiscard]] static Result<TargetLock> Take(const std::string& owner, std::string_view verb,
                                               const std::filesystem::path& directory);

 private:
  explicit TargetLock(UniqueFd file) : file_(std::move(file)) {}

  UniqueFd file_;  // none if a holder of the same owner has it
};

// Who has the lock now; none if nobody. Does not touch it. Errors: it cannot be told.
[[nodiscard]] Result<std::optional<LockRecord>> ReadLock(const std::filesystem::path& directory);

// "root from 10.0.2.2", by $LOGNAME and $SSH_CONNECTION: somebody who works by hand.
[[nodiscard]] std::string DefaultOwner();

}  // namespace carryover
