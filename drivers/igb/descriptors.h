// SPDX-License-Identifier: GPL-2.0-only
// Descriptors of the 82576 as they lie in memory (little endian, as is every host this runs on).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "drivers/ethernet_loopback/frames.h"
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

// SRRCTL's "split, always use header buffer" (7.1.6) takes it off: its size is SRRCTL.BSIZEHEADER's
// unit.
using FrameHeader = ethernet_loopback::FrameHeader<Srrctl::kHeaderUnit>;

}  // namespace carryover::igb
