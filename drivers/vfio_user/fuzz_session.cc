// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/vfio_user/fuzz_session.h"

#include <sys/socket.h>

#include <array>
#include <cstdlib>
#include <memory>

#include "drivers/dmac/model/dmac_model.h"
#include "drivers/vfio_user/request.h"
#include "drivers/vfio_user/server.h"

namespace carryover::vfio_user {
namespace {

void Send(int socket, std::span<const std::byte> bytes) {
  const ssize_t sent = send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent != static_cast<ssize_t>(bytes.size())) std::abort();
}

}  // namespace

SessionEnd RunSession(std::span<const std::byte> sent) {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) std::abort();
  const UniqueFd client(ends[1]);
  EventLog log;
  Server server(
      UniqueFd{ends[0]}, [](ModelHost& host) { return std::make_unique<dmac::DmacModel>(host); },
      log, std::chrono::milliseconds(20));

  std::vector<std::byte> version;
  Append(version, Header{.command = Command::kVersion, .size = sizeof(Header) + sizeof(Version)});
  Append(version, Version{});
  Send(client.get(), version);
  Send(client.get(), sent);
  shutdown(client.get(), SHUT_WR);

  // A step takes 64 messages, and a message has 16 bytes at least.
  constexpr int kSteps = 100;
  for (int step = 0; step < kSteps; ++step) {
    const auto due = server.Step();
    std::array<std::byte, 65536> answer;
    while (recv(client.get(), answer.data(), answer.size(), MSG_DONTWAIT) > 0) continue;
    if (due) continue;
    const auto head = server.model().Read(0, dmac::Head::kOffset, 4);
    return {.error = due.error().code, .copied = static_cast<std::uint32_t>(head)};
  }
  std::abort();  // it has had everything
}

}  // namespace carryover::vfio_user
