// SPDX-License-Identifier: GPL-2.0-only
// Descriptors of the 82574 as they lie in memory (little endian, as is every host this runs on).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "drivers/e1000e/registers.h"
#include "drivers/ethernet_loopback/frames.h"

namespace carryover::e1000e {

static_assert(std::endian::native == std::endian::little);

using FrameHeader = ethernet_loopback::FrameHeader<Psrctl::kHeaderUnit>;

// Legacy transmit descriptor, 7.2. Written back only where RS is set: then `status` has kDone.
struct TxDescriptor {
  static constexpr std::uint32_t kLengthMask = 0xffff;
  static constexpr std::uint32_t kMaxLength = 16288;
  static constexpr std::uint32_t kEndOfPacket = Bit(24);
  static constexpr std::uint32_t kInsertCrc = Bit(25);
  static constexpr std::uint32_t kReportStatus = Bit(27);
  static constexpr std::uint32_t kExtension = Bit(29);  // 0: this format
  static constexpr std::uint32_t kDone = Bit(0);

  std::uint64_t address = 0;
  std::uint32_t command = 0;  // length, CSO, CMD
  std::uint32_t status = 0;
};
static_assert(sizeof(TxDescriptor) == 16 && offsetof(TxDescriptor, status) == 12);

// Packet split receive descriptor, 7.1.5: the addresses of four buffers. The device writes it back
// over them: status and the first buffer's length over the second address, the other lengths over
// the third.
struct RxDescriptor {
  static constexpr std::size_t kHeader = 0;   // the address of the frame header's buffer
  static constexpr std::size_t kPayload = 1;  // and of the payload's, which may be odd
  static constexpr std::size_t kStatus = 1;
  static constexpr std::size_t kLengths = 2;
  static constexpr std::uint64_t kNoBuffer = ~std::uint64_t{0};  // for those whose size is 0

  // Of the status.
  static constexpr std::uint64_t kDone = Bit(0);
  static constexpr std::uint64_t kEndOfPacket = Bit(1);
  static constexpr std::uint64_t kCrcError = Bit(24);  // CE
  static constexpr std::uint64_t kErrors =
      kCrcError | Bit(25) | Bit(26) | Bit(28) | Bit(31);  // CE, SE, SEQ, CXE, RXE
  static constexpr unsigned kHeaderLengthShift = 32;
  // Of the lengths.
  static constexpr unsigned kPayloadLengthShift = 16;
  static constexpr std::uint64_t kLengthMask = 0xffff;

  std::uint64_t words[4] = {};
};
static_assert(sizeof(RxDescriptor) == 32);

}  // namespace carryover::e1000e
