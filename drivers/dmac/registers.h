// SPDX-License-Identifier: GPL-2.0-only
// Registers of BAR 0, and the descriptor (docs/dmac.md).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace carryover::dmac {

inline constexpr std::size_t kBarSize = 4096;
inline constexpr unsigned kVectors = 8;
// Between two reads of a register that the device is to change.
inline constexpr std::chrono::microseconds kPollInterval{20};

struct Id {
  static constexpr std::size_t kOffset = 0x000;
  static constexpr std::uint32_t kDmac = 0x4341'4d44;
};

struct Version {
  static constexpr std::size_t kOffset = 0x004;
  static constexpr std::uint32_t kCurrent = 1;
};

struct Control {
  static constexpr std::size_t kOffset = 0x008;
  static constexpr std::uint32_t kEnable = 0x1;
  static constexpr std::uint32_t kReset = 0x2;
};

struct Status {
  static constexpr std::size_t kOffset = 0x00c;
  static constexpr std::uint32_t kIdle = 0x1;
  static constexpr std::uint32_t kError = 0x2;
};

struct RingBase {
  static constexpr std::size_t kOffset = 0x010;
  static constexpr std::uint64_t kAlignment = 64;
};

struct RingSize {
  static constexpr std::size_t kOffset = 0x018;
  static constexpr std::uint32_t kMax = 65536;
};

struct Head {
  static constexpr std::size_t kOffset = 0x01c;
};

struct Tail {
  static constexpr std::size_t kOffset = 0x020;
};

struct ErrorCode {
  static constexpr std::size_t kOffset = 0x024;
  static constexpr std::uint32_t kNone = 0;
  static constexpr std::uint32_t kSource = 1;
  static constexpr std::uint32_t kDestination = 2;
  static constexpr std::uint32_t kDescriptor = 3;
  static constexpr std::uint32_t kMalformed = 4;
  static constexpr std::uint32_t kFailure = 5;
};

struct WriteBack {
  static constexpr std::size_t kOffset = 0x028;
  static constexpr std::uint64_t kAlignment = 8;
};

struct Raise {
  static constexpr std::size_t kOffset = 0x030;
};

struct MaxLength {
  static constexpr std::size_t kOffset = 0x034;
  static constexpr std::uint32_t kBytes = 1U << 20;
};

struct Features {
  static constexpr std::size_t kOffset = 0x038;
  static constexpr std::uint32_t kFaults = 0x1;
};

struct StreamBase {
  static constexpr std::size_t kOffset = 0x040;
};

struct StreamSize {
  static constexpr std::size_t kOffset = 0x048;
};

struct StreamPeriod {
  static constexpr std::size_t kOffset = 0x04c;
};

struct StreamControl {
  static constexpr std::size_t kOffset = 0x050;
  static constexpr std::uint32_t kEnable = 0x1;
};

struct StreamCount {
  static constexpr std::size_t kOffset = 0x058;
};

struct Faults {
  static constexpr std::size_t kOffset = 0x080;
  static constexpr std::uint32_t kRogue = 0x01;
  static constexpr std::uint32_t kLostInterrupt = 0x02;
  static constexpr std::uint32_t kLateInterrupt = 0x04;
  static constexpr std::uint32_t kResetKeepsStream = 0x08;
  static constexpr std::uint32_t kAllOnes = 0x10;
  static constexpr std::uint32_t kStuckBusy = 0x20;
  static constexpr std::uint32_t kWrongIdentity = 0x40;
  static constexpr std::uint32_t kHung = 0x80;
};

struct FaultAddress {
  static constexpr std::size_t kOffset = 0x088;
};

struct FaultCount {
  static constexpr std::size_t kOffset = 0x090;
};

struct Descriptor {
  static constexpr std::uint32_t kInterrupt = 0x1;
  static constexpr unsigned kVectorShift = 8;

  std::uint64_t source = 0;
  std::uint64_t destination = 0;
  std::uint32_t length = 0;
  std::uint32_t flags = 0;
  std::uint64_t reserved = 0;
};
static_assert(sizeof(Descriptor) == 32);

// What the device writes to WRITE_BACK.
struct WrittenBack {
  std::uint32_t head = 0;
  std::uint32_t error = 0;
};
static_assert(sizeof(WrittenBack) == 8);

struct StreamRecord {
  std::uint64_t number = 0;
  std::uint64_t time = 0;        // ns
  std::uint64_t complement = 0;  // see Complement()
  std::uint64_t zeros[5] = {};

  // What tells a whole record: all bits of number xor time inverted.
  [[nodiscard]] std::uint64_t Complement() const { return ~(number ^ time); }
};
static_assert(sizeof(StreamRecord) == 64);

}  // namespace carryover::dmac
