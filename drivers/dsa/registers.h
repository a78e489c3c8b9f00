// SPDX-License-Identifier: GPL-2.0-only
// Registers of BAR 0 (Intel Data Streaming Accelerator Architecture Specification 2.0, 9.2), the
// portals of BAR 2 (3.3), and what is in memory (8).
#pragma once

#include <cstddef>
#include <cstdint>

namespace carryover::dsa {

// 9.2.2, 64 bits
struct GenCap {
  static constexpr std::size_t kOffset = 0x10;

  std::uint64_t value;

  [[nodiscard]] constexpr bool has_command_capabilities() const { return (value >> 4 & 1) != 0; }
  [[nodiscard]] constexpr unsigned max_transfer_shift() const { return value >> 16 & 0x1f; }
  [[nodiscard]] constexpr unsigned max_batch_shift() const { return value >> 21 & 0xf; }
};

// 9.2.3, 64 bits
struct WqCap {
  static constexpr std::size_t kOffset = 0x20;

  std::uint64_t value;

  [[nodiscard]] constexpr unsigned total_size() const { return value & 0xffff; }
  [[nodiscard]] constexpr unsigned queues() const { return value >> 16 & 0xff; }
  // Bytes of a queue's entry in the WQCFG table.
  [[nodiscard]] constexpr std::size_t entry_size() const {
    return std::size_t{32} << (value >> 24 & 0xf);
  }
  [[nodiscard]] constexpr bool has_dedicated_mode() const { return (value >> 49 & 1) != 0; }
  [[nodiscard]] constexpr bool has_operation_config() const { return (value >> 54 & 1) != 0; }
};

// 9.2.4, 9.2.5, 64 bits: how many there are in the low 8.
struct GrpCap {
  static constexpr std::size_t kOffset = 0x30;
};
struct EngCap {
  static constexpr std::size_t kOffset = 0x38;
};

// 9.2.7, 128 bits: where tables are, in units of 256 bytes.
struct Offsets {
  static constexpr std::size_t kOffset = 0x60;
  static constexpr std::size_t kUnit = 0x100;

  std::uint64_t low;

  [[nodiscard]] constexpr std::size_t groups() const { return (low & 0xffff) * kUnit; }
  [[nodiscard]] constexpr std::size_t queues() const { return (low >> 16 & 0xffff) * kUnit; }
  [[nodiscard]] constexpr std::size_t msix_permissions() const {
    return (low >> 32 & 0xffff) * kUnit;
  }
};

// 9.2.9, 32 bits: which causes interrupt by vector 0.
struct GenCtrl {
  static constexpr std::size_t kOffset = 0x88;
};

// 9.2.10, 32 bits
struct GenSts {
  static constexpr std::size_t kOffset = 0x90;
  static constexpr std::uint32_t kStateMask = 0x3;
  static constexpr std::uint32_t kDisabled = 0;
  static constexpr std::uint32_t kEnabled = 1;
  static constexpr std::uint32_t kHalt = 3;
};

// 9.2.12, 32 bits
struct Cmd {
  static constexpr std::size_t kOffset = 0xa0;
  static constexpr unsigned kCommandShift = 20;
  static constexpr std::uint32_t kEnableDevice = 1;
  static constexpr std::uint32_t kResetDevice = 5;
  static constexpr std::uint32_t kEnableWq = 6;
  static constexpr std::uint32_t kRequestInterruptHandle = 13;
};

// 9.2.13, 32 bits
struct CmdSts {
  static constexpr std::size_t kOffset = 0xa8;
  static constexpr std::uint32_t kErrorMask = 0xff;
  static constexpr unsigned kResultShift = 8;
  static constexpr std::uint32_t kActive = 0x8000'0000;
};

// 9.2.14, 32 bits: commands that there are, a bit each.
struct CmdCap {
  static constexpr std::size_t kOffset = 0xb0;
};

// 9.2.15, 256 bits. Written with ones to the low bits to acknowledge.
struct SwErr {
  static constexpr std::size_t kOffset = 0xc0;
  static constexpr std::uint64_t kValid = 0x1;
  static constexpr std::uint64_t kAcknowledge = 0x3;
};

// 9.2.20: an entry of 64 bytes a group.
struct GrpCfg {
  static constexpr std::size_t kQueues = 0;    // 64 bits, four of them
  static constexpr std::size_t kEngines = 32;  // 64 bits
};

// 9.2.21: 32-bit words of a queue's entry.
struct WqCfg {
  static constexpr std::size_t kSize = 0;       // bits 15:0
  static constexpr std::size_t kThreshold = 4;  // bits 15:0, of shared queues
  static constexpr std::size_t kMode = 8;
  static constexpr std::size_t kLimits = 12;
  static constexpr std::size_t kState = 24;
  static constexpr std::size_t kOperations = 32;  // bits of operations, if they can be chosen

