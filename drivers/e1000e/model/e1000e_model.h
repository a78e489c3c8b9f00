// SPDX-License-Identifier: GPL-2.0-only
// A model of the 82574, as far as copying by looped-back frames needs it: the data sheet in code.
// What is not modelled, and what the data sheet forbids, are violations.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "drivers/e1000e/descriptors.h"
#include "drivers/model/device_model.h"

namespace carryover::e1000e {

class E1000eModel final : public DeviceModel {
 public:
  // Where QEMU's e1000e is not as the data sheet says.
  enum class Flavour : std::uint8_t {
    kHardware,
    kQemu,  // takes refused writes for done, repeats messages, resets the PHY with the rest
  };
  [[nodiscard]] static ModelIdentity Identity(Flavour flavour = Flavour::kHardware);

  explicit E1000eModel(ModelHost& host, Flavour flavour = Flavour::kHardware);

  [[nodiscard]] const ModelIdentity& identity() const override { return identity_; }
  [[nodiscard]] std::uint64_t Read(unsigned bar, std::size_t offset, std::size_t size) override;
  void Write(unsigned bar, std::size_t offset, std::size_t size, std::uint64_t value) override;
  void ResetFunction() override;
  void Work() override;
  [[nodiscard]] std::optional<Clock::time_point> NextDue() const override { return throttle_; }

  // The firmware keeps the PHY.
  void SetFirmwareHoldsPhy(bool holds) { firmware_holds_phy_ = holds; }
  // The PHY answers with an error.
  void SetPhyRefuses(bool refuses) { phy_refuses_ = refuses; }
  void SetEepromStuck(bool stuck) { eeprom_stuck_ = stuck; }
  // What was transmitted stays in the FIFO.
  void SetFifoHeld(bool held);
  // Transmit descriptors are not written back.
  void SetReportsHeld(bool held);
  // The next frame that comes out of the FIFO is lost.
  void LoseNextFrame() { lose_next_ = true; }
  // A cable to a station: auto-negotiation ends with a link.
  void SetCable() { cable_ = true; }
  // A frame arrives that was not transmitted, without its CRC.
  void Arrive(std::vector<std::byte> frame);

  [[nodiscard]] std::uint16_t phy_control() const { return phy_control_; }
  [[nodiscard]] std::uint32_t Register(std::size_t offset) const { return registers_[offset / 4]; }
  // What was done to the device behind the driver's back.
  void SetRegister(std::size_t offset, std::uint32_t value) { Reg(offset) = value; }
  // Offsets written so far.
  [[nodiscard]] const std::vector<std::size_t>& writes() const { return writes_; }
  [[nodiscard]] std::size_t reads() const { return reads_; }
  void ForgetAccesses();

 private:
  static constexpr std::size_t kBarSize = 0x20000;

  [[nodiscard]] bool Hardware() const { return flavour_ == Flavour::kHardware; }
  [[nodiscard]] std::uint32_t& Reg(std::size_t offset) { return registers_[offset / 4]; }
  [[nodiscard]] bool Has(std::size_t offset, std::uint32_t bits) const {
    return (Register(offset) & bits) == bits;
  }
  void ResetRegisters();
  void WriteRegister(std::size_t offset, std::uint32_t value);
  void CheckWrite(std::size_t offset, std::uint32_t value);
  void WriteControl(std::uint32_t value);
  void WriteMdic(std::uint32_t value);
  void WritePhy(unsigned phy_register, std::uint16_t value);
  [[nodiscard]] std::uint16_t ReadPhy(unsigned phy_register) const;
  void WriteTail(std::size_t offset, std::uint32_t value);
  [[nodiscard]] bool MasterEnabled() const { return !Has(0, Ctrl::kGioMasterDisable); }
  [[nodiscard]] bool LoopsBack() const;
  [[nodiscard]] bool Negotiated() const;
  [[nodiscard]] bool LinkUp() const;
  [[nodiscard]] Iova RingBase(std::size_t low) const {
    return Iova{Register(low + 4)} << 32 | Register(low);
  }
  // What a request that was refused does: nothing goes on until a reset, on hardware. True then.
  [[nodiscard]] bool Wedge();
  // False if a reset came meanwhile, or the device is wedged.
  [[nodiscard]] bool TransmitFrame();
  [[nodiscard]] bool Gather(const TxDescriptor& descriptor, std::vector<std::byte>& frame);
  [[nodiscard]] bool Report(Iova descriptor);
  void DrainFifo();
  [[nodiscard]] bool Accepts(const std::vector<std::byte>& frame) const;
  [[nodiscard]] bool Receive(std::vector<std::byte> frame);
  // Puts as much of a frame as fits into the buffers of the next descriptor; the rest stays in
  // `rest`. False if the model is not to go on.
  [[nodiscard]] bool Store(std::span<const std::byte>& rest, bool bad);
  // The same with one buffer a descriptor.
  [[nodiscard]] bool StoreInOne(std::span<const std::byte>& rest, bool bad);
  [[nodiscard]] bool Splits() const { return Has(Rctl::kOffset, Rctl::kPacketSplit); }
  void SetCause(std::uint32_t causes) { Reg(Icr::kOffset) |= causes; }
  void RaisePending();

  Flavour flavour_;
  ModelIdentity identity_;
  std::vector<std::uint32_t> registers_;
  std::uint16_t phy_page_ = 0;
  std::uint16_t phy_control_ = 0;
  std::uint16_t phy_mac_control_ = 0;
  unsigned phy_reset_polls_ = 0;
  bool phy_at_1000_ = false;  // the default speed took effect, by a reset of the PHY
  unsigned mdio_polls_ = 0;   // until the firmware lets the PHY go
  unsigned eeprom_polls_ = 0;
  bool cable_ = false;
  bool firmware_holds_phy_ = false;
  bool phy_refuses_ = false;
  bool eeprom_stuck_ = false;
  bool fifo_held_ = false;
  bool reports_held_ = false;
  bool lose_next_ = false;
  bool wedged_ = false;
  std::uint32_t signalled_ = 0;                // causes whose message was sent
  std::optional<Clock::time_point> throttle_;  // no message before
  std::deque<std::vector<std::byte>> fifo_;
  std::vector<Iova> held_reports_;
  std::uint64_t epoch_ = 0;  // resets so far: what was begun before one is not ended after it
  std::vector<std::size_t> writes_;
  std::size_t reads_ = 0;
};

}  // namespace carryover::e1000e
