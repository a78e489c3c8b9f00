// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/vfio_user/program/control.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <nlohmann/json.hpp>

namespace carryover::vfio_user {
namespace {

using nlohmann::json;

// What is wrong with a request; empty if nothing is.
std::string Refusal(const json& request) {
  if (!request.is_object() || request.empty()) return "expected an object with faults";
  for (const auto& [name, value] : request.items()) {
    if (name == "let_through") {
      if (!value.is_number_unsigned() || value == 0)
        return "let_through: expected a number above 0";
    } else if (name == "fail_next_copy") {
      if (value != true) return "fail_next_copy: expected true";
    } else if (name == "hung" || name == "reset_stuck") {
      if (!value.is_boolean()) return name + ": expected true or false";
    } else {
      return fmt::format(
          "'{}': no such fault; known: hung, let_through, reset_stuck, "
          "fail_next_copy",
          name);
    }
  }
  return "";
}

json Failed(std::string_view why) { return {{"error", why}}; }

json Do(const json& request, DeviceModel* model) {
  if (const std::string refusal = Refusal(request); !refusal.empty()) return Failed(refusal);
  if (model == nullptr) return Failed("nobody is connected");
  if (request.contains("reset_stuck")) model->SetResetStuck(request["reset_stuck"]);
  if (request.contains("fail_next_copy")) model->FailNextCopy();
  if (request.contains("hung")) model->SetHung(request["hung"]);
  if (request.contains("let_through")) model->LetThrough(request["let_through"]);
  return {{"ok", true}};
}

}  // namespace

std::string Request(std::string_view request, DeviceModel* model) {
  const json parsed = json::parse(request, nullptr, false);
  return (parsed.is_discarded() ? Failed("not JSON") : Do(parsed, model)).dump();
}

void ServeControl(int socket, DeviceModel* model, EventLog& log) {
  std::array<char, 4096> request{};
  sockaddr_un sender{};
  socklen_t length = sizeof(sender);
  const ssize_t got = recvfrom(socket, request.data(), request.size(), MSG_DONTWAIT,
                               reinterpret_cast<sockaddr*>(&sender), &length);
  if (got < 0) return;
  const std::string_view text(request.data(), static_cast<std::size_t>(got));
  const std::string answer = Request(text, model);
  log.Write("faults", {{"set", text}, {"answer", answer}});
  if (length <= sizeof(sa_family_t)) return;  // a sender without a name wants no answer
  (void)sendto(socket, answer.data(), answer.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
               reinterpret_cast<const sockaddr*>(&sender), length);
}

}  // namespace carryover::vfio_user
