// SPDX-License-Identifier: GPL-2.0-only
// A model of one QuickData channel, version 3.3, from the data sheet's registers. An access by
// another width than the register's, and what the data sheet forbids, are violations.
#pragma once

#include <cstdint>

#include "drivers/ioat/registers.h"
#include "drivers/model/device_model.h"

namespace carryover::ioat {

// How channels differ.
struct IoatFlavour {
  std::uint8_t version = 0x33;
  std::uint8_t capacity_log = 20;  // XFERCAP
};

class IoatModel final : public DeviceModel {
 public:
  [[nodiscard]] static ModelIdentity Identity(const IoatFlavour& flavour = {});

  explicit IoatModel(ModelHost& host, const IoatFlavour& flavour = {})
      : DeviceModel(host), flavour_(flavour), identity_(Identity()) {}

  [[nodiscard]] const ModelIdentity& identity() const override { return identity_; }
  [[nodiscard]] std::uint64_t Read(unsigned bar, std::size_t offset, std::size_t size) override;
  void Write(unsigned bar, std::size_t offset, std::size_t size, std::uint64_t value) override;
  void ResetFunction() override;
  void Work() override;

 private:
  [[nodiscard]] static std::size_t WidthOf(std::size_t offset);
  [[nodiscard]] std::uint64_t StatusWord() const { return completed_ | state_; }
  [[nodiscard]] bool IsArmed() const { return state_ == ChannelStatus::kArmed; }
  void Command(std::uint8_t command);
  void WriteCount(std::uint16_t count);
  void ResetChannel();
  void EndReset();
  [[nodiscard]] bool DoDescriptor();
  void Halt(std::uint32_t errors);
  void WriteCompletion();

  IoatFlavour flavour_;
  ModelIdentity identity_;
  std::uint8_t interrupt_control_ = 0;
  std::uint16_t interrupt_delay_ = 0;
  std::uint16_t control_ = 0;
  std::uint8_t command_ = 0;
  std::uint16_t count_ = 0;
  std::uint16_t done_ = 0;  // descriptors since the reset
  std::uint64_t state_ = ChannelStatus::kArmed;
  std::uint64_t completed_ = 0;  // address of the last descriptor that was done
  std::uint64_t chain_ = 0;
  std::uint64_t next_ = 0;  // descriptor
  std::uint64_t completion_ = 0;
  std::uint32_t errors_ = 0;
  bool interrupt_armed_ = false;
  bool busy_ = false;
  std::uint64_t epoch_ = 0;  // resets so far: what was begun before one is not ended after it
};

}  // namespace carryover::ioat
