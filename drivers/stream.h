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
  std::uint64_t number = 0;         // from 0, in the order in which the device wrote
  std::chrono::nanoseconds time{};  // when, by the device's own clock

  friend bool operator==(const StreamEntry&, const StreamEntry&) = default;
};

// The n-th entry goes into slot n modulo the number of slots. All that asks the device is ENODEV if
// it is gone (all ones), and EIO if it is another.
class Stream {
 public:
  virtual ~Stream() = default;

  // Bytes of a slot. The ring is a multiple of it.
  [[nodiscard]] virtual std::size_t slot_size() const = 0;

  // Makes the device write one entry every `period`, number 0 first. `ring` is mapped for the
  // device to write, aligned to 4096, and stays until Stop(). Bus master is on after return.
  // Errors: EINVAL (ring or period), EBUSY (a stream runs already), ENODEV.
  [[nodiscard]] virtual Result<void> Start(DmaRegion ring, std::chrono::microseconds period) = 0;

  // Goes on with a stream that another object of this class started, in a ring at the same IOVA;
  // writes nothing to the device. Errors: EIO (the device does not run such a stream: was reset, or
  // started anew), ENODEV.
  [[nodiscard]] virtual Result<void> TakeOver(DmaRegion ring, std::chrono::microseconds period) = 0;

  // Entries that the device has written, or tried to, since Start(). Errors: ENODEV.
  [[nodiscard]] virtual Result<std::uint64_t> Count() = 0;

  // After return the device writes no more. Errors: ETIMEDOUT, ENODEV.
  [[nodiscard]] virtual Result<void> Stop(Deadline deadline) = 0;

  // The entry in a slot of slot_size() bytes; none if what is there is not a whole one.
  [[nodiscard]] virtual std::optional<StreamEntry> ReadSlot(
      std::span<const std::byte> slot) const = 0;
};

}  // namespace carryover
