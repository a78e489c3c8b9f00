// SPDX-License-Identifier: GPL-2.0-only
// What a model did and was told, as JSON lines. Each has "t", ns of the host's monotonic clock, and
// "event":
//
//   connected, disconnected {"why"}    the other side
//   dma        {"write", "address", "length", "ok"}; ok: it was not refused
//   interrupt  {"kind", "vector", "sent"}; sent: somebody listens
//   reset      {"by"}: "function", or "machine"
//   master     {"on"}: bus master
//   violation  {"what"}: forbidden by the device's specification
//   refused    {"command", "why"}: a request that was answered with an error
//   faults     {"set"}: what was asked for
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "drivers/access/result.h"
#include "drivers/access/unique_fd.h"

namespace carryover::vfio_user {

class EventLog {
 public:
  // Into nothing.
  EventLog() = default;
  // Into the end of this file, a line at a time. Errors: those of open(2).
  [[nodiscard]] static Result<EventLog> Open(const std::string& path);

  // What is no UTF-8 in strings is replaced.
  void Write(std::string_view event, const nlohmann::ordered_json& fields = {});

 private:
  UniqueFd file_;
};

}  // namespace carryover::vfio_user
