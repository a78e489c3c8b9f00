// SPDX-License-Identifier: GPL-2.0-only
// What a device's own code does. ContractDriver keeps the contract of drivers/driver.h on top of
// it: states, checks, deadlines and the saved state are written there once, for every device. It
// calls an engine only as the comments below say.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "drivers/driver.h"

namespace carryover {

// Where an engine's rings stand, for Save() and Attach(). The words' meaning is the engine's own;
// those it does not use are 0.
using RingPositions = std::array<std::uint32_t, 8>;

class Engine {
 public:
  virtual ~Engine() = default;

  // `region_size` counts ContractDriver::kStateSize bytes more than `rings` below need.
  [[nodiscard]] virtual const DriverTraits& traits() const = 0;

  // Finds the device's registers, and writes none. Called before all below; may be repeated.
  [[nodiscard]] virtual Result<void> Open() = 0;
  // ENODEV if the device reads as all ones.
  [[nodiscard]] virtual Result<void> CheckPresent(std::string_view during) = 0;

  // In any state of the device: ends its DMA and its interrupts, and gives it its initial state.
  // Forgets what was posted. Errors: ENODEV, ETIMEDOUT.
  [[nodiscard]] virtual Result<void> Reset(Deadline deadline) = 0;
  // After Reset(), with bus master on: makes the device ready to copy, with empty rings in `rings`,
  // which is page aligned, and large enough, and of any content.
  [[nodiscard]] virtual Result<void> BringUp(DmaRegion rings, Deadline deadline) = 0;
  // After the Reset() of Stop(): undoes what Reset() does not.
  [[nodiscard]] virtual Result<void> PutBack(Deadline /*deadline*/) { return {}; }

  // What this device cannot copy, besides what the traits and the last IOVA forbid. Error: EINVAL.
  [[nodiscard]] virtual Result<void> CheckCopy(const DmaCopy& /*copy*/) const { return {}; }
  // Whether these copies, each fit to be copied, fit beside what is outstanding.
  [[nodiscard]] virtual bool HasRoom(std::span<const DmaCopy> copies) const = 0;
  // Posts these copies, one at least, for which there is room. One doorbell, where the device has
  // rings.
  virtual void Post(std::span<const DmaCopy> copies) = 0;
  // Takes note of what the device has done since; true if that was something. Reads memory rather
  // than registers, where the device has rings: it is called in a loop. Error: EIO (the device
  // reports an error).
  [[nodiscard]] virtual Result<bool> Reap() = 0;
  // Units of the device's work (frames, commands) that were posted and not reaped.
  [[nodiscard]] virtual std::size_t Outstanding() const = 0;

  // Running. Makes the device raise this vector once; it has it, the caller has enabled it, and it
  // is the first of the traits or a later one. After an error other than ENOSPC Reset() is next.
  [[nodiscard]] virtual Result<void> RaiseInterrupt(unsigned vector) = 0;

  // Running: no DMA and no interrupt after return. What is outstanding is kept.
  [[nodiscard]] virtual Result<void> Halt(Deadline deadline) = 0;
  // After Halt(): posts again what is outstanding, and lets the device run.
  [[nodiscard]] virtual Result<void> Continue(Deadline deadline) = 0;

  // Running, with something outstanding, of which the device may do more at any time; only where
  // traits().hands_over_posted. Writes into the rings what TakeOver() needs to go on with it,
  // beside Positions(), which come next.
  virtual void StorePosted() {}
  // Running or halted, with nothing outstanding unless it was stored.
  [[nodiscard]] virtual RingPositions Positions() const = 0;
  // On an engine that was only opened, with bus master on: goes on with a device that another
  // engine left running or halted, at these positions. Writes nothing to it. Errors: EINVAL (no
  // such positions), EIO (the device is not in this state: was reset, or used since).
  [[nodiscard]] virtual Result<void> TakeOver(DmaRegion rings, const RingPositions& positions,
                                              bool running) = 0;
};

}  // namespace carryover
