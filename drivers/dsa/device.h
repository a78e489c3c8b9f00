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

  // An MSI-X vector, and how a descriptor names it.
  struct Interrupt {
    unsigned vector = 0;  // 0, which is no descriptor's: none was asked for
    std::uint16_t handle = 0;
  };

  Device(Mmio& registers, Mmio& portals) : registers_(registers), portals_(portals) {}

  // ENODEV if it reads as all ones; EIO if it has halted, or tells of a software error.
  [[nodiscard]] Result<void> CheckPresent(std::string_view during);

  // Ends all work, and gives every register its initial value.
  [[nodiscard]] Result<void> Reset(Deadline deadline);
  // After Reset(): both work queues, in group 0 with engine 0. Errors: ENOTSUP (a DSA that is too
  // small).
  [[nodiscard]] Result<void> BringUp(Sizes sizes, unsigned vectors, Deadline deadline);
  // True if it is as BringUp(), or Reset(), leave it.
  [[nodiscard]] bool IsAsLeft(Sizes sizes, bool enabled);
  [[nodiscard]] GenCap capabilities() { return GenCap{registers_.Read64(GenCap::kOffset)}; }

  // The handle of a vector, which is not 0.
  [[nodiscard]] Result<std::uint16_t> HandleOf(unsigned vector, Deadline deadline);
  // The last that HandleOf() was asked for.
  [[nodiscard]] const Interrupt& interrupt() const { return interrupt_; }
  void set_interrupt(const Interrupt& interrupt) { interrupt_ = interrupt; }

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
  Interrupt interrupt_;
};

}  // namespace carryover::dsa
