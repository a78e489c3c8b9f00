// SPDX-License-Identifier: GPL-2.0-only
// Registers of BAR 0 of a DMA channel function, and the few of configuration space. Sections are
// those of the Intel Xeon E5 v2 data sheet, volume 2, chapter 8 (device 4, functions 0 to 7:
// "Crystal Beach DMA", which is QuickData Technology); E7 v2, E5 v3 and v4 have the same. Little
// endian; each is accessed at its own width, the 64-bit ones also by halves.
#pragma once

#include <cstddef>
#include <cstdint>

namespace carryover::ioat {

inline constexpr std::size_t kBarSize = 16384;  // 8.4.9
// 8.4.19: where the MSI-X table of one vector is.
inline constexpr std::size_t kMsixTableOffset = 0x2000;

// 8.5.1, 8 bits: channels of this function, in bits 4:0. The channel registers below can be written
// if it is 1.
struct ChanCnt {
  static constexpr std::size_t kOffset = 0x00;
  static constexpr std::uint8_t kMask = 0x1f;
};

// 8.5.2, 8 bits: log2 of a descriptor's largest transfer, in bits 4:0; 12 at least, and 0 is 4 GiB.
struct XferCap {
  static constexpr std::size_t kOffset = 0x01;
  static constexpr std::uint8_t kMask = 0x1f;
  static constexpr std::uint8_t kMin = 12;
};

// 8.5.3, 8 bits.
struct GenCtrl {
  static constexpr std::size_t kOffset = 0x02;
  static constexpr std::uint8_t kDebug = 0x01;
};

// 8.5.4, 8 bits. Reading it clears kMasterEnable: Linux writes back what it has read. E5 ignores
// both enable bits in MSI-X mode; Linux sets them nevertheless.
struct IntrCtrl {
  static constexpr std::size_t kOffset = 0x03;
  static constexpr std::uint8_t kMasterEnable = 0x01;
  static constexpr std::uint8_t kStatus = 0x02;
  static constexpr std::uint8_t kInterrupt = 0x04;
  static constexpr std::uint8_t kMsixVectors = 0x08;
};

// 8.5.5, 32 bits: a bit a channel. Reading it clears it.
struct AttnStatus {
  static constexpr std::size_t kOffset = 0x04;
};

// 8.5.6, 8 bits: major and minor version, four bits each.
struct CbVer {
  static constexpr std::size_t kOffset = 0x08;
  static constexpr std::uint8_t k32 = 0x32;
  static constexpr std::uint8_t k33 = 0x33;
};

// 8.5.7, 16 bits: what an interrupt is delayed to be coalesced, in microseconds.
struct IntrDelay {
  static constexpr std::size_t kOffset = 0x0c;
  static constexpr std::uint16_t kMask = 0x3fff;
  static constexpr std::uint16_t kCoalescing = 0x8000;
};

// 8.5.8, 16 bits.
struct CsStatus {
  static constexpr std::size_t kOffset = 0x0e;
  static constexpr std::uint16_t kAddressRemapping = 0x0008;
};

// 8.5.9, 32 bits. What lies beyond plain copies; nothing of it is used here.
struct DmaCapability {
  static constexpr std::size_t kOffset = 0x10;
  static constexpr std::uint32_t kPageBreak = 0x0000'0001;
  static constexpr std::uint32_t kDca = 0x0000'0010;
  static constexpr std::uint32_t kBlockFill = 0x0000'0040;
  static constexpr std::uint32_t kExtendedApicId = 0x0000'0080;
  static constexpr std::uint32_t kXor = 0x0000'0100;
  static constexpr std::uint32_t kPq = 0x0000'0200;
  // Descriptor write-back of an error's status; of XOR and PQ descriptors only.
  static constexpr std::uint32_t kDwbes = 0x0000'2000;
};

// 8.5.12, 16 bits.
struct ChanCtrl {
  static constexpr std::size_t kOffset = 0x80;
  // Set by the channel when it interrupts: it does not again until a 1 is written here. Writing 0
  // changes nothing.
  static constexpr std::uint16_t kInterruptDisabled = 0x0001;
  // An error also writes CHANSTS to the completion address.
  static constexpr std::uint16_t kErrorCompletion = 0x0004;
  static constexpr std::uint16_t kAnyErrorAbort = 0x0008;
  static constexpr std::uint16_t kErrorInterrupt = 0x0010;
  static constexpr std::uint16_t kNoDescriptorSnoop = 0x0020;
  // Who reads it as 0 owns the channel: reading sets it.
  static constexpr std::uint16_t kInUse = 0x0100;
  static constexpr std::uint16_t kCompletionDca = 0x0200;
  static constexpr std::uint16_t kReserved = 0xfcc2;
};

// 8.5.13, 16 bits.
struct DmaComp {
  static constexpr std::size_t kOffset = 0x82;
  static constexpr std::uint16_t kVersion2 = 0x0002;
  static constexpr std::uint16_t kVersion3 = 0x0004;
};

// 8.5.14, 8 bits. One bit at a time: more are a fatal error. Versions 1 and 2 have other commands,
// too (start, append, abort, resume): they are reserved here.
struct ChanCmd {
  static constexpr std::size_t kOffset = 0x84;
  static constexpr std::uint8_t kSuspend = 0x04;
  // Reads as 1 until the reset is done: the channel is halted then. For what is stuck: other
  // registers need not change.
  static constexpr std::uint8_t kReset = 0x20;
};

// 8.5.15, 16 bits: how many descriptors of the chain are valid, counted from CHAINADDR on, modulo
// 2^16. Writing it is the doorbell. Writing CHAINADDR sets it and the channel's own counter to 0.
struct DmaCount {
  static constexpr std::size_t kOffset = 0x86;
};

// 8.5.16 and 8.5.17, 64 bits: address of the last descriptor that was completed, and the state.
struct ChanSts {
  static constexpr std::size_t kOffset = 0x88;
  static constexpr std::uint64_t kStateMask = 0x7;
  static constexpr std::uint64_t kActive = 0;
  static constexpr std::uint64_t kDone = 1;
  static constexpr std::uint64_t kSuspended = 2;
  static constexpr std::uint64_t kHalted = 3;
  static constexpr std::uint64_t kArmed = 4;  // has a chain, and nothing of it to do yet
  static constexpr std::uint64_t kAddressMask = ~std::uint64_t{0x3f};
};

// 8.5.18 and 8.5.19, 64 bits: the first descriptor. Arms a channel that is halted or suspended.
struct ChainAddr {
  static constexpr std::size_t kOffset = 0x90;
  static constexpr std::uint64_t kAlignment = 64;
};

// 8.5.20 and 8.5.21, 64 bits: where the channel writes CHANSTS.
struct ChanCmp {
  static constexpr std::size_t kOffset = 0x98;
  static constexpr std::uint64_t kAlignment = 8;
};

// 8.5.22, 32 bits: why the channel halted; writing 1 clears a bit, a reset does not.
struct ChanErr {
  static constexpr std::size_t kOffset = 0xa8;
  static constexpr std::uint32_t kSource = 1U << 0;
  static constexpr std::uint32_t kDestination = 1U << 1;
  static constexpr std::uint32_t kNextDescriptor = 1U << 2;
  static constexpr std::uint32_t kDescriptor = 1U << 3;
  static constexpr std::uint32_t kChainAddress = 1U << 4;
  static constexpr std::uint32_t kCommand = 1U << 5;
  static constexpr std::uint32_t kDataParity = 1U << 6;
  static constexpr std::uint32_t kDmaDataParity = 1U << 7;
  static constexpr std::uint32_t kReadData = 1U << 8;
  static constexpr std::uint32_t kWriteData = 1U << 9;
  static constexpr std::uint32_t kControl = 1U << 10;
  static constexpr std::uint32_t kLength = 1U << 11;
  static constexpr std::uint32_t kCompletionAddress = 1U << 12;
  static constexpr std::uint32_t kInterruptConfiguration = 1U << 13;
  static constexpr std::uint32_t kUnaffiliated = 1U << 15;
  static constexpr std::uint32_t kCrc = 1U << 16;
  static constexpr std::uint32_t kXorQ = 1U << 17;
  static constexpr std::uint32_t kDescriptorCount = 1U << 18;
};

// 8.5.23, 32 bits: of errors that are not recorded.
struct ChanErrMsk {
  static constexpr std::size_t kOffset = 0xac;
};

// 8.5.24, 32 bits: which processor's cache completions are written to.
struct DcaCtrl {
  static constexpr std::size_t kOffset = 0xb0;
};

// 8.4.36, configuration space, 32 bits: as CHANERR; can be cleared in function 0 only.
struct ChanErrInt {
  static constexpr std::size_t kOffset = 0x180;
};

}  // namespace carryover::ioat
