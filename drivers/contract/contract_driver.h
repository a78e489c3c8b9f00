// SPDX-License-Identifier: GPL-2.0-only
// The contract of drivers/driver.h, kept on top of a device's engine.
#pragma once

#include <memory>

#include "drivers/contract/engine.h"
#include "drivers/contract/saved_state.h"
#include "drivers/driver.h"

namespace carryover {

class ContractDriver final : public Driver {
 public:
  // What the saved state takes of the region, before the engine's rings: a page, which keeps them
  // page aligned.
  static constexpr std::size_t kStateSize = 4096;

  // `device` is the engine's, too, and outlives both.
  ContractDriver(PciDevice& device, std::unique_ptr<Engine> engine)
      : device_(device), engine_(std::move(engine)) {}

  [[nodiscard]] const DriverTraits& traits() const override { return engine_->traits(); }
  [[nodiscard]] Result<void> Start(DmaRegion region, Deadline deadline) override;
  [[nodiscard]] Result<void> Copy(std::span<const DmaCopy> copies) override;
  [[nodiscard]] Result<void> Wait(Deadline deadline) override;
  [[nodiscard]] Result<std::size_t> Poll() override;
  [[nodiscard]] Result<void> RaiseInterrupt(unsigned vector) override;
  [[nodiscard]] Result<void> Quiesce(Deadline deadline) override;
  [[nodiscard]] Result<void> Resume(Deadline deadline) override;
  [[nodiscard]] Result<void> Save() override;
  [[nodiscard]] Result<void> Attach(DmaRegion region) override;
  [[nodiscard]] Result<void> Stop(Deadline deadline) override;

 private:
  enum class State : std::uint8_t { kStopped, kRunning, kQuiesced, kFailed };

  [[nodiscard]] std::string_view name() const { return traits().name; }
  [[nodiscard]] Result<void> Require(State state, std::string_view operation) const;
  // After an error only Start() and Stop() are allowed.
  [[nodiscard]] Result<void> FailedUnless(Result<void> done);
  [[nodiscard]] Result<void> CheckRegion(DmaRegion region) const;
  [[nodiscard]] Result<void> CheckCopy(const DmaCopy& copy) const;
  [[nodiscard]] Result<void> WaitPosted(Deadline deadline);
  // Reaps until there is nothing.
  [[nodiscard]] Result<void> ReapAll();
  [[nodiscard]] Result<bool> BusMasterOn();

  PciDevice& device_;
  std::unique_ptr<Engine> engine_;
  DmaRegion region_;
  State state_ = State::kStopped;
};

}  // namespace carryover
