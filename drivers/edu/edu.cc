// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/edu/edu.h"

#include <fmt/format.h>

#include <algorithm>

#include "drivers/contract/contract_driver.h"
#include "drivers/contract/poll.h"
#include "drivers/edu/region.h"
#include "drivers/edu/registers.h"

namespace carryover::edu {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMaxCopy = std::size_t{64} * 1024;

constexpr DriverTraits kTraits{.name = "edu",
                               .region_size = ContractDriver::kStateSize + sizeof(RegionLayout),
                               .max_copy_bytes = kMaxCopy,
                               .max_in_flight = kPieces / (kMaxCopy / kBufferSize),
                               .interrupt = InterruptKind::kMsi};

// Any cause but those the device uses itself.
constexpr std::uint32_t kOurCause = 0x2;

class EduEngine final : public Engine {
 public:
  EduEngine(PciDevice& device, milliseconds transfer) : device_(device), transfer_(transfer) {}

  [[nodiscard]] const DriverTraits& traits() const override { return kTraits; }
  [[nodiscard]] Result<void> Open() override;
  [[nodiscard]] Result<void> CheckPresent(std::string_view during) override;
  [[nodiscard]] Result<void> Reset(Deadline deadline) override;
  [[nodiscard]] Result<void> BringUp(DmaRegion rings, Deadline deadline) override;
  [[nodiscard]] bool HasRoom(std::span<const DmaCopy> copies) const override;
  void Post(std::span<const DmaCopy> copies) override;
  [[nodiscard]] Result<bool> Reap() override;
  [[nodiscard]] std::size_t Outstanding() const override { return tail_ - head_; }
  [[nodiscard]] Result<void> RaiseInterrupt(unsigned vector) override;
  [[nodiscard]] Result<void> Halt(Deadline deadline) override;
  [[nodiscard]] Result<void> Continue(Deadline deadline) override;
  [[nodiscard]] RingPositions Positions() const override { return {epoch_}; }
  [[nodiscard]] Result<void> TakeOver(DmaRegion rings, const RingPositions& positions,
                                      bool running) override;

 private:
  enum class Phase : std::uint8_t { kIdle, kIn, kOut };

  [[nodiscard]] Piece& At(std::uint32_t index) const { return memory_->pieces[index % kPieces]; }
  [[nodiscard]] bool Transferring() {
    return (bar_->Read64(DmaCommand::kOffset) & DmaCommand::kStart) != 0;
  }
  [[nodiscard]] Result<void> EndTransfer(Deadline deadline);
  void StartTransfer(Phase phase);
  void NextEpoch() { bar_->Write32(Liveness::kOffset, ++epoch_); }

