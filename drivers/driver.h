// SPDX-License-Identifier: GPL-2.0-only
// The contract that every driver keeps. Fixtures and tests know drivers only by this.
//
// A driver makes one PCI function copy memory by DMA. Its state, rings and bounce buffers live in
// one DMA region that the caller owns: whoever preserves that region preserves the driver.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "drivers/access/block_range.h"
#include "drivers/access/deadline.h"
#include "drivers/access/iommu.h"
#include "drivers/access/pci_device.h"
#include "drivers/access/result.h"

namespace carryover {

// Memory that CPU and device share: `memory` is mapped for the device at `iova`, read and write.
struct DmaRegion {
  std::span<std::byte> memory;
  Iova iova = 0;
};

struct DmaCopy {
  Iova source = 0;
  Iova destination = 0;
  std::size_t length = 0;  // bytes, not 0
};

struct DriverTraits {
  std::string_view name;           // "igb"
  std::size_t region_size = 0;     // bytes of DMA region that Start() needs, a multiple of 4096
  std::size_t max_copy_bytes = 0;  // largest DmaCopy::length
  std::size_t max_in_flight =
      0;  // DmaCopy's of the largest length that Copy() takes before a Wait()
  InterruptKind interrupt = InterruptKind::kMsix;  // that RaiseInterrupt() uses,
  unsigned vector = 0;                             // and the first of its vectors
  // Source, destination and length of a DmaCopy are multiples of it, a power of two. A device may
  // tell it only when it runs: valid after Start() or Attach(), 1 before.
  std::size_t alignment = 1;
  // Save() and Attach() hand over copies that are posted and not waited for: the device goes on
  // with them meanwhile.
  bool hands_over_posted = false;
};

// What the user says of a device, besides what it is.
struct DriverOptions {
  // The blocks that a disk's driver copies through: it overwrites them, and touches no other.
  // Without it such a driver does not start (EINVAL).
  std::optional<BlockRange> scratch = std::nullopt;
};

// States: made (only Start(), Attach() and Stop() are allowed), running after Start(), quiesced
// after Quiesce(), made again after Stop(). An operation that its state does not allow fails with
// EINVAL and does nothing. When Wait(), Poll(), Quiesce(), Resume() or (but for EINVAL and ENOSPC)
// RaiseInterrupt() has failed, only Start() and Stop() are allowed; the others fail with EIO. A
// device that is gone (all ones) is ENODEV in all operations but Copy(), which reads nothing from
// the device.
class Driver {
 public:
  virtual ~Driver() = default;

  [[nodiscard]] virtual const DriverTraits& traits() const = 0;

  // Resets the device, in any state, and makes it ready to copy; what was posted is forgotten.
  // `region` is at least traits().region_size, page aligned in memory and IOVA, and outlives the
  // driver or the next Stop(); what it contains does not matter, a saved state in it is made
  // invalid. Bus master is on after return. Guarantees: no vector that RaiseInterrupt() can raise
  // is raised; nothing is written outside the region. Errors: ENODEV, ETIMEDOUT (hardware never
  // ready), EINVAL (region). After an error the driver is as it was made.
  [[nodiscard]] virtual Result<void> Start(DmaRegion region, Deadline deadline) = 0;

  // Posts the copies and returns at once; one doorbell for all of them. The device reads [source,
  // +length) and writes [destination, +length), and no byte besides outside its region. Order
  // between copies is not promised. Errors: EINVAL (length 0 or above max_copy_bytes, not
  // aligned, or a range that ends beyond the last IOVA), ENOSPC (more than fits); nothing was
  // posted then.
  [[nodiscard]] virtual Result<void> Copy(std::span<const DmaCopy> copies) = 0;

  // Returns when every posted copy is complete and its data visible to the CPU; at once if none is
  // posted. Errors: ETIMEDOUT, EIO (the device reports an error), ENODEV. A copy that the IOMMU
  // refuses ends in ETIMEDOUT or EIO; but a device may not notice that a write was refused.
  [[nodiscard]] virtual Result<void> Wait(Deadline deadline) = 0;

  // Takes note of what is complete by now, and returns at once: how many pieces of posted work
  // (descriptors, commands; one copy at least makes one) are not. Errors: those of Wait() but
  // ETIMEDOUT.
  [[nodiscard]] virtual Result<std::size_t> Poll() = 0;

  // Makes the device raise a vector of traits().interrupt once: any from traits().vector on that
  // the device has (PciDevice::InterruptVectors()); those before are its own administration's. The
  // caller has enabled it on the PciDevice. What was asked for by another vector, and has not come,
  // may be lost. Errors: EINVAL (no such vector), ENOSPC (too many have not come).
  [[nodiscard]] virtual Result<void> RaiseInterrupt(unsigned vector) = 0;
  [[nodiscard]] Result<void> RaiseInterrupt() { return RaiseInterrupt(traits().vector); }

  // After return the device does no DMA and raises no interrupt until Resume() or Start(). Posted
  // copies that are not complete are kept: until Resume() their destinations may be written in
  // part, their sources must stay. Does nothing if the driver is quiesced. Errors: ETIMEDOUT.
  [[nodiscard]] virtual Result<void> Quiesce(Deadline deadline) = 0;

  // Undoes Quiesce(): kept copies go on, some from their beginning, and Wait() waits for them.
  // Errors: ETIMEDOUT, EIO.
  [[nodiscard]] virtual Result<void> Resume(Deadline deadline) = 0;

  // Writes into the region what Attach() needs, running or quiesced. Valid until the next Copy(),
  // Quiesce(), Resume(), Start() or Stop(), or RaiseInterrupt() of another vector than the last.
  // With traits().hands_over_posted, running: what is posted and not complete goes over, too, and
  // the state is valid until the next Wait() or Poll() as well. Errors: EBUSY (a copy is posted and
  // not waited for, and does not go over), and then those of Poll().
  [[nodiscard]] virtual Result<void> Save() = 0;

  // Takes over a device, without reset, from a region that Save() wrote, at the same IOVA; the
  // driver is then running or quiesced, as at Save(), and Wait() waits for the copies that went
  // over. Call it instead of Start(), on a driver object that was just made. Errors: EINVAL (no
  // saved state, or of another version, device or IOVA), ENODEV, EIO (the device is not in the
  // saved state). After an error the device is untouched, and the driver as it was made.
  [[nodiscard]] virtual Result<void> Attach(DmaRegion region) = 0;

  // Ends all DMA and interrupts and leaves the device reset, bus master off, in any state, also
  // that of a driver that neither started nor attached. The region is no longer used. Errors:
  // ENODEV, ETIMEDOUT; bus master is off nevertheless.
  [[nodiscard]] virtual Result<void> Stop(Deadline deadline) = 0;
};

// What a function says that it is.
struct PciKind {
  PciId id;
  std::uint32_t class_code = 0;  // base class, sub-class, interface: 0x010802 is NVMe
};

class FrameReceiver;
class Stream;

// A kind of driver, and how to make one. A DriverEntry a folder; drivers/registry.h has the table.
struct DriverEntry {
  std::string_view name;
  // True if the driver can drive this function.
  bool (*probe)(const PciKind& kind);
  std::unique_ptr<Driver> (*make)(PciDevice& device, const DriverOptions& options);
  // Null if the device cannot stream (drivers/stream.h).
  std::unique_ptr<Stream> (*make_stream)(PciDevice& device) = nullptr;
  // Null if it is no NIC that can receive by itself (drivers/frame_receiver.h).
  std::unique_ptr<FrameReceiver> (*make_frame_receiver)(PciDevice& device) = nullptr;
};

}  // namespace carryover
