// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/vfio_user/message.h"

#include <fmt/format.h>

namespace carryover::vfio_user {

Result<Header> ParseHeader(std::span<const std::byte> bytes) {
  const auto header = Get<Header>(bytes);
  if (!header) return header;
  constexpr std::uint32_t kKnown = Header::kTypeMask | Header::kNoReply | Header::kError;
  const std::uint32_t type = header->flags & Header::kTypeMask;
  if (header->size < sizeof(Header) || header->size > kMaxMessage) {
    return Fail(EPROTO, fmt::format("a message of {} bytes", header->size));
  }
  if (type > Header::kReply || (header->flags & ~kKnown) != 0) {
    return Fail(EPROTO, fmt::format("a message with flags {:#x}", header->flags));
  }
  return header;
}

Result<RegionAccess> ParseRegionAccess(Command command, std::span<const std::byte> payload) {
  const auto access = Get<RegionAccess>(payload);
  if (!access) return access;
  if (access->count > kMaxTransfer) {
    return Fail(EINVAL, fmt::format("an access of {} bytes", access->count));
  }
  const std::size_t data = payload.size() - sizeof(RegionAccess);
  if (command == Command::kRegionWrite && data != access->count) {
    return Fail(EINVAL, fmt::format("a write of {} bytes with {}", access->count, data));
  }
  return access;
}

}  // namespace carryover::vfio_user
