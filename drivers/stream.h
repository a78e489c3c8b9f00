// SPDX-License-Identifier: GPL-2.0-only
// A device that fills a ring in memory at its own pace, with nobody driving it: what a device does
// while there is no kernel. The contract that every streaming device keeps; fixtures and tests know
// streams only by this.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "drivers/access/deadline.h"
#include "drivers/access/result.h"
#include "drivers/driver.h"

namespace carryover {

// What a device wrote into one slot of the ring.
struct StreamEntry {
  std::uint64_t number = 0;         // ascending, in the order in which it was made
  std::chrono::nanoseconds time{};  // when it was made, by the clock of whoever made it

  friend bool operator==(const StreamEntry&, const StreamEntry&) = default;
};

// All that asks the device is ENODEV if it is gone (all ones), and EIO if it is another.
class Stream {
 public:
  enum class Numbering : std::uint8_t {
    // Entry n goes into slot n modulo the number of slots, from 0. One that is lost leaves its slot
    // as it was.
    kBySlot,
    // The n-th entry that arrives goes into slot n. The number of the first one can be any, those
    // behind one that is lost move up, and the ring does not go around.
    kByArrival,
  };

  virtual ~Stream() = default;

  [[nodiscard]] virtual Numbering numbering() const = 0;
  // Slots that a ring may have at most. Errors: those of reading the device.
  [[nodiscard]] virtual Result<std::size_t> MaxSlots() = 0;
  // Memory of a ring of so many slots, a multiple of 256.
  [[nodiscard]] virtual std::size_t RingBytes(std::size_t slots) const = 0;

  // Makes the device write entries, one every `period` if it is the device that makes them. `ring`
  // is mapped for the device, aligned to 4096, and stays until Stop(). Bus master is on after
  // return. Errors: EINVAL (ring or period), EBUSY (a stream runs already), ETIMEDOUT, ENODEV.
  [[nodiscard]] virtual Result<void> Start(DmaRegion ring, std::chrono::microseconds period,
                                           Deadline deadline) = 0;

  // Goes on with a stream that another object of this class started, in a ring at the same IOVA;
  // writes nothing to the device. Errors: EIO (the device does not run such a stream: was reset, or
  // started anew), ENODEV.
  [[nodiscard]] virtual Result<void> TakeOver(DmaRegion ring, std::chrono::microseconds period) = 0;

  // Entries that the device has written, or tried to, since Start(). Errors: ENODEV.
  [[nodiscard]] virtual Result<std::uint64_t> Count() = 0;

  // After return the device writes no more. Errors: ETIMEDOUT, ENODEV.
  [[nodiscard]] virtual Result<void> Stop(Deadline deadline) = 0;

  // Reads slots of this ring from now on, as after TakeOver(); asks the device nothing. Errors:
  // EINVAL.
  [[nodiscard]] virtual Result<void> UseRing(DmaRegion ring) = 0;

  // Of the ring of Start(), TakeOver() or UseRing().
  [[nodiscard]] virtual std::size_t slots() const = 0;
  // All bytes of a slot.
  [[nodiscard]] virtual std::span<const std::byte> Slot(std::size_t slot) const = 0;
  // What the device writes beside a slot's bytes, such as its descriptor, is as Start() left it.
  [[nodiscard]] virtual bool IsUnused(std::size_t /*slot*/) const { return true; }
  // The entry in a slot; none if what is there is not a whole one.
  [[nodiscard]] virtual std::optional<StreamEntry> ReadSlot(std::size_t slot) const = 0;
};

}  // namespace carryover
