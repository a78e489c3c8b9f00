// SPDX-License-Identifier: GPL-2.0-only
// Structures of the PCI transport (Virtual I/O Device 1.2, 4.1.4) and of block devices (5.2), as
// offsets from the places that capabilities name. Accessed by their own size, 64-bit ones by two
// halves (4.1.3.1).
#pragma once

#include <cstddef>
#include <cstdint>

namespace carryover::virtio {

// 4.1.4: a vendor specific capability.
struct Capability {
  static constexpr std::size_t kLength = 2;
  static constexpr std::size_t kType = 3;
  static constexpr std::size_t kBar = 4;
  static constexpr std::size_t kOffset = 8;
  static constexpr std::size_t kSize = 12;
  static constexpr std::size_t kNotifyMultiplier = 16;

  static constexpr std::uint8_t kCommon = 1;
  static constexpr std::uint8_t kNotify = 2;
  static constexpr std::uint8_t kIsr = 3;
  static constexpr std::uint8_t kDevice = 4;
};

// 4.1.4.3
struct Common {
  static constexpr std::size_t kDeviceFeatureSelect = 0x00;
  static constexpr std::size_t kDeviceFeature = 0x04;
  static constexpr std::size_t kDriverFeatureSelect = 0x08;
  static constexpr std::size_t kDriverFeature = 0x0c;
  static constexpr std::size_t kConfigVector = 0x10;    // 16 bits
  static constexpr std::size_t kNumQueues = 0x12;       // 16
  static constexpr std::size_t kStatus = 0x14;          // 8
  static constexpr std::size_t kGeneration = 0x15;      // 8
  static constexpr std::size_t kQueueSelect = 0x16;     // 16
  static constexpr std::size_t kQueueSize = 0x18;       // 16
  static constexpr std::size_t kQueueVector = 0x1a;     // 16
  static constexpr std::size_t kQueueEnable = 0x1c;     // 16
  static constexpr std::size_t kQueueNotifyOff = 0x1e;  // 16
  static constexpr std::size_t kQueueDesc = 0x20;       // 64
  static constexpr std::size_t kQueueDriver = 0x28;     // 64
  static constexpr std::size_t kQueueDevice = 0x30;     // 64
  static constexpr std::size_t kLength = 0x38;

  static constexpr std::uint16_t kNoVector = 0xffff;
};

// 2.1
struct Status {
  static constexpr std::uint8_t kAcknowledge = 0x01;
  static constexpr std::uint8_t kDriver = 0x02;
  static constexpr std::uint8_t kDriverOk = 0x04;
  static constexpr std::uint8_t kFeaturesOk = 0x08;
  static constexpr std::uint8_t kNeedsReset = 0x40;
  static constexpr std::uint8_t kRunning = kAcknowledge | kDriver | kFeaturesOk | kDriverOk;
};

// 5.2.3, 6
struct Feature {
  static constexpr std::uint64_t kSizeMax = std::uint64_t{1} << 1;
  static constexpr std::uint64_t kSegMax = std::uint64_t{1} << 2;
  static constexpr std::uint64_t kReadOnly = std::uint64_t{1} << 5;
  static constexpr std::uint64_t kBlockSize = std::uint64_t{1} << 6;
  static constexpr std::uint64_t kMultiQueue = std::uint64_t{1} << 12;
  static constexpr std::uint64_t kVersion1 = std::uint64_t{1} << 32;
  static constexpr std::uint64_t kAccessPlatform = std::uint64_t{1} << 33;
};

// 5.2.4
struct BlockConfig {
  static constexpr std::size_t kCapacity = 0;    // 64 bits, sectors
  static constexpr std::size_t kSizeMax = 8;     // 32
  static constexpr std::size_t kSegMax = 12;     // 32
  static constexpr std::size_t kBlockSize = 20;  // 32
  static constexpr std::size_t kNumQueues = 34;  // 16
  static constexpr std::size_t kLength = 36;

  static constexpr std::uint32_t kSector = 512;
};

}  // namespace carryover::virtio
