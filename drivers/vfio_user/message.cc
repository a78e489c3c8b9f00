// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/vfio_user/message.h"

#include <fmt/format.h>

namespace carryover::vfio_user {

Result<Header> ParseHeader(std::span<const std::byte> bytes) {
  const auto header = Get<Header>(bytes);
  if (!header) return header;
  if (header->size < sizeof(Header) || header->size > kMaxMessage) {
    return Fail(EPROTO, fmt::format("a message of {} bytes", header->size));
  }
  const std::uint32_t type = header->flags & Header::kTypeMask;
  const std::uint32_t flags = header->flags & ~Header::kTypeMask;
  const std::uint32_t allowed = type == Header::kReply ? Header::kError : Header::kNoReply;
  if (type > Header::kReply || (flags & ~allowed) != 0) {
    return Fail(EPROTO, fmt::format("a message with flags {:#x}", header->flags));
  }
  if (type == Header::kRequest && header->error != 0) {
    return Fail(EPROTO, fmt::format("a request with error {}", header->error));
  }
  return header;
}

}  // namespace carryover::vfio_user
