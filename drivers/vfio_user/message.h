// SPDX-License-Identifier: GPL-2.0-only
// Messages of the vfio-user protocol (QEMU, docs/interop/vfio-user.rst), in host byte order. What
// comes from the other side is not trusted: it is parsed by the functions below and in request.h,
// and by nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "drivers/access/result.h"
#include "drivers/access/unique_fd.h"

namespace carryover::vfio_user {

enum class Command : std::uint16_t {
  kVersion = 1,
  kDmaMap = 2,
  kDmaUnmap = 3,
  kGetInfo = 4,
  kGetRegionInfo = 5,
  kGetRegionIoFds = 6,
  kGetIrqInfo = 7,
  kSetIrqs = 8,
  kRegionRead = 9,
  kRegionWrite = 10,
  kDmaRead = 11,   // from the server
  kDmaWrite = 12,  // from the server
  kReset = 13,
};

struct Header {
  static constexpr std::uint32_t kTypeMask = 0xf;
  static constexpr std::uint32_t kRequest = 0;
  static constexpr std::uint32_t kReply = 1;
  static constexpr std::uint32_t kNoReply = 1U << 4;
  static constexpr std::uint32_t kError = 1U << 5;

  std::uint16_t id = 0;
  Command command = Command::kVersion;
  std::uint32_t size = 0;  // bytes, with the header
  std::uint32_t flags = 0;
  std::uint32_t error = 0;  // errno value, or 0, in a reply with kError

  [[nodiscard]] bool is_reply() const { return (flags & kTypeMask) == kReply; }
  [[nodiscard]] bool wants_reply() const { return (flags & kNoReply) == 0; }
};
static_assert(sizeof(Header) == 16);

// Bytes of data that one message carries at most: QEMU hangs on DMA of 256 KiB.
inline constexpr std::size_t kMaxTransfer = std::size_t{64} * 1024;
// Bytes of a message, with the header: a version's JSON, or the largest transfer and what is before
// it, with room to spare.
inline constexpr std::size_t kMaxMessage = kMaxTransfer + 4096;
// File descriptors that come with a message, a vector each: QEMU allows no more.
inline constexpr std::size_t kMaxFds = 16;

// Error: EPROTO (a size that no message has, an unknown type, flags that are not defined or not for
// this type, an error in a request).
[[nodiscard]] Result<Header> ParseHeader(std::span<const std::byte> bytes);

struct Message {
  Header header;
  std::vector<std::byte> payload;
  std::vector<UniqueFd> fds;
};

// The object at `offset` of a payload. Error: EPROTO (the payload ends before it does).
template <typename T>
[[nodiscard]] Result<T> Get(std::span<const std::byte> payload, std::size_t offset = 0) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (offset > payload.size() || payload.size() - offset < sizeof(T)) {
    return Fail(EPROTO, "the message is too short");
  }
  T object;
  std::memcpy(&object, payload.data() + offset, sizeof(object));
  return object;
}

template <typename T>
void Append(std::vector<std::byte>& payload, const T& object) {
  static_assert(std::is_trivially_copyable_v<T>);
  const auto bytes = std::as_bytes(std::span(&object, 1));
  payload.insert(payload.end(), bytes.begin(), bytes.end());
}

}  // namespace carryover::vfio_user
