// SPDX-License-Identifier: GPL-2.0-only
#include "selftests/program/take_machine.h"

#include <fmt/format.h>

#include <cerrno>
#include <chrono>
#include <string>

#include "drivers/access/deadline.h"
#include "selftests/program/handover_owner.h"
#include "selftests/program/holder.h"
#include "selftests/program/target_lock.h"
#include "selftests/program/verbs.h"

namespace carryover {
namespace {

Result<TargetLock> TakeLock(const Options& options) {
  auto lock = TargetLock::Take(options.owner, options.verb, kRunDirectory);
  if (lock || lock.error().code != EBUSY || !options.take_over) return lock;
  const auto released = ReleaseHolder(Deadline::After(std::chrono::seconds(30)));
  if (!released && released.error().code != ENOENT) return std::unexpected(released.error());
  return TargetLock::Take(options.owner, options.verb, kRunDirectory);
}

std::string Remedy(const Options& options) {
  return options.take_over ? "that process is at work, end it first"
                           : "wait until that run is over, or put back what it left "
                             "(`carryover restore`), or end its holder (`release --take-over`)";
}

}  // namespace

std::optional<ExitCode> TakeMachine(const Options& options, EventWriter& events) {
  auto lock = TakeLock(options);
  if (!lock) {
    const bool is_held = lock.error().code == EBUSY;
    return SayError(events, is_held ? "held" : "lock",
                    is_held ? fmt::format("{}: {}", lock.error().message, Remedy(options))
                            : lock.error().ToString(),
                    ExitCode::kCannot);
  }
  static std::optional<TargetLock> taken;  // until the process ends
  taken.emplace(std::move(*lock));
  const auto owner = OwnerOfUnverified();
  const auto ours = OwnerOf(OwnerWord(options.owner));  // a long one is cut
  if (owner && owner != ours && !options.take_over) {
    return SayError(
        events, "held",
        fmt::format("this kernel came up by a kexec of {}, who has not verified it "
                    "yet: let that run go on, or put back what it left (`carryover restore`), "
                    "or reboot, or take it over (--take-over)",
                    *owner),
        ExitCode::kCannot);
  }
  // What was handed over is looked at now, or given up.
  const bool is_over =
      options.verb == "verify" || options.verb == "release" || options.verb == "restore";
  if (is_over || options.take_over) {
    if (auto marked = MarkVerified(); !marked) {
      return SayError(events, "lock", marked.error().ToString(), ExitCode::kCannot);
    }
  }
  return std::nullopt;
}

}  // namespace carryover
