// SPDX-License-Identifier: GPL-2.0-only
// What a user-space PCI driver stands on. VfioPciDevice is the real one; unit tests give a fake.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "drivers/access/iommu.h"
#include "drivers/access/mmio.h"
#include "drivers/access/pci_id.h"
#include "drivers/access/result.h"

namespace carryover {

// kError (the function was hit by an uncorrectable error, PCIe AER) and kRequest (the kernel wants
// the device back) come from the kernel, not from the function: they are independent of the others,
// and a reset leaves them enabled.
enum class InterruptKind : std::uint8_t { kIntx, kMsi, kMsix, kError, kRequest };

class PciDevice {
 public:
  virtual ~PciDevice() = default;

  [[nodiscard]] virtual PciId id() const = 0;

  // The memory BAR `index` (0 to 5), mapped on first use; valid as long as the device.
  // Errors: ENODEV (no such BAR, or an I/O BAR).
  [[nodiscard]] virtual Result<Mmio*> Bar(unsigned index) = 0;

  // Configuration space, little endian. Size 1, 2 or 4; offset aligned to it.
  [[nodiscard]] virtual Result<std::uint32_t> ReadConfig(std::size_t offset, std::size_t size) = 0;
  [[nodiscard]] virtual Result<void> WriteConfig(std::size_t offset, std::size_t size,
                                                 std::uint32_t value) = 0;

  // Bus master enable in the COMMAND register (PCI 3.0, 6.2.2). Off: the device does no DMA and no
  // MSI.
  [[nodiscard]] virtual Result<void> SetBusMaster(bool on) = 0;

  // Resets the function by the best method there is. Interrupts that are enabled stay so, as do
  // DMA mappings; bus master is off.
  [[nodiscard]] virtual Result<void> Reset() = 0;

  // How many vectors the device has of this kind; 0 if it has none.
  [[nodiscard]] virtual Result<unsigned> InterruptVectors(InterruptKind kind) = 0;

  // Signals event_fds[i] (eventfd(2)) when vector i fires. An earlier set of the same kind is
  // replaced. The caller keeps the fds. INTx is masked by the kernel when it fires: UnmaskIntx()
  // after serving it.
  [[nodiscard]] virtual Result<void> EnableInterrupts(InterruptKind kind,
                                                      std::span<const int> event_fds) = 0;
  [[nodiscard]] virtual Result<void> DisableInterrupts(InterruptKind kind) = 0;
  [[nodiscard]] virtual Result<void> UnmaskIntx() = 0;
  // Masks an MSI-X vector that EnableInterrupts() enabled. When it fires, that is pending until
  // UnmaskMsix(), and the event fires then (PCI 3.0, 6.8.3.2, pending bit array).
  [[nodiscard]] virtual Result<void> MaskMsix(unsigned vector) = 0;
  [[nodiscard]] virtual Result<void> UnmaskMsix(unsigned vector, int event_fd) = 0;

  // The address space of its DMA.
  [[nodiscard]] virtual Iommu& iommu() = 0;
};

}  // namespace carryover
