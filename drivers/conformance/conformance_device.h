// SPDX-License-Identifier: GPL-2.0-only
// What the driver conformance suite asks of a driver's fake device, besides working.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "drivers/access/fake/fake_pci_device.h"
#include "drivers/driver.h"

namespace carryover {

class ConformanceDevice {
 public:
  virtual ~ConformanceDevice() = default;

  [[nodiscard]] virtual FakePciDevice& device() = 0;

  // The device is unplugged: registers read as all ones, writes are lost.
  virtual void SetGone(bool gone) = 0;
  // The device takes doorbells and does nothing; when it hangs no more, it goes on with what it
  // has.
  virtual void SetHung(bool hung) = 0;
  // A hung device does `units` (1 or more) of its own units of work, then hangs again.
  virtual void LetThrough(std::size_t units) = 0;
  // A reset that is begun never ends.
  virtual void SetResetStuck(bool stuck) = 0;
  // The device reports an error for what it does next.
  virtual void FailNextCopy() = 0;

  // Writes that made the device look for work.
  [[nodiscard]] virtual std::size_t doorbells() const = 0;
  // Resets by register; resets of the function are the FakePciDevice's.
  [[nodiscard]] virtual std::size_t resets() const = 0;
  // What the driver did and the data sheet forbids.
  [[nodiscard]] virtual const std::vector<std::string>& violations() const = 0;
};

// One instance of the suite.
struct ConformanceCase {
  std::string name;  // letters and digits
  const DriverEntry* entry = nullptr;
  std::function<std::unique_ptr<ConformanceDevice>()> make_device;
  // False for a device that goes on with anything when the IOMMU refuses a read.
  bool notices_refused_reads = true;
  // False for a device that takes a write which the IOMMU refuses for done. QEMU's devices do.
  bool notices_refused_writes = true;
  // False for a device that has no way to say that it failed.
  bool reports_errors = true;
  // False for a device that never reads or writes the driver's region.
  bool uses_its_region = true;
  // Doorbells that a batch of any size takes: 2 for a disk, which is written first and read then.
  // 0 for a device without rings, which takes some for each copy.
  std::size_t doorbells_a_batch = 1;
  // True for a device whose own administration interrupts, too, by the vectors before those that
  // RaiseInterrupt() uses.
  bool administration_interrupts = false;
  // False for a device that raises an interrupt as it does a copy: after those that were posted.
  bool interrupts_overtake_copies = true;
  // What the driver is made with.
  DriverOptions options = {};
};

// What GoogleTest prints.
inline void PrintTo(const ConformanceCase& conformance_case, std::ostream* stream) {
  *stream << conformance_case.name;
}

}  // namespace carryover
