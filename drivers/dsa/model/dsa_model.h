// SPDX-License-Identifier: GPL-2.0-only
// A model of a Data Streaming Accelerator, from its Architecture Specification 2.0: configuration,
// commands, dedicated work queues, moves, batches and completion interrupts. It hangs, and counts
// doorbells, by work queue 0. A descriptor is submitted by eight writes of 8 bytes, ascending: a
// write of 64 bytes does not come to a model as one.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <vector>

#include "drivers/dsa/registers.h"
#include "drivers/model/device_model.h"

namespace carryover::dsa {

// How devices differ.
struct DsaFlavour {
  bool interrupt_handles = false;  // are to be requested
  unsigned batch_shift = 10;
  unsigned transfer_shift = 31;
  std::uint32_t total_size = 128;
};

class DsaModel final : public DeviceModel {
 public:
  static constexpr unsigned kQueues = 8;
  static constexpr unsigned kVectors = 9;
  // Handles are not the vectors' numbers.
  static constexpr std::uint16_t kFirstHandle = 0x40;

  [[nodiscard]] static ModelIdentity Identity(const DsaFlavour& flavour = {});

  explicit DsaModel(ModelHost& host, const DsaFlavour& flavour = {})
      : DeviceModel(host), flavour_(flavour), identity_(Identity()) {}

  [[nodiscard]] const ModelIdentity& identity() const override { return identity_; }
  [[nodiscard]] std::uint64_t Read(unsigned bar, std::size_t offset, std::size_t size) override;
  void Write(unsigned bar, std::size_t offset, std::size_t size, std::uint64_t value) override;
  void ResetFunction() override { ResetDevice(); }
  void Work() override;
  [[nodiscard]] std::optional<Clock::time_point> NextDue() const override {
    return queues_[0].enabled && !queues_[0].entries.empty() ? BusyUntil() : std::nullopt;
  }

 private:
  struct WorkQueue {
    std::array<std::uint32_t, 16> config{};
    bool enabled = false;
    std::deque<Descriptor> entries;
    std::array<std::uint64_t, 8> portal{};  // what was written of the next descriptor
    std::size_t written = 0;                // 64-bit words of it

    [[nodiscard]] std::uint32_t size() const { return config[0] & 0xffff; }
  };
  struct Outcome {
    std::uint8_t status = CompletionRecord::kSuccess;
    std::uint64_t fault_address = 0;
  };

  [[nodiscard]] std::uint64_t ReadRegister(std::size_t offset, std::size_t size);
  void WriteRegister(std::size_t offset, std::size_t size, std::uint64_t value);
  void WriteQueueConfig(std::size_t offset, std::uint32_t value);
  void WritePortal(std::size_t offset, std::size_t size, std::uint64_t value);
  void Command(std::uint32_t value);
  void EndCommand();
  [[nodiscard]] std::uint32_t DoCommand(std::uint32_t command, std::uint32_t operand);
  [[nodiscard]] std::uint32_t EnableDevice();
  [[nodiscard]] std::uint32_t EnableQueue(std::uint32_t queue);
  void ResetDevice();
  [[nodiscard]] bool IsEnabled() const { return state_ == GenSts::kEnabled; }

  void WorkOn(unsigned queue);
  // Does a submitted descriptor, or one of a batch.
  [[nodiscard]] Outcome Do(const Descriptor& descriptor, bool in_batch);
  [[nodiscard]] Outcome DoBatch(const Descriptor& descriptor);
  [[nodiscard]] Outcome Move(const Descriptor& descriptor);
  [[nodiscard]] Outcome Check(const Descriptor& descriptor, bool in_batch);
  void Finish(const Descriptor& descriptor, const Outcome& outcome);
  void SoftwareError(std::uint8_t code, std::uint64_t address);

  DsaFlavour flavour_;
  ModelIdentity identity_;
  std::uint32_t state_ = GenSts::kDisabled;
  std::uint32_t command_status_ = 0;
  std::array<std::uint64_t, 4> software_error_{};
  std::uint64_t group_queues_ = 0;
  std::uint64_t group_engines_ = 0;
  std::array<WorkQueue, kQueues> queues_{};
  unsigned working_on_ = 0;  // work queue
  bool busy_ = false;        // with a descriptor
  std::size_t moved_ = 0;    // bytes, by it
  std::uint64_t epoch_ = 0;  // resets so far: what was begun before one is not ended after it
};

}  // namespace carryover::dsa
