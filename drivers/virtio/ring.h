// SPDX-License-Identifier: GPL-2.0-only
// What is in a split virtqueue (Virtual I/O Device 1.2, 2.7), and block requests (5.2.6). Little
// endian.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace carryover::virtio {

// 2.7.5
struct Descriptor {
  static constexpr std::uint16_t kNext = 0x1;
  static constexpr std::uint16_t kWrite = 0x2;  // the device writes it

  std::uint64_t address = 0;
  std::uint32_t length = 0;
  std::uint16_t flags = 0;
  std::uint16_t next = 0;
};
static_assert(sizeof(Descriptor) == 16);

// 2.7.6
template <std::size_t kSize>
struct Available {
  static constexpr std::uint16_t kNoInterrupt = 0x1;

  std::uint16_t flags = 0;
  std::uint16_t index = 0;
  std::array<std::uint16_t, kSize> ring;
};

struct UsedElement {
  std::uint32_t id = 0;  // of the chain's first descriptor
  std::uint32_t length = 0;
};

// 2.7.8
template <std::size_t kSize>
struct Used {
  std::uint16_t flags = 0;
  std::uint16_t index = 0;
  std::array<UsedElement, kSize> ring;
};

// 5.2.6: before the data; a status byte is behind it.
struct RequestHeader {
  static constexpr std::uint32_t kIn = 0;   // read
  static constexpr std::uint32_t kOut = 1;  // write
  static constexpr std::uint32_t kGetId = 8;
  static constexpr std::uint32_t kIdBytes = 20;

  std::uint32_t type = kIn;
  std::uint32_t reserved = 0;
  std::uint64_t sector = 0;
};
static_assert(sizeof(RequestHeader) == 16);

inline constexpr std::uint8_t kOk = 0;
inline constexpr std::uint8_t kIoError = 1;
inline constexpr std::uint8_t kUnsupported = 2;

}  // namespace carryover::virtio
