// SPDX-License-Identifier: GPL-2.0-only
// Controller registers (NVM Express Base Specification 2.0, 3.1.3), in BAR 0. Sections are those of
// that specification. 64-bit registers may be accessed by 4 or 8 bytes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace carryover::nvme {

// 3.1.3.1
struct Cap {
  static constexpr std::size_t kOffset = 0x00;

  std::uint64_t value;

  // Entries that a queue may have.
  [[nodiscard]] constexpr std::uint32_t max_queue_entries() const { return (value & 0xffff) + 1; }
  // Milliseconds that the controller may take until it is ready, or is not any more.
  [[nodiscard]] constexpr unsigned timeout() const {
    return static_cast<unsigned>(value >> 24 & 0xff) * 500;
  }
  [[nodiscard]] constexpr bool nvm_command_set() const { return (value >> 37 & 1) != 0; }
  // Bytes between two doorbells.
  [[nodiscard]] constexpr std::size_t doorbell_stride() const {
    return std::size_t{4} << (value >> 32 & 0xf);
  }
  // Bytes.
  [[nodiscard]] constexpr std::size_t min_page() const {
    return std::size_t{4096} << (value >> 48 & 0xf);
  }
};

// 3.1.3.5
struct Cc {
  static constexpr std::size_t kOffset = 0x14;
  static constexpr std::uint32_t kEnable = 0x1;
  static constexpr std::uint32_t kShutdown = 3U << 14;
  // 4 KiB pages, round robin, the NVM command set; entries of 64 and 16 bytes.
  static constexpr std::uint32_t kOurs = 6U << 16 | 4U << 20;
};

// 3.1.3.6
struct Csts {
  static constexpr std::size_t kOffset = 0x1c;
  static constexpr std::uint32_t kReady = 0x1;
  static constexpr std::uint32_t kFatal = 0x2;
};

// 3.1.3.8: admin queues' sizes, less one.
struct Aqa {
  static constexpr std::size_t kOffset = 0x24;
};

// 3.1.3.9, 3.1.3.10
struct Asq {
  static constexpr std::size_t kOffset = 0x28;
};
struct Acq {
  static constexpr std::size_t kOffset = 0x30;
};

// NVMe over PCIe Transport Specification 1.0, 3.1.2: submission queue y's tail doorbell is the
// 2y-th, completion queue y's head doorbell the one after it.
struct Doorbells {
  static constexpr std::size_t kOffset = 0x1000;

  [[nodiscard]] static std::size_t SubmissionTail(unsigned queue, std::size_t stride) {
    return kOffset + std::size_t{2} * queue * stride;
  }
  [[nodiscard]] static std::size_t CompletionHead(unsigned queue, std::size_t stride) {
    return kOffset + (std::size_t{2} * queue + 1) * stride;
  }
};

}  // namespace carryover::nvme
