// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/vfio_user/event_log.h"

#include <fcntl.h>

#include <chrono>

namespace carryover::vfio_user {

Result<EventLog> EventLog::Open(const std::string& path) {
  EventLog log;
  log.file_ = UniqueFd(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!log.file_.valid()) return FailErrno("open " + path);
  return log;
}

void EventLog::Write(std::string_view event, const nlohmann::ordered_json& fields) {
  if (!file_.valid()) return;
  const std::chrono::nanoseconds now = std::chrono::steady_clock::now().time_since_epoch();
  nlohmann::ordered_json line{{"t", now.count()}, {"event", event}};
  if (fields.is_object()) line.update(fields);
  // What others sent is logged, too: it may be anything.
  const std::string text =
      line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  // At once, and in one piece: a reader sees whole lines.
  [[maybe_unused]] const ssize_t written = write(file_.get(), text.data(), text.size());
}

}  // namespace carryover::vfio_user
