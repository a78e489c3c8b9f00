// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/vfio_user/event_log.h"

#include <chrono>

namespace carryover::vfio_user {

Result<EventLog> EventLog::Open(const std::string& path) {
  EventLog log;
  log.file_.reset(std::fopen(path.c_str(), "ae"));
  if (!log.file_) return FailErrno("open " + path);
  return log;
}

void EventLog::Write(std::string_view event, nlohmann::ordered_json fields) {
  if (!file_) return;
  const std::chrono::nanoseconds now = std::chrono::steady_clock::now().time_since_epoch();
  nlohmann::ordered_json line{{"t", now.count()}, {"event", event}};
  if (fields.is_object()) line.update(fields);
  // What others sent is logged, too: it may be anything.
  const std::string text =
      line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  (void)std::fwrite(text.data(), 1, text.size(), file_.get());
  (void)std::fflush(file_.get());
}

}  // namespace carryover::vfio_user
