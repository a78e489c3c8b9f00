// SPDX-License-Identifier: GPL-2.0-only
#include "selftests/program/event_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "selftests/program/tsc.h"

namespace carryover {
namespace {

// One write(2) a line, so that lines of two writers never mix and a cut-off line is the last one.
void WriteLine(int fd, std::string line) {
  line += '\n';
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t written = write(fd, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return;  // nobody reads any more; the missing `end` event says so
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
}

std::string Commented(std::string_view text) {
  std::string out = "# ";
  for (const char c : text) {
    out += c;
    if (c == '\n') out += "#   ";
  }
  return out;
}

}  // namespace

Result<std::unique_ptr<EventWriter>> EventWriter::Open(bool json_on_stdout,
                                                       const std::string& events_file) {
  UniqueFd file;
  if (!events_file.empty()) {
    constexpr mode_t kMode = 0644;
    file = UniqueFd(open(events_file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, kMode));
    if (!file.valid()) return FailErrno(fmt::format("open events file {}", events_file));
  }
  return std::unique_ptr<EventWriter>(new EventWriter(json_on_stdout, std::move(file)));
}

void EventWriter::Write(std::string_view event, nlohmann::json fields) {
  if (fields.is_null()) fields = nlohmann::json::object();
  fields["event"] = event;
  fields["t"] =
      std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
  if (const auto tsc = ReadTsc()) fields["tsc"] = *tsc;
  const std::string line = fields.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (file_.valid()) WriteLine(file_.get(), line);
  if (json_on_stdout_) {
    WriteLine(STDOUT_FILENO, line);
  } else {
    Ktap(event, fields);
  }
}

void EventWriter::Plan(std::size_t tests) {
  if (json_on_stdout_) return;
  WriteLine(STDOUT_FILENO, fmt::format("KTAP version 1\n1..{}", tests));
}

void EventWriter::Ktap(std::string_view event, const nlohmann::json& fields) {
  const auto text = [&fields](const char* key) { return fields.value(key, std::string()); };
  if (event == "finish") {
    const std::string result = text("result");
    const bool ok = result == "PASS" || result == "ARMED" || result == "SKIP";
    std::string line = fmt::format("{} {} {}", ok ? "ok" : "not ok", ++ktap_number_, text("name"));
    if (result == "SKIP") line += " # SKIP";
    if (fields.contains("reason") && fields["reason"].is_string()) line += " " + text("reason");
    WriteLine(STDOUT_FILENO, line);
  } else if (event == "failure") {
    WriteLine(STDOUT_FILENO, Commented(fmt::format("{}:{}: {}", text("file"),
                                                   fields.value("line", 0), text("message"))));
  } else if (event == "error") {
    WriteLine(STDERR_FILENO, "carryover-selftests: " + text("message"));
  } else if (event != "start" && event != "end") {
    nlohmann::json shown = fields;
    shown.erase("t");
    shown.erase("tsc");
    shown.erase("event");
    WriteLine(STDOUT_FILENO,
              fmt::format("# {} {}", event,
                          shown.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)));
  }
}

}  // namespace carryover
