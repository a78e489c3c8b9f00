// SPDX-License-Identifier: GPL-2.0-only
// A PCI function in process. A fake device derives from it and gives its BARs and its reset.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "drivers/access/fake/fake_iommu.h"
#include "drivers/access/pci_device.h"

namespace carryover {

class FakePciDevice : public PciDevice {
 public:
  FakePciDevice(PciId id, std::map<InterruptKind, unsigned> vectors);

  [[nodiscard]] PciId id() const override { return id_; }
  [[nodiscard]] Result<Mmio*> Bar(unsigned index) override;
  [[nodiscard]] Result<std::uint32_t> ReadConfig(std::size_t offset, std::size_t size) override;
  [[nodiscard]] Result<void> WriteConfig(std::size_t offset, std::size_t size,
                                         std::uint32_t value) override;
  [[nodiscard]] Result<void> SetBusMaster(bool on) override;
  [[nodiscard]] Result<void> Reset() override;
  [[nodiscard]] Result<unsigned> InterruptVectors(InterruptKind kind) override;
  [[nodiscard]] Result<void> EnableInterrupts(InterruptKind kind,
                                              std::span<const int> event_fds) override;
  [[nodiscard]] Result<void> DisableInterrupts(InterruptKind kind) override;
  [[nodiscard]] Result<void> UnmaskIntx() override { return {}; }
  [[nodiscard]] Result<void> MaskMsix(unsigned vector) override;
  [[nodiscard]] Result<void> UnmaskMsix(unsigned vector, int event_fd) override;
  [[nodiscard]] FakeIommu& iommu() override { return iommu_; }

  [[nodiscard]] bool bus_master() const;
  [[nodiscard]] unsigned resets() const { return resets_; }
  // The configuration space, for what a driver looks for in it.
  [[nodiscard]] std::array<std::uint8_t, 256>& config() { return config_; }

 protected:
  // Null if the device has no such BAR.
  virtual Mmio* BarModel(unsigned index) = 0;
  // Function level reset: the model's registers take their initial values.
  virtual void OnReset() = 0;

  // DMA, refused by the IOMMU or with bus master off.
  [[nodiscard]] bool DmaRead(Iova iova, std::span<std::byte> to);
  [[nodiscard]] bool DmaWrite(Iova iova, std::span<const std::byte> from);
  // Signals the eventfd of a vector, if it is enabled; an MSI is a write: bus master must be on.
  void Raise(InterruptKind kind, unsigned vector);

 private:
  PciId id_;
  std::map<InterruptKind, unsigned> vectors_;
  std::map<InterruptKind, std::vector<int>> enabled_;  // eventfds; -1: masked
  std::set<unsigned> pending_;                         // MSI-X vectors
  std::array<std::uint8_t, 256> config_{};
  FakeIommu iommu_;
  unsigned resets_ = 0;
};

}  // namespace carryover
