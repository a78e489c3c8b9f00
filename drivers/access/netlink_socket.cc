// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/netlink_socket.h"

#include <fmt/format.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>

namespace carryover {

void NetlinkSocket::Free::operator()(nl_sock* socket) const { nl_socket_free(socket); }

Result<NetlinkSocket> NetlinkSocket::Connect(int protocol, unsigned groups) {
  nl_sock* const raw = nl_socket_alloc();
  if (raw == nullptr) return Fail(ENOMEM, "allocate a netlink socket");
  NetlinkSocket socket(raw);
  nl_join_groups(raw, static_cast<int>(groups));
  if (const int error = nl_connect(raw, protocol); error < 0) {
    return FailNetlink(error, fmt::format("connect to protocol {}", protocol));
  }
  return socket;
}

int NetlinkSocket::fd() const { return nl_socket_get_fd(socket_.get()); }

// libnl has errors of its own, which no errno value stands for.
std::unexpected<Error> FailNetlink(int error, std::string_view what) {
  return Fail(EIO, fmt::format("netlink: {}: {}", what, nl_geterror(error)));
}

}  // namespace carryover
