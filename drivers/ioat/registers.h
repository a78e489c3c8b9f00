// SPDX-License-Identifier: GPL-2.0-only
// Registers of BAR 0 of Intel QuickData Technology, version 3 (Intel Xeon processor E5 v2 data
// sheet, volume 2, "Intel QuickData Technology registers"), and the descriptor. Each register is
// accessed by its own width, 64-bit ones by 8 bytes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace carryover::ioat {

// Channels of this function. 8 bits.
struct ChannelCount {
  static constexpr std::size_t kOffset = 0x00;
};

// log2 of the bytes that a descriptor moves at most. 8 bits.
struct TransferCapacity {
  static constexpr std::size_t kOffset = 0x01;
  static constexpr std::uint8_t kMask = 0x1f;
};

// 8 bits.
struct InterruptControl {
  static constexpr std::size_t kOffset = 0x03;
  static constexpr std::uint8_t kMasterEnable = 0x01;
  static constexpr std::uint8_t kMsixVectorControl = 0x08;  // a vector a channel
};

// Major and minor version. 8 bits.
struct Version {
  static constexpr std::size_t kOffset = 0x08;
  static constexpr std::uint8_t kFirst = 0x32;  // that has MSI-X and the count of descriptors
};

// Microseconds to gather interrupts for. 16 bits.
struct InterruptDelay {
  static constexpr std::size_t kOffset = 0x0c;
};

// Of the one channel that a function of these processors has.
inline constexpr std::size_t kChannel = 0x80;

// 16 bits.
struct ChannelControl {
  static constexpr std::size_t kOffset = kChannel + 0x00;
  static constexpr std::uint16_t kInterruptRearm = 0x0001;  // written to take the next interrupt
  static constexpr std::uint16_t kErrorCompletion = 0x0004;
  static constexpr std::uint16_t kAnyErrorAbort = 0x0008;
  static constexpr std::uint16_t kOurs = kInterruptRearm | kErrorCompletion | kAnyErrorAbort;
};

// 8 bits.
struct ChannelCommand {
  static constexpr std::size_t kOffset = kChannel + 0x04;
  static constexpr std::uint8_t kSuspend = 0x04;
  static constexpr std::uint8_t kReset = 0x20;  // reads as set until it is done
};

// Descriptors since the channel's reset, modulo 2^16: the doorbell. 16 bits.
struct DescriptorCount {
  static constexpr std::size_t kOffset = kChannel + 0x06;
};

// Status, and address of the last descriptor that was done. 64 bits. The same is written to memory
// when a descriptor asks for it, and when the channel halts.
struct ChannelStatus {
  static constexpr std::size_t kOffset = kChannel + 0x08;
  static constexpr std::uint64_t kStateMask = 0x7;
  static constexpr std::uint64_t kActive = 0;
  static constexpr std::uint64_t kDone = 1;
  static constexpr std::uint64_t kSuspended = 2;
  static constexpr std::uint64_t kHalted = 3;
  static constexpr std::uint64_t kArmed = 4;
  static constexpr std::uint64_t kAddressMask = ~std::uint64_t{0x3f};
};

// Address of the first descriptor. 64 bits, a multiple of 64.
struct ChainAddress {
  static constexpr std::size_t kOffset = kChannel + 0x10;
};

// Where the status is written to. 64 bits, a multiple of 8.
struct CompletionAddress {
  static constexpr std::size_t kOffset = kChannel + 0x18;
};

// 32 bits, written with ones to clear.
struct ChannelError {
  static constexpr std::size_t kOffset = kChannel + 0x28;
  static constexpr std::uint32_t kSource = 0x0001;
  static constexpr std::uint32_t kDestination = 0x0002;
  static constexpr std::uint32_t kNext = 0x0004;
  static constexpr std::uint32_t kDescriptor = 0x0008;
  static constexpr std::uint32_t kChainAddress = 0x0010;
  static constexpr std::uint32_t kCommand = 0x0020;
  static constexpr std::uint32_t kReadData = 0x0100;
  static constexpr std::uint32_t kWriteData = 0x0200;
  static constexpr std::uint32_t kControl = 0x0400;
  static constexpr std::uint32_t kLength = 0x0800;
  static constexpr std::uint32_t kCompletionAddress = 0x1000;
};

struct Descriptor {
  static constexpr std::uint32_t kInterrupt = 0x01;
  static constexpr std::uint32_t kWriteCompletion = 0x08;
  static constexpr std::uint32_t kNull = 0x20;   // moves nothing
  static constexpr std::uint32_t kKnown = 0x3f;  // the others are left alone; operation 0 is a copy

  std::uint32_t size = 0;  // bytes, not 0
  std::uint32_t control = 0;
  std::uint64_t source = 0;
  std::uint64_t destination = 0;
  std::uint64_t next = 0;
  std::uint64_t reserved[4] = {};
};
static_assert(sizeof(Descriptor) == 64);

// Configuration space: what CHANERR has, for the PCI error handler. 32 bits, written with ones to
// clear.
inline constexpr std::size_t kChannelErrorInterrupt = 0x180;

}  // namespace carryover::ioat