  PciDevice& device_;
  milliseconds transfer_;
  Mmio* bar_ = nullptr;
  RegionLayout* memory_ = nullptr;
  std::uint32_t head_ = 0;  // the piece that is being transferred
  std::uint32_t tail_ = 0;  // where the next one goes
  Phase phase_ = Phase::kIdle;
  // Goes into the one register that keeps what is written, so that Attach() can tell whether the
  // device was used since.
  std::uint32_t epoch_ = 0;
};

Result<void> EduEngine::Open() {
  if (bar_ != nullptr) return {};
  const auto bar = device_.Bar(0);
  if (!bar) return std::unexpected(bar.error());
  bar_ = *bar;
  return {};
}

Result<void> EduEngine::CheckPresent(std::string_view during) {
  const std::uint32_t id = bar_->Read32(Identification::kOffset);
  if (id == ~0U) {
    return Fail(ENODEV, fmt::format("edu: {}: the device reads as all ones: it is gone", during));
  }
  if ((id & Identification::kMask) == Identification::kEdu) return {};
  return Fail(EIO, fmt::format("edu: {}: the identification is {:#010x}", during, id));
}

// A transfer cannot be cancelled. One that does not end by itself is ended with the function.
Result<void> EduEngine::EndTransfer(Deadline deadline) {
  const auto idle = [this] { return !Transferring(); };
  constexpr milliseconds kInterval{1};
  const Deadline patience = Deadline::After(transfer_);
  auto ended = PollUntil(*this, idle, kInterval,
                         patience.when() < deadline.when() ? patience : deadline, "transfer");
  if (ended || ended.error().code != ETIMEDOUT) return ended;
  if (auto reset = device_.Reset(); !reset) return reset;
  return PollUntil(*this, idle, kInterval, deadline,
                   "edu: a transfer that does not end, nor by a reset of the function");
}

// There is no reset register. The device is as new when no transfer runs and no cause is pending.
Result<void> EduEngine::Reset(Deadline deadline) {
  head_ = 0;
  tail_ = 0;
  phase_ = Phase::kIdle;
  if (auto present = CheckPresent("reset"); !present) return present;
  if (auto ended = EndTransfer(deadline); !ended) return ended;
  bar_->Write32(InterruptAcknowledge::kOffset, ~0U);
  bar_->Write32(Liveness::kOffset, ~0U);  // reads as 0, as at power-on
  return {};
}

Result<void> EduEngine::BringUp(DmaRegion rings, Deadline /*deadline*/) {
  memory_ = reinterpret_cast<RegionLayout*>(rings.memory.data());
  epoch_ = 0;
  NextEpoch();
  if (bar_->Read32(Liveness::kOffset) == ~epoch_) return {};
  return Fail(EIO, "edu: the liveness register does not give back what was written");
}

bool EduEngine::HasRoom(std::span<const DmaCopy> copies) const {
  std::size_t pieces = Outstanding();
  for (const DmaCopy& copy : copies) {
    pieces += (copy.length + kBufferSize - 1) / kBufferSize;
    if (pieces > kPieces) return false;
  }
  return true;
}

void EduEngine::Post(std::span<const DmaCopy> copies) {
  for (DmaCopy rest : copies) {
    while (rest.length != 0) {
      const std::size_t bytes = std::min(rest.length, kBufferSize);
      At(tail_++) = {.source = rest.source, .destination = rest.destination, .bytes = bytes};
      rest.source += bytes;
      rest.destination += bytes;
      rest.length -= bytes;
    }
  }
  if (phase_ == Phase::kIdle) StartTransfer(Phase::kIn);
}

void EduEngine::StartTransfer(Phase phase) {
  const Piece& piece = At(head_);
  const bool in = phase == Phase::kIn;
  NextEpoch();
  bar_->Write64(DmaSource::kOffset, in ? piece.source : kBuffer);
  bar_->Write64(DmaDestination::kOffset, in ? kBuffer : piece.destination);
  bar_->Write64(DmaCount::kOffset, piece.bytes);
  DmaWriteBarrier();
  bar_->Write64(DmaCommand::kOffset,
                in ? DmaCommand::kStart : DmaCommand::kStart | DmaCommand::kToMemory);
  phase_ = phase;
}

Result<bool> EduEngine::Reap() {
  if (phase_ == Phase::kIdle || Transferring()) return false;
  DmaReadBarrier();
  if (phase_ == Phase::kIn) {
    StartTransfer(Phase::kOut);
  } else if (++head_ != tail_) {
    StartTransfer(Phase::kIn);
  } else {
    phase_ = Phase::kIdle;
  }
  return true;
}

Result<void> EduEngine::RaiseInterrupt(unsigned /*vector*/) {
  bar_->Write32(InterruptAcknowledge::kOffset, kOurCause);
  bar_->Write32(InterruptRaise::kOffset, kOurCause);
  return {};
}

// A piece of which only the first transfer is done begins anew: what the device's memory holds does
// not outlive a reset of the function.
Result<void> EduEngine::Halt(Deadline deadline) {
  if (auto present = CheckPresent("Quiesce()"); !present) return present;
  if (auto ended = EndTransfer(deadline); !ended) return ended;
  phase_ = Phase::kIdle;
  NextEpoch();
  return device_.SetBusMaster(true);  // a reset turned it off
}

Result<void> EduEngine::Continue(Deadline /*deadline*/) {
  if (auto present = CheckPresent("Resume()"); !present) return present;
  NextEpoch();
  if (Outstanding() != 0) StartTransfer(Phase::kIn);
  return {};
}

Result<void> EduEngine::TakeOver(DmaRegion rings, const RingPositions& positions,
                                 bool /*running*/) {
  if (Transferring() || bar_->Read32(Liveness::kOffset) != ~positions[0]) {
    return Fail(EIO,
                "edu: Attach(): the device is not as it was saved: it was reset or used since");
  }
  memory_ = reinterpret_cast<RegionLayout*>(rings.memory.data());
  epoch_ = positions[0];
  return {};
}

}  // namespace

std::unique_ptr<Driver> MakeDriver(PciDevice& device, milliseconds transfer) {
  return std::make_unique<ContractDriver>(device, std::make_unique<EduEngine>(device, transfer));
}

const DriverEntry& Entry() {
  static constexpr DriverEntry kEntry{
      .name = kTraits.name,
      .probe = [](const PciKind& kind) { return kind.id == kEdu; },
      .make = [](PciDevice& device,
                 const DriverOptions&) { return MakeDriver(device, kTransferPatience); }};
  return kEntry;
}

}  // namespace carryover::edu
