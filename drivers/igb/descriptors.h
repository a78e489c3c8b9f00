// SPDX-License-Identifier: GPL-2.0-only
// Descriptors of the 82576 as they lie in memory (little endian, as is every host this runs on).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "drivers/igb/registers.h"

namespace carryover::igb {

static_assert(std::endian::native == std::endian::little);

// Advanced transmit data descriptor, 7.2.2.3. Written back only where RS is set: then `status` has
// kDone and the rest is reserved.
struct TxDescriptor {
  static constexpr std::uint32_t kLengthMask = 0xffff;
  static constexpr std::uint32_t kTypeMask = 0xf << 20;
  static constexpr std::uint32_t kTypeData = 0x3 << 20;
  static constexpr std::uint32_t kEndOfPacket = Bit(24);
  static constexpr std::uint32_t kInsertCrc = Bit(25);
  static constexpr std::uint32_t kReportStatus = Bit(27);
  static constexpr std::uint32_t kExtension = Bit(29);
  static constexpr unsigned kPayloadShift = 14;  // PAYLEN: bytes of the whole frame
  static constexpr std::uint32_t kDone = Bit(0);

  std::uint64_t address = 0;
  std::uint32_t command = 0;  // length, type, DCMD
  std::uint32_t status = 0;   // PAYLEN; after write-back kDone
};
static_assert(sizeof(TxDescriptor) == 16 && offsetof(TxDescriptor, status) == 12);

// Advanced receive descriptor, 7.1.5. The device writes it back over what it read.
struct RxDescriptor {
  static constexpr std::uint32_t kDone = Bit(0);
  static constexpr std::uint32_t kEndOfPacket = Bit(1);
  static constexpr std::uint32_t kReceiveError = Bit(31);  // RXE
  static constexpr std::uint32_t kLengthMask = 0xffff;

  std::uint64_t packet = 0;  // bit 0 is A0, not no-snoop, as RXCTL.RXdataWriteNSEn is 0 by default
  std::uint64_t header = 0;  // even: bit 0 is where nothing may be set (DD of the write-back)

  [[nodiscard]] std::uint32_t length() const {  // PKT_LEN, of a descriptor that was written back
    return static_cast<std::uint32_t>(header >> 32) & kLengthMask;
  }
};
static_assert(sizeof(RxDescriptor) == 16 && offsetof(RxDescriptor, header) == 8);

// What goes in front of every payload. The MAC and QEMU interpret what a frame begins with (pause
// frames and other MAC control are eaten, VLAN tags and IP headers are parsed, QEMU drops malformed
// IP), and frames below 60 bytes are padded. So the payload, which is arbitrary, never comes first:
// each frame begins with these 64 bytes from the driver's region, and SRRCTL's "split, always use
// header buffer" (7.1.6) puts them back into the region, the payload alone into the destination.
// The size is SRRCTL.BSIZEHEADER's unit.
struct FrameHeader {
  static constexpr std::uint16_t kEtherType = 0xb588;  // 0x88b5, big endian: IEEE 802 experimental

  std::uint8_t destination[6] = {};
  std::uint8_t source[6] = {};
  std::uint16_t ether_type = kEtherType;
  std::uint16_t reserved = 0;
  std::uint32_t slot = 0;  // index of the receive descriptor that the frame is meant for
  std::uint8_t unused[44] = {};
};
static_assert(sizeof(FrameHeader) == Srrctl::kHeaderUnit && offsetof(FrameHeader, slot) == 16);

}  // namespace carryover::igb
