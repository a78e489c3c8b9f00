// SPDX-License-Identifier: GPL-2.0-only
// A libnl socket that closes itself.
#pragma once

#include <memory>
#include <string_view>

#include "drivers/access/result.h"

struct nl_sock;

namespace carryover {

class NetlinkSocket {
 public:
  // Connected to `protocol` (NETLINK_ROUTE, ...) and a member of the multicast groups of the mask.
  [[nodiscard]] static Result<NetlinkSocket> Connect(int protocol, unsigned groups = 0);

  [[nodiscard]] nl_sock* get() const { return socket_.get(); }
  [[nodiscard]] int fd() const;

 private:
  struct Free {
    void operator()(nl_sock* socket) const;
  };
  explicit NetlinkSocket(nl_sock* socket) : socket_(socket) {}

  std::unique_ptr<nl_sock, Free> socket_;
};

// `error` as libnl returns it, negative.
[[nodiscard]] std::unexpected<Error> FailNetlink(int error, std::string_view what);

}  // namespace carryover
