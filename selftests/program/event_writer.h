// SPDX-License-Identifier: GPL-2.0-only
// What the program says: JSON lines for machines (docs/protocol.md), KTAP for people
// (Documentation/dev-tools/ktap.rst).
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "drivers/access/result.h"
#include "drivers/access/unique_fd.h"

namespace carryover {

class EventWriter {
 public:
  // Events go to standard output if `json_on_stdout`, and to `events_file` unless it is empty
  // (appended). Without `json_on_stdout`, standard output shows KTAP.
  [[nodiscard]] static Result<std::unique_ptr<EventWriter>> Open(bool json_on_stdout,
                                                                 const std::string& events_file);

  // Adds "event", "t" (CLOCK_MONOTONIC, ns) and "tsc" (ReadTsc(), if there is one) and writes one
  // whole line at once.
  void Write(std::string_view event, nlohmann::json fields);

  // KTAP's plan: how many halves will report.
  void Plan(std::size_t tests);

 private:
  EventWriter(bool json_on_stdout, UniqueFd file)
      : json_on_stdout_(json_on_stdout), file_(std::move(file)) {}
  void Ktap(std::string_view event, const nlohmann::json& fields);

  bool json_on_stdout_;
  UniqueFd file_;
  int ktap_number_ = 0;
};

}  // namespace carryover
