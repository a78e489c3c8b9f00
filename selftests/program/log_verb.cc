// SPDX-License-Identifier: GPL-2.0-only
#include <nlohmann/json.hpp>

#include "fixtures/kernel_log/kernel_log.h"
#include "selftests/program/verbs.h"

namespace carryover {

ExitCode Log(const Options& options, EventWriter& events) {
  auto log = KernelLog::Open(KernelLog::From::kBoot);
  if (!log) return SayError(events, "log", log.error().ToString(), ExitCode::kCannot);
  const auto messages = log->ReadAll();
  if (!messages) return SayError(events, "log", messages.error().ToString(), ExitCode::kCannot);
  std::int64_t next = options.after + 1;
  for (const KernelMessage& message : *messages) {
    const auto sequence = static_cast<std::int64_t>(message.sequence);
    if (sequence < next) continue;
    if (sequence > next) events.Write("kernel-log-lost", {{"records", sequence - next}});
    next = sequence + 1;
    events.Write("kernel-message", {{"level", message.level},
                                    {"sequence", sequence},
                                    {"time_us", message.time_us},
                                    {"caller", message.caller},
                                    {"text", message.text}});
  }
  return ExitCode::kOk;
}

}  // namespace carryover
