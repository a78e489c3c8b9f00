// SPDX-License-Identifier: GPL-2.0-only
// A model of dmac: docs/dmac.md in code.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "drivers/dmac/registers.h"
#include "drivers/model/device_model.h"

namespace carryover::dmac {

class DmacModel final : public DeviceModel {
 public:
  [[nodiscard]] static ModelIdentity Identity();

  explicit DmacModel(ModelHost& host) : DeviceModel(host), identity_(Identity()) {}

  [[nodiscard]] const ModelIdentity& identity() const override { return identity_; }
  [[nodiscard]] std::uint64_t Read(unsigned bar, std::size_t offset, std::size_t size) override;
  void Write(unsigned bar, std::size_t offset, std::size_t size, std::uint64_t value) override;
  void ResetFunction() override { ResetRegisters(); }
  void Work() override;
  [[nodiscard]] std::optional<Clock::time_point> NextDue() const override;

 private:
  struct Registers {
    std::uint32_t control = 0;
    std::uint64_t ring_base = 0;
    std::uint32_t ring_size = 0;
    std::uint32_t head = 0;
    std::uint32_t tail = 0;
    std::uint32_t error = 0;
    std::uint64_t write_back = 0;
  };
  struct Stream {
    std::uint64_t base = 0;
    std::uint32_t size = 0;
    std::uint32_t period = 0;
    bool enabled = false;
    std::uint64_t count = 0;
    Clock::time_point due;
  };

  [[nodiscard]] std::uint64_t ReadRegister(std::size_t offset);
  void WriteFaults(std::uint32_t value);
  void WriteControl(std::uint32_t value);
  void EndReset();
  void WriteTail(std::uint32_t value);
  void WriteStreamControl(std::uint32_t value);
  // True if the ring's registers may be written; a violation if not.
  [[nodiscard]] bool RingDisabled(const char* name);
  [[nodiscard]] bool StreamDisabled(const char* name);
  void ResetRegisters();
  [[nodiscard]] bool Has(std::uint32_t fault) const { return (faults_ & fault) != 0; }
  [[nodiscard]] bool Enabled() const { return (registers_.control & Control::kEnable) != 0; }
  void WorkOnRing();
  // The error's code; none if a reset came meanwhile.
  [[nodiscard]] std::optional<std::uint32_t> DoDescriptor();
  void WorkOnStream(Clock::time_point now);
  void WorkOnRogueWrites(Clock::time_point now);
  void Interrupt(unsigned vector);

  ModelIdentity identity_;
  Registers registers_;
  Stream stream_;
  std::uint32_t faults_ = 0;
  std::uint64_t fault_address_ = 0;
  std::uint64_t fault_count_ = 0;
  Clock::time_point rogue_due_;
  bool must_write_back_ = false;
  bool busy_ = false;  // with a descriptor
  bool writing_record_ = false;
  std::uint64_t epoch_ = 0;  // resets so far: what was begun before one is not ended after it
  std::multimap<Clock::time_point, unsigned> interrupts_;  // vectors, by when they are due
};

}  // namespace carryover::dmac
