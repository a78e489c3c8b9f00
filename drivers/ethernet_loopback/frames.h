// SPDX-License-Identifier: GPL-2.0-only
// What the drivers that copy by looping Ethernet frames back share: what a frame begins with, and
// how copies are cut into frames.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "drivers/driver.h"

namespace carryover::ethernet_loopback {

inline constexpr std::size_t kPage = 4096;

// What goes in front of every payload. A MAC and QEMU interpret what a frame begins with (pause
// frames and other MAC control are eaten, VLAN tags and IP headers are parsed, QEMU drops malformed
// IP), and frames below 60 bytes are padded. So the payload, which is arbitrary, never comes first:
// each frame begins with these bytes from the driver's region, and the device puts them back into
// the region, the payload alone into the destination. kSize is that of the device's header buffer.
template <std::size_t kSize>
struct FrameHeader {
  static constexpr std::uint16_t kEtherType = 0xb588;  // 0x88b5, big endian: IEEE 802 experimental

  std::uint8_t destination[6] = {};
  std::uint8_t source[6] = {};
  std::uint16_t ether_type = kEtherType;
  std::uint16_t reserved = 0;
  std::uint32_t slot = 0;  // index of the receive descriptor that the frame is meant for
  std::uint8_t unused[kSize - 20] = {};

  // From a station to itself, which is what the low six bytes say.
  [[nodiscard]] static FrameHeader To(std::uint64_t station) {
    FrameHeader header;
    std::memcpy(header.destination, &station, sizeof(header.destination));
    std::memcpy(header.source, &station, sizeof(header.source));
    return header;
  }
};
static_assert(sizeof(FrameHeader<64>) == 64 && offsetof(FrameHeader<64>, slot) == 16);
static_assert(sizeof(FrameHeader<128>) == 128 && offsetof(FrameHeader<128>, slot) == 16);

// A copy's share of one frame.
struct Frame {
  Iova source = 0;
  Iova destination = 0;
  std::uint32_t bytes = 0;
};

// Calls `visit(Frame)` for each frame of a copy, of up to `payload` bytes, a multiple of a page.
// Frames end where pages of the source end, so that each lies in as few pages as can be: QEMU maps
// a transmit buffer in one piece, and drops the frame if the pages are not neighbours in physical
// memory. Hardware does not care.
template <typename Visit>
void ForEachFrame(DmaCopy rest, std::uint32_t payload, Visit visit) {
  while (rest.length != 0) {
    const std::size_t room = payload - rest.source % kPage;
    const auto bytes = static_cast<std::uint32_t>(std::min(room, rest.length));
    visit(Frame{.source = rest.source, .destination = rest.destination, .bytes = bytes});
    rest.source += bytes;
    rest.destination += bytes;
    rest.length -= bytes;
  }
}

// Calls `visit(address, bytes)` for each piece of a frame's source that lies in one page.
template <typename Visit>
void ForEachPiece(const Frame& frame, Visit visit) {
  for (std::uint32_t done = 0; done < frame.bytes;) {
    const Iova address = frame.source + done;
    const auto bytes = static_cast<std::uint32_t>(
        std::min<std::size_t>(kPage - address % kPage, frame.bytes - done));
    done += bytes;
    visit(address, bytes);
  }
}

// Transmit descriptors of a frame: the header's, and one a piece.
[[nodiscard]] inline std::uint32_t TxDescriptors(const Frame& frame) {
  return 1 + static_cast<std::uint32_t>((frame.source % kPage + frame.bytes + kPage - 1) / kPage);
}

}  // namespace carryover::ethernet_loopback