  static constexpr std::uint32_t kDedicated = 0x1;
  static constexpr std::uint32_t kPriority1 = 0x10;
  static constexpr unsigned kBatchShift = 5;  // in kLimits, behind the transfer's
  static constexpr unsigned kStateShift = 30;
  static constexpr std::uint32_t kEnabled = 1;
};

// 3.3: four pages a queue; the first is the unlimited portal, for descriptors with MSI-X handles.
inline constexpr std::size_t kPortals = std::size_t{4} * 4096;

// 8.1
struct Descriptor {
  static constexpr std::uint32_t kPrivileged = 0x8000'0000;  // in `pasid`
  // In `operation`, below its code.
  static constexpr std::uint32_t kCompletionAddressValid = 0x04;
  static constexpr std::uint32_t kRequestCompletion = 0x08;
  static constexpr std::uint32_t kRequestInterrupt = 0x10;
  static constexpr unsigned kCodeShift = 24;
  static constexpr std::uint32_t kNoop = 0;
  static constexpr std::uint32_t kBatch = 1;
  static constexpr std::uint32_t kMove = 3;

  std::uint32_t pasid = 0;
  std::uint32_t operation = 0;
  std::uint64_t completion = 0;
  std::uint64_t source = 0;  // of a batch: its descriptors
  std::uint64_t destination = 0;
  std::uint32_t size = 0;  // bytes; of a batch: descriptors
  std::uint16_t interrupt_handle = 0;
  std::uint16_t reserved = 0;
  std::uint64_t specific[3] = {};

  [[nodiscard]] constexpr std::uint32_t code() const { return operation >> kCodeShift; }
  [[nodiscard]] constexpr bool has(std::uint32_t flag) const { return (operation & flag) != 0; }
};
static_assert(sizeof(Descriptor) == 64);

// 8.2. A multiple of 32 is its address.
struct CompletionRecord {
  static constexpr std::uint8_t kSuccess = 0x01;
  static constexpr std::uint8_t kPageFault = 0x03;
  static constexpr std::uint8_t kBatchError = 0x05;
  static constexpr std::uint8_t kBatchPageFault = 0x06;
  static constexpr std::uint8_t kBadOperation = 0x10;
  static constexpr std::uint8_t kInvalidFlags = 0x11;
  static constexpr std::uint8_t kReservedSet = 0x12;
  static constexpr std::uint8_t kTransferSize = 0x13;
  static constexpr std::uint8_t kDescriptorCount = 0x14;
  static constexpr std::uint8_t kListAlignment = 0x18;
  static constexpr std::uint8_t kInterruptHandle = 0x19;
  static constexpr std::uint8_t kCompletionAlignment = 0x1b;
  static constexpr std::uint8_t kHardware = 0x20;
  static constexpr std::uint8_t kStatusMask = 0x7f;

  std::uint8_t status = 0;
  std::uint8_t result = 0;
  std::uint16_t reserved = 0;
  std::uint32_t bytes_completed = 0;
  std::uint64_t fault_address = 0;
  std::uint64_t specific[2] = {};
};
static_assert(sizeof(CompletionRecord) == 32);

}  // namespace carryover::dsa
