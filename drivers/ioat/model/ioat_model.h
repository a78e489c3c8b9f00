// SPDX-License-Identifier: GPL-2.0-only
// A model of a Xeon's DMA channel (Intel Xeon E5 v2 data sheet, volume 2, 8.4 and 8.5). It knows
// copies and null descriptors. Not as hardware: the MSI-X pending bits are at 0x2800 of the BAR, as
// in all models, not at 0x3000; and there is no CHANERR_INT, nor other channels.
#pragma once

#include <cstdint>

#include "drivers/ioat/registers.h"
#include "drivers/model/device_model.h"

namespace carryover::ioat {

// Where channels differ.
struct ChannelKind {
  PciId id = {.vendor = 0x8086, .device = 0x2021};
  std::uint8_t version = CbVer::k33;
  std::uint8_t xfercap = 20;
  std::uint8_t channels = 1;  // 0: disabled by firmware
  // The data sheet promises of a reset that the channel is halted, not what becomes of CHANCTRL,
  // CHAINADDR, CHANCMP and CHANERRMSK.
  bool reset_clears_registers = true;
  // Reads of CHANSTS that a channel needs to take its chain.
  unsigned slow_to_arm = 0;
  // False for a channel that hangs within a descriptor, not between two.
  bool hung_channel_suspends = true;

  // Skylake-SP.
  [[nodiscard]] static ChannelKind Skylake() { return {}; }
  // Version 3.2, of the smallest XFERCAP there may be.
  [[nodiscard]] static ChannelKind Smallest() {
    return {.version = CbVer::k32,
            .xfercap = XferCap::kMin,
            .reset_clears_registers = false,
            .slow_to_arm = 3};
  }
};

class IoatModel final : public DeviceModel {
 public:
  [[nodiscard]] static ModelIdentity Identity(ChannelKind kind = ChannelKind::Skylake());

  explicit IoatModel(ModelHost& host, ChannelKind kind = ChannelKind::Skylake())
      : DeviceModel(host), kind_(kind), identity_(Identity(kind)) {}

  [[nodiscard]] const ModelIdentity& identity() const override { return identity_; }
  [[nodiscard]] std::uint64_t Read(unsigned bar, std::size_t offset, std::size_t size) override;
  void Write(unsigned bar, std::size_t offset, std::size_t size, std::uint64_t value) override;
  void ResetFunction() override;
  void Work() override;
  [[nodiscard]] std::optional<Clock::time_point> NextDue() const override {
    return registers_.state == ChanSts::kActive ? BusyUntil() : std::nullopt;
  }

 private:
  // What a channel's reset may clear.
  struct Setup {
    std::uint16_t control = 0;
    std::uint64_t chain = 0;
    std::uint64_t completion = 0;
    std::uint32_t error_mask = 0;
  };
  struct Registers {
    Setup setup;
    std::uint64_t state = ChanSts::kHalted;
    std::uint64_t completed = 0;
    std::uint16_t count = 0;
    std::uint16_t counter = 0;  // the channel's own
    std::uint64_t next = 0;     // the descriptor it fetches next
    std::uint32_t errors = 0;
    bool resetting = false;
    bool suspending = false;
    unsigned arming = 0;  // reads of CHANSTS until it is armed
    bool interrupt_disabled = false;
    bool attention = false;
    std::uint8_t general = 0;
    std::uint8_t interrupts = 0;  // INTRCTRL's enable bits
    std::uint16_t delay = 0;
    std::uint32_t dca = 0;
  };

  [[nodiscard]] std::uint64_t ReadRegister(std::size_t offset);
  void WriteControl(std::uint16_t value);
  void WriteCommand(std::uint8_t value);
  void WriteCount(std::uint16_t value);
  void WriteChain(std::uint64_t value);
  void WriteCompletion(std::uint64_t value);
  void EndReset();
  [[nodiscard]] std::uint64_t Status() const { return registers_.completed | registers_.state; }
  // Does the next descriptor. False if a reset came meanwhile.
  [[nodiscard]] bool DoDescriptor();
  // The error's bit; 0 if there is none.
  [[nodiscard]] std::uint32_t Transfer(std::uint32_t size, std::uint32_t control,
                                       std::uint64_t source, std::uint64_t destination);
  void HaltWith(std::uint32_t error);
  [[nodiscard]] bool WriteStatus();
  void Interrupt();

  ChannelKind kind_;
  ModelIdentity identity_;
  Registers registers_;
  bool busy_ = false;        // with a descriptor
  std::uint64_t epoch_ = 0;  // resets so far: what was begun before one is not ended after it
};

}  // namespace carryover::ioat
