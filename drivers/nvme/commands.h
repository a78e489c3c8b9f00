// SPDX-License-Identifier: GPL-2.0-only
// What is in queues (NVM Express Base Specification 2.0, 3.3.3, 4.1; NVM Command Set Specification
// 1.0, 3.2). Little endian.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace carryover::nvme {

// Base 4.1.2: a scatter gather list's descriptor.
struct SglDescriptor {
  static constexpr std::uint8_t kDataBlock = 0x00;
  static constexpr std::uint8_t kLastSegment = 0x30;

  std::uint64_t address = 0;
  std::uint32_t length = 0;  // bytes
  std::uint8_t reserved[3] = {};
  std::uint8_t type = kDataBlock;
};
static_assert(sizeof(SglDescriptor) == 16);

// Base 3.3.3.1
struct Command {
  static constexpr std::uint8_t kSgl = 0x40;  // PSDT 01b: data by SGL, metadata by address

  std::uint8_t opcode = 0;
  std::uint8_t flags = 0;
  std::uint16_t id = 0;
  std::uint32_t namespace_id = 0;
  std::uint64_t reserved = 0;
  std::uint64_t metadata = 0;
  // PRP 1 and PRP 2, or an SGL descriptor.
  std::uint64_t data[2] = {};
  std::uint32_t cdw10 = 0;
  std::uint32_t cdw11 = 0;
  std::uint32_t cdw12 = 0;
  std::uint32_t cdw13 = 0;
  std::uint32_t cdw14 = 0;
  std::uint32_t cdw15 = 0;
};
static_assert(sizeof(Command) == 64);

// Base 3.3.3.2
struct Completion {
  static constexpr std::uint16_t kPhase = 0x1;
  static constexpr std::uint16_t kDoNotRetry = 0x8000;

  std::uint32_t result = 0;
  std::uint32_t reserved = 0;
  std::uint16_t sq_head = 0;
  std::uint16_t sq_id = 0;
  std::uint16_t command_id = 0;
  std::uint16_t status = 0;  // phase, status code, its type, more, do not retry

  [[nodiscard]] constexpr bool phase() const { return (status & kPhase) != 0; }
  [[nodiscard]] constexpr unsigned code() const { return status >> 1 & 0xff; }
  [[nodiscard]] constexpr unsigned type() const { return status >> 9 & 0x7; }
  [[nodiscard]] constexpr bool do_not_retry() const { return (status & kDoNotRetry) != 0; }
  [[nodiscard]] constexpr bool failed() const { return (status & 0x0ffe) != 0; }
};
static_assert(sizeof(Completion) == 16);

enum AdminOpcode : std::uint8_t {
  kDeleteSq = 0x00,
  kCreateSq = 0x01,
  kDeleteCq = 0x04,
  kCreateCq = 0x05,
  kIdentify = 0x06,
  kSetFeatures = 0x09,
};

enum IoOpcode : std::uint8_t { kWrite = 0x01, kRead = 0x02 };

inline constexpr std::uint32_t kIdentifyNamespace = 0x00;   // CNS
inline constexpr std::uint32_t kIdentifyController = 0x01;  // CNS
inline constexpr std::uint32_t kNumberOfQueues = 0x07;      // feature
// Create I/O queue, CDW 11.
inline constexpr std::uint32_t kContiguous = 0x1;
inline constexpr std::uint32_t kInterruptsEnabled = 0x2;

// Offsets in Identify's data: controller (Base 5.17.2.1) and namespace (NVM 4.1.5.1).
inline constexpr std::size_t kMdts = 77;
inline constexpr std::size_t kSgls = 536;
inline constexpr std::size_t kNamespaceSize = 0;  // blocks, 64 bits
inline constexpr std::size_t kFormats = 25;       // that there are, less one
inline constexpr std::size_t kFlbas = 26;
inline constexpr std::size_t kLbaFormats = 128;  // 4 bytes each: metadata, log2 of bytes, ...

}  // namespace carryover::nvme
