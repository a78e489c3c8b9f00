// SPDX-License-Identifier: GPL-2.0-only
// A NIC that receives frames into a ring with nobody driving it: what it does while there is no
// kernel. The contract that every receiving NIC keeps; fixtures and tests know NICs only by this.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "drivers/access/deadline.h"
#include "drivers/access/result.h"
#include "drivers/driver.h"

namespace carryover {

// The n-th frame goes into slot n. The ring is not refilled: when all but one of its slots have a
// frame, the NIC receives no more, as the CPU may be away for so long and no frame may be
// overwritten. All that asks the device is ENODEV if it is gone (all ones).
class FrameReceiver {
 public:
  // Bytes of a slot's buffer: of a frame, without its check sequence, at most.
  static constexpr std::size_t kSlotBytes = 256;

  virtual ~FrameReceiver() = default;

  // Slots that a ring may have, a multiple of 256. Errors: those of reading the device.
  [[nodiscard]] virtual Result<std::size_t> MaxSlots() = 0;
  // Memory of a ring of so many slots, a multiple of 256: a descriptor and a buffer each.
  [[nodiscard]] virtual std::size_t RingBytes(std::size_t slots) const = 0;

  // Resets the device, brings its link up, and receives what is sent to station_address() into
  // `ring`, which is mapped for the device to read and write, aligned to 4096, and stays until
  // Stop(). Bus master is on after return. Errors: EINVAL (a ring of no RingBytes()), ETIMEDOUT (no
  // reset, or no link: says which), ENODEV.
  [[nodiscard]] virtual Result<void> Start(DmaRegion ring, Deadline deadline) = 0;

  // Goes on with what another object of this class started, in a ring at the same IOVA; writes
  // nothing to the device, whose head is where the first slot without a frame is, or behind it.
  // Errors: EIO (the device does not receive into this ring: was reset, or used since), ENODEV.
  [[nodiscard]] virtual Result<void> TakeOver(DmaRegion ring) = 0;

  // Frames that have arrived, as the descriptors say: they and all of their bytes are in memory.
  [[nodiscard]] virtual Result<std::uint64_t> Count() = 0;

  // After return the device does no DMA. Errors: ETIMEDOUT, ENODEV.
  [[nodiscard]] virtual Result<void> Stop(Deadline deadline) = 0;

  // Reads slots of this ring from now on, as after TakeOver(); asks the device nothing. Errors:
  // EINVAL.
  [[nodiscard]] virtual Result<void> UseRing(DmaRegion ring) = 0;

  // Of the ring of Start(), TakeOver() or UseRing().
  [[nodiscard]] virtual std::size_t slots() const = 0;
  // What is in a slot's buffer, kSlotBytes.
  [[nodiscard]] virtual std::span<const std::byte> Buffer(std::size_t slot) const = 0;
  // The slot's descriptor is as Start() left it: the device has not been there.
  [[nodiscard]] virtual bool IsUnused(std::size_t slot) const = 0;
  // The frame in a slot, without its check sequence; none if the device did not say that a whole
  // and right one is there.
  [[nodiscard]] virtual std::optional<std::span<const std::byte>> Frame(std::size_t slot) const = 0;
};

}  // namespace carryover
