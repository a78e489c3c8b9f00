// SPDX-License-Identifier: GPL-2.0-only
// A model of the 82576, written from its data sheet: registers, one transmit and one receive queue,
// PHY loopback, semaphores, MSI-X. It works inside the register write that causes the work. What
// the data sheet forbids a driver is noted in violations().
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "drivers/access/fake/fake_pci_device.h"
#include "drivers/conformance/conformance_device.h"
#include "drivers/igb/descriptors.h"

namespace carryover::igb {

class FakeIgb final : public ConformanceDevice, private Mmio {
 public:
  enum class Flavour : std::uint8_t {
    kHardware,
    // No AUTO_RD, no CFG_DONE, link only by auto-negotiation, loopback only by RCTL.LBM, GIO master
    // disable is said but not done, and refused DMA is not noticed: a frame that cannot be read is
    // dropped, one that cannot be written is reported as received.
    kQemu,
  };

  explicit FakeIgb(Flavour flavour, unsigned port = 0);

  // ConformanceDevice
  [[nodiscard]] FakePciDevice& device() override { return function_; }
  void SetGone(bool gone) override { gone_ = gone; }
  void SetHung(bool hung) override;
  void LetThrough(std::size_t units) override;
  void SetResetStuck(bool stuck) override { reset_stuck_ = stuck; }
  void FailNextCopy() override { fail_next_ = true; }
  [[nodiscard]] std::size_t doorbells() const override { return doorbells_; }
  [[nodiscard]] std::size_t resets() const override { return resets_; }
  [[nodiscard]] const std::vector<std::string>& violations() const override { return violations_; }

  // A cable to a station: auto-negotiation ends with a link. QEMU always has one.
  void SetCable() { cable_ = true; }
  // A frame from the cable, without CRC.
  void Arrive(std::vector<std::byte> frame);
  // The management firmware holds the PHY.
  void SetFirmwareHoldsPhy(bool holds) { firmware_holds_phy_ = holds; }
  // The management firmware holds the semaphore that guards SW_FW_SYNC.
  void SetFirmwareHoldsSemaphore(bool holds) { firmware_holds_semaphore_ = holds; }
  // The PHY refuses what is written to it.
  void SetPhyRefuses(bool refuses) { phy_refuses_ = refuses; }
  void SetQueuesStuck(bool stuck) { queues_stuck_ = stuck; }
  // EECD.AUTO_RD never rises.
  void SetEepromStuck(bool stuck) { eeprom_stuck_ = stuck; }
  // There is none: AUTO_RD rises nevertheless (8.4.1), CFG_DONE never does.
  void SetEepromMissing() { eeprom_missing_ = true; }
  // Transmit descriptors are not written back, until they are held no more.
  void SetReportsHeld(bool held);
  // The next frame is lost on the way.
  void LoseNextFrame() { lose_next_ = true; }
  [[nodiscard]] std::size_t frames_to_cable() const { return frames_to_cable_; }
  [[nodiscard]] std::uint32_t Register(std::size_t offset) const { return registers_[offset / 4]; }
  void SetRegister(std::size_t offset, std::uint32_t value) { Reg(offset) = value; }
  // Offsets of the registers that were read, or written, since the last ForgetAccesses().
  [[nodiscard]] const std::vector<std::size_t>& reads() const { return read_; }
  [[nodiscard]] const std::vector<std::size_t>& writes() const { return written_; }
  void ForgetAccesses() {
    read_.clear();
    written_.clear();
  }
  [[nodiscard]] std::uint16_t phy_control() const { return phy_control_; }

 private:
  // Reads of EECD and EEMNGCTL after which AUTO_RD and CFG_DONE are set.
  static constexpr int kEepromRead = 3;
  static constexpr int kPhyConfigured = 6;

  class Function final : public FakePciDevice {
   public:
    explicit Function(FakeIgb& model)
        : FakePciDevice({.vendor = 0x8086, .device = 0x10c9}, {{InterruptKind::kMsix, 10}}),
          model_(model) {}
    using FakePciDevice::DmaRead;
    using FakePciDevice::DmaWrite;
    using FakePciDevice::Raise;

