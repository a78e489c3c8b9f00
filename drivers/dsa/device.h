// SPDX-License-Identifier: GPL-2.0-only
// A DSA's own side of the work: commands, configuration, state. Knows no copies.
#pragma once

#include <cstdint>
#include <string_view>

#include "drivers/access/deadline.h"
#include "drivers/access/mmio.h"
#include "drivers/access/result.h"
#include "drivers/dsa/registers.h"

namespace carryover::dsa {

inline constexpr unsigned kCopyQueue = 0;
inline constexpr unsigned kInterruptQueue = 1;
inline constexpr unsigned kVector = 1;

class Device {
 public:
  // Entries of the work queues.
  struct Sizes {
    std::uint32_t copies = 0;
    std::uint32_t interrupts = 0;
  };

  Device(Mmio& registers, Mmio& portals) : registers_(registers), portals_(portals) {}

  // ENODEV if it reads as all ones; EIO if it has halted, or tells of a software error.
  [[nodiscard]] Result<void> CheckPresent(std::string_view during);

  // Ends all work, and gives every register its initial value.
  [[nodiscard]] Result<void> Reset(Deadline deadline);
  // After Reset(): both work queues, in group 0 with engine 0, and interrupts by their handle.
  // Errors: ENOTSUP (a DSA that is too small).
  [[nodiscard]] Result<void> BringUp(Sizes sizes, Deadline deadline);
  // True if it is as BringUp(), or Reset(), leave it.
  [[nodiscard]] bool IsAsLeft(Sizes sizes, bool enabled);
  [[nodiscard]] GenCap capabilities() { return GenCap{registers_.Read64(GenCap::kOffset)}; }

  [[nodiscard]] std::uint16_t interrupt_handle() const { return interrupt_handle_; }
  void set_interrupt_handle(std::uint16_t handle) { interrupt_handle_ = handle; }

  // Hands a descriptor to a work queue; it must have room.
  void Submit(unsigned queue, const Descriptor& descriptor);

 private:
  // Gives the command's result.
  [[nodiscard]] Result<std::uint32_t> Do(std::uint32_t command, std::uint32_t operand,
                                         Deadline deadline);
  [[nodiscard]] bool IsGone() { return registers_.Read32(GenSts::kOffset) == ~0U; }
  [[nodiscard]] std::size_t EntryOf(unsigned queue);
  void ConfigureQueue(unsigned queue, std::uint32_t size);

  Mmio& registers_;
  Mmio& portals_;
  std::uint16_t interrupt_handle_ = kVector;
};

}  // namespace carryover::dsa
