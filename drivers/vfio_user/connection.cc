// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/vfio_user/connection.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

#include "drivers/access/poll_deadline.h"

namespace carryover::vfio_user {
namespace {

void TakeFds(msghdr& message, std::vector<UniqueFd>& fds) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(fd), sizeof(fd));
      fds.emplace_back(fd);
    }
  }
}

Result<void> AwaitEvent(int fd, short event, Deadline deadline) {
  pollfd wanted{.fd = fd, .events = event, .revents = 0};
  const auto ready = PollDeadline({&wanted, 1}, deadline);
  if (!ready) return std::unexpected(ready.error());
  if (!*ready) return Fail(ETIMEDOUT, "the other side of a vfio-user connection");
  return {};
}

}  // namespace

Result<std::size_t> Connection::ReceiveAll(std::span<std::byte> into, std::vector<UniqueFd>& fds,
                                           Deadline deadline) {
  std::size_t received = 0;
  while (received < into.size()) {
    iovec part{.iov_base = into.data() + received, .iov_len = into.size() - received};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxFds * sizeof(int))> control;
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
      if (auto ready = AwaitEvent(socket_.get(), POLLIN, deadline); !ready) {
        return std::unexpected(ready.error());
      }
      continue;
    }
    if (got < 0 && errno == ECONNRESET) break;  // it was killed with something unread
    if (got < 0) return FailErrno("receive a vfio-user message");
    TakeFds(message, fds);
    // Each byte could bring more.
    if ((message.msg_flags & MSG_CTRUNC) != 0 || fds.size() > kMaxFds) {
      return Fail(EPROTO, "a message with too many descriptors");
    }
    if (got == 0) break;
    received += static_cast<std::size_t>(got);
  }
  return received;
}

Result<std::optional<Message>> Connection::Receive(Deadline deadline) {
  Message message;
  std::array<std::byte, sizeof(Header)> bytes{};
  const auto got = ReceiveAll(bytes, message.fds, deadline);
  if (!got) return std::unexpected(got.error());
  if (*got == 0) return std::nullopt;
  if (*got < bytes.size()) return Fail(EPROTO, "the connection ends in the middle of a message");
  const auto header = ParseHeader(bytes);
  if (!header) return std::unexpected(header.error());
  message.header = *header;
  message.payload.resize(header->size - sizeof(Header));
  const auto rest = ReceiveAll(message.payload, message.fds, deadline);
  if (!rest) return std::unexpected(rest.error());
  if (*rest < message.payload.size()) {
    return Fail(EPROTO, "the connection ends in the middle of a message");
  }
  return message;
}

Result<void> Connection::Send(Header header, std::span<const std::byte> payload,
                              Deadline deadline) {
  header.size = static_cast<std::uint32_t>(sizeof(Header) + payload.size());
  std::vector<std::byte> bytes;
  bytes.reserve(header.size);
  Append(bytes, header);
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  for (std::size_t sent = 0; sent < bytes.size();) {
    const ssize_t put =
        send(socket_.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (put < 0 && (errno == EAGAIN || errno == EINTR)) {
      if (auto ready = AwaitEvent(socket_.get(), POLLOUT, deadline); !ready) return ready;
      continue;
    }
    if (put < 0) return FailErrno("send a vfio-user message");
    sent += static_cast<std::size_t>(put);
  }
  return {};
}

}  // namespace carryover::vfio_user
