// SPDX-License-Identifier: GPL-2.0-only
// Registers of BAR 0 of QEMU's edu device (QEMU, docs/specs/edu.rst). Those below 0x80 are accessed
// by 4 bytes, the others by 4 or 8.
#pragma once

#include <cstddef>
#include <cstdint>

namespace carryover::edu {

// Identification: 0xRRrr00ed, major and minor version.
struct Identification {
  static constexpr std::size_t kOffset = 0x00;
  static constexpr std::uint32_t kMask = 0x0000'ffff;
  static constexpr std::uint32_t kEdu = 0x0000'00ed;
};

// Liveness check: reads as the inverse of what was written.
struct Liveness {
  static constexpr std::size_t kOffset = 0x04;
};

// Computes a factorial. Not used but to be known: writing it makes the device busy.
struct Factorial {
  static constexpr std::size_t kOffset = 0x08;
};

struct Status {
  static constexpr std::size_t kOffset = 0x20;
  static constexpr std::uint32_t kComputing = 0x01;
  static constexpr std::uint32_t kFactorialInterrupt = 0x80;
};

// Interrupt status: the causes that were raised and not acknowledged.
struct InterruptStatus {
  static constexpr std::size_t kOffset = 0x24;
};

// Interrupt raise: ORs a cause into the interrupt status, and interrupts.
struct InterruptRaise {
  static constexpr std::size_t kOffset = 0x60;
};

// Interrupt acknowledge: clears causes.
struct InterruptAcknowledge {
  static constexpr std::size_t kOffset = 0x64;
};

struct DmaSource {
  static constexpr std::size_t kOffset = 0x80;
};

struct DmaDestination {
  static constexpr std::size_t kOffset = 0x88;
};

struct DmaCount {
  static constexpr std::size_t kOffset = 0x90;
};

struct DmaCommand {
  static constexpr std::size_t kOffset = 0x98;
  static constexpr std::uint64_t kStart = 0x01;  // reads as set until the transfer is done
  static constexpr std::uint64_t kToMemory = 0x02;
  static constexpr std::uint64_t kInterrupt = 0x04;  // cause 0x100 when done
};

// The device's own memory, as its DMA addresses it; BAR 0 does not show it.
inline constexpr std::uint64_t kBuffer = 0x40000;
inline constexpr std::size_t kBufferSize = 4096;

inline constexpr std::size_t kBarSize = 0x100000;

}  // namespace carryover::edu
