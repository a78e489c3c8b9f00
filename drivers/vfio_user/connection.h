// SPDX-License-Identifier: GPL-2.0-only
// A stream socket that carries messages.
#pragma once

#include <optional>
#include <span>

#include "drivers/access/deadline.h"
#include "drivers/vfio_user/message.h"

namespace carryover::vfio_user {

class Connection {
 public:
  // Of `socket`, a connected unix stream socket.
  explicit Connection(UniqueFd socket) : socket_(std::move(socket)) {}

  // The next message; none if the other side has closed. Errors: EPROTO (what comes is no message,
  // or ends in the middle of one), ETIMEDOUT, and those of recvmsg(2). After an error nothing more
  // can be received.
  [[nodiscard]] Result<std::optional<Message>> Receive(Deadline deadline);
  // `header.size` is set here. Errors: ETIMEDOUT, EPIPE, and those of send(2).
  [[nodiscard]] Result<void> Send(Header header, std::span<const std::byte> payload,
                                  Deadline deadline);
  [[nodiscard]] int fd() const { return socket_.get(); }

 private:
  // Bytes into all of `into`; fewer only at the other side's end. Descriptors go to `fds`.
  [[nodiscard]] Result<std::size_t> ReceiveAll(std::span<std::byte> into,
                                               std::vector<UniqueFd>& fds, Deadline deadline);

  UniqueFd socket_;
};

}  // namespace carryover::vfio_user