   protected:
    Mmio* BarModel(unsigned index) override { return index == 0 ? &model_ : nullptr; }
    void OnReset() override { model_.ResetRegisters(); }

   private:
    FakeIgb& model_;
  };

  // Mmio: the 82576's registers are 32 bits wide; other accesses are violations.
  [[nodiscard]] std::uint8_t Read8(std::size_t offset) override;
  [[nodiscard]] std::uint16_t Read16(std::size_t offset) override;
  [[nodiscard]] std::uint32_t Read32(std::size_t offset) override;
  [[nodiscard]] std::uint64_t Read64(std::size_t offset) override;
  void Write8(std::size_t offset, std::uint8_t value) override;
  void Write16(std::size_t offset, std::uint16_t value) override;
  void Write32(std::size_t offset, std::uint32_t value) override;
  void Write64(std::size_t offset, std::uint64_t value) override;
  [[nodiscard]] std::size_t size() const override { return registers_.size() * 4; }

  [[nodiscard]] std::uint32_t& Reg(std::size_t offset) { return registers_.at(offset / 4); }
  void Violation(std::string what) { violations_.push_back(std::move(what)); }
  void CheckAccess(std::size_t offset);
  void CheckWrite(std::size_t offset, std::uint32_t value);
  void ResetRegisters();
  void SoftwareReset();
  void WriteMdic(std::uint32_t value);
  void WriteTail(std::size_t offset, std::uint32_t value);
  [[nodiscard]] std::uint32_t ReadStatus();
  [[nodiscard]] bool QueueOn(std::size_t control, std::size_t unit) const;
  [[nodiscard]] bool MasterEnabled();
  [[nodiscard]] bool Hardware() const { return flavour_ == Flavour::kHardware; }
  [[nodiscard]] std::uint32_t MyPhy() const;
  // What a refused DMA does to the device: false if it goes on.
  [[nodiscard]] bool Wedge();
  [[nodiscard]] bool LoopsBack() const;
  void RaisePending();

  void Transmit();
  void AdvanceTransmitHead();
  [[nodiscard]] bool Report(Iova descriptor);
  void SendFrame();
  [[nodiscard]] bool Gather(const TxDescriptor& descriptor);
  void Receive(std::vector<std::byte> frame);
  [[nodiscard]] bool Store(const std::vector<std::byte>& frame, RxDescriptor& descriptor);
  [[nodiscard]] bool StoreSplit(const std::vector<std::byte>& frame, RxDescriptor& descriptor);
  [[nodiscard]] bool Accepts(const std::vector<std::byte>& frame);

  Flavour flavour_;
  unsigned port_;
  Function function_;
  std::vector<std::uint32_t> registers_;
  std::vector<std::size_t> read_;
  std::vector<std::size_t> written_;
  std::uint16_t phy_control_ = PhyControl::kAutoNegotiation;
  std::vector<std::byte> frame_;     // being gathered from descriptors
  std::uint32_t frame_payload_ = 0;  // PAYLEN of its first descriptor
  bool frame_unread_ = false;        // a part of it could not be read
  std::chrono::steady_clock::time_point quiet_until_;
  bool peer_took_descriptor_ = false;
  int eeprom_polls_ = kEepromRead;  // since the last reset
  int link_polls_ = 0;              // since auto-negotiation began; 0 if it has not
  bool wedged_ = false;             // a DMA was refused: nothing moves until a reset

  bool cable_ = false;
  bool gone_ = false;
  bool hung_ = false;
  bool reset_stuck_ = false;
  bool queues_stuck_ = false;
  bool eeprom_stuck_ = false;
  bool eeprom_missing_ = false;
  bool firmware_holds_phy_ = false;
  bool firmware_holds_semaphore_ = false;
  bool phy_refuses_ = false;
  bool fail_next_ = false;
  bool lose_next_ = false;
  bool reports_held_ = false;
  std::vector<Iova> held_reports_;
  std::size_t budget_ = SIZE_MAX;  // frames until it hangs
  std::size_t doorbells_ = 0;
  std::size_t resets_ = 0;
  std::size_t frames_to_cable_ = 0;
  std::vector<std::string> violations_;
};

}  // namespace carryover::igb
