// SPDX-License-Identifier: GPL-2.0-only
// A session with a broken or hostile client, in process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace carryover::vfio_user {

struct SessionEnd {
  int error = 0;             // of Server::Step()
  std::uint32_t copied = 0;  // descriptors that the device has done
};

// A dmac behind a server, and a client that agrees on the protocol, then sends all this, and
// closes. The server is to end by itself, and soon. At most 64 KiB.
[[nodiscard]] SessionEnd RunSession(std::span<const std::byte> sent);

}  // namespace carryover::vfio_user
