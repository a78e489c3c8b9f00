// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/dmac/dmac.h"

#include <fmt/format.h>

#include <array>
#include <atomic>
#include <chrono>

#include "drivers/contract/contract_driver.h"
#include "drivers/contract/poll.h"
#include "drivers/dmac/dmac_stream.h"
#include "drivers/dmac/identity.h"
#include "drivers/dmac/registers.h"

namespace carryover::dmac {
namespace {

constexpr std::uint32_t kRingSize = 1024;

// The device would take 1 MiB. A ring full of those would be a GiB: what a test of all that may be
// in flight has to hold.
constexpr std::size_t kMaxCopy = std::size_t{128} * 1024;
constexpr std::size_t kMaxInFlight = 256;
static_assert(kMaxCopy <= MaxLength::kBytes && kMaxInFlight < kRingSize);

struct RegionLayout {
  alignas(4096) std::array<Descriptor, kRingSize> ring;
  alignas(4096) std::uint64_t written_back;  // a WrittenBack
};

constexpr DriverTraits kTraits{.name = "dmac",
                               .region_size = ContractDriver::kStateSize + sizeof(RegionLayout),
                               .max_copy_bytes = kMaxCopy,
                               .max_in_flight = kMaxInFlight,
                               .interrupt = InterruptKind::kMsix};

class DmacEngine final : public Engine {
 public:
  explicit DmacEngine(PciDevice& device) : device_(device) {}

  [[nodiscard]] const DriverTraits& traits() const override { return kTraits; }
  [[nodiscard]] Result<void> Open() override;
  [[nodiscard]] Result<void> CheckPresent(std::string_view during) override;
  [[nodiscard]] Result<void> Reset(Deadline deadline) override;
  [[nodiscard]] Result<void> BringUp(DmaRegion rings, Deadline deadline) override;
  [[nodiscard]] bool HasRoom(std::span<const DmaCopy> copies) const override {
    return Outstanding() + copies.size() < kRingSize;
  }
  void Post(std::span<const DmaCopy> copies) override;
  [[nodiscard]] Result<bool> Reap() override;
  [[nodiscard]] std::size_t Outstanding() const override {
    return (tail_ + kRingSize - head_) % kRingSize;
  }
  [[nodiscard]] Result<void> RaiseInterrupt(unsigned vector) override {
    bar_->Write32(Raise::kOffset, vector);
    return {};
  }
  [[nodiscard]] Result<void> Halt(Deadline deadline) override;
  [[nodiscard]] Result<void> Continue(Deadline deadline) override;
  [[nodiscard]] RingPositions Positions() const override { return {tail_}; }
  [[nodiscard]] Result<void> TakeOver(DmaRegion rings, const RingPositions& positions,
                                      bool running) override;

 private:
  void UseRings(DmaRegion rings);
  [[nodiscard]] Iova RingIova() const { return rings_.iova + offsetof(RegionLayout, ring); }
  [[nodiscard]] Iova WriteBackIova() const {
    return rings_.iova + offsetof(RegionLayout, written_back);
  }

  PciDevice& device_;
  Mmio* bar_ = nullptr;
  DmaRegion rings_;
  RegionLayout* memory_ = nullptr;
  std::uint32_t head_ = 0;  // the first descriptor that is not known to be done
  std::uint32_t tail_ = 0;
};

Result<void> DmacEngine::Open() {
  if (bar_ != nullptr) return {};
  const auto bar = device_.Bar(0);
  if (!bar) return std::unexpected(bar.error());
  bar_ = *bar;
  return {};
}

Result<void> DmacEngine::CheckPresent(std::string_view during) {
  return CheckIdentity(*bar_, during);
}

Result<void> DmacEngine::Reset(Deadline deadline) {
  head_ = 0;
  tail_ = 0;
  if (auto present = CheckPresent("reset"); !present) return present;
  bar_->Write32(Control::kOffset, Control::kReset);
  return PollUntil(
      *this, [this] { return (bar_->Read32(Control::kOffset) & Control::kReset) == 0; },
      kPollInterval, deadline, "dmac: waiting for the reset (CONTROL.RESET)");
}

void DmacEngine::UseRings(DmaRegion rings) {
  rings_ = rings;
  memory_ = reinterpret_cast<RegionLayout*>(rings.memory.data());
}

Result<void> DmacEngine::BringUp(DmaRegion rings, Deadline /*deadline*/) {
  const std::uint32_t version = bar_->Read32(Version::kOffset);
  if (version != Version::kCurrent) {
    return Fail(ENOTSUP, fmt::format("dmac: the device is of version {}, this driver knows {}",
                                     version, Version::kCurrent));
  }
  UseRings(rings);
  std::atomic_ref(memory_->written_back).store(0, std::memory_order_relaxed);
  bar_->Write64(RingBase::kOffset, RingIova());
  bar_->Write32(RingSize::kOffset, kRingSize);
  bar_->Write64(WriteBack::kOffset, WriteBackIova());
  bar_->Write32(Control::kOffset, Control::kEnable);
  return {};
}

void DmacEngine::Post(std::span<const DmaCopy> copies) {
  for (const DmaCopy& copy : copies) {
    memory_->ring[tail_] = {.source = copy.source,
                            .destination = copy.destination,
                            .length = static_cast<std::uint32_t>(copy.length)};
    tail_ = (tail_ + 1) % kRingSize;
  }
  DmaWriteBarrier();
  bar_->Write32(Tail::kOffset, tail_);
}

Result<bool> DmacEngine::Reap() {
  const std::uint64_t written =
      std::atomic_ref(memory_->written_back).load(std::memory_order_acquire);
  DmaReadBarrier();
  const auto head = static_cast<std::uint32_t>(written);
  const auto error = static_cast<std::uint32_t>(written >> 32);
  if (error != ErrorCode::kNone) {
    constexpr std::string_view kWhy[] = {"source was refused", "destination was refused",
                                         "descriptor was refused", "descriptor is malformed",
                                         "device failed"};
    return Fail(
        EIO, fmt::format("dmac: the ring stopped at descriptor {}: its {} (ERROR {})", head,
                         error <= std::size(kWhy) ? kWhy[error - 1] : "error is unknown", error));
  }
  const std::uint32_t done = (head + kRingSize - head_) % kRingSize;
  if (done > Outstanding()) {
    return Fail(EIO, fmt::format("dmac: HEAD {} was written back, outside of {} to {}", head, head_,
                                 tail_));
  }
  head_ = head;
  return done != 0;
}

Result<void> DmacEngine::Halt(Deadline deadline) {
  if (auto present = CheckPresent("Quiesce()"); !present) return present;
  bar_->Write32(Control::kOffset, 0);
  return PollUntil(
      *this, [this] { return (bar_->Read32(Status::kOffset) & Status::kIdle) != 0; }, kPollInterval,
      deadline, "dmac: waiting for the ring to stop (STATUS.IDLE)");
}

Result<void> DmacEngine::Continue(Deadline /*deadline*/) {
  if (auto present = CheckPresent("Resume()"); !present) return present;
  if ((bar_->Read32(Status::kOffset) & Status::kError) == 0) {
    bar_->Write32(Control::kOffset, Control::kEnable);
    return {};
  }
  const auto reaped = Reap();
  if (!reaped) return std::unexpected(reaped.error());
  return Fail(EIO, "dmac: the ring has stopped on an error");
}

Result<void> DmacEngine::TakeOver(DmaRegion rings, const RingPositions& positions, bool running) {
  const std::uint32_t tail = positions[0];
  if (tail >= kRingSize) return Fail(EINVAL, "dmac: Attach(): the saved tail is outside the ring");
  UseRings(rings);
  if (bar_->Read64(RingBase::kOffset) != RingIova() ||
      bar_->Read64(WriteBack::kOffset) != WriteBackIova() ||
      bar_->Read32(RingSize::kOffset) != kRingSize || bar_->Read32(Head::kOffset) != tail ||
      bar_->Read32(Tail::kOffset) != tail ||
      bar_->Read32(Control::kOffset) != (running ? Control::kEnable : 0) ||
      bar_->Read32(Status::kOffset) != Status::kIdle) {
    return Fail(EIO,
                "dmac: Attach(): the device is not as it was saved: it was reset or used since");
  }
  head_ = tail;
  tail_ = tail;
  return {};
}

}  // namespace

const DriverEntry& Entry() {
  static constexpr DriverEntry kEntry{
      .name = kTraits.name,
      .probe = [](const PciKind& kind) { return kind.id == kDmac; },
      .make = [](PciDevice& device, const DriverOptions&) -> std::unique_ptr<Driver> {
        return std::make_unique<ContractDriver>(device, std::make_unique<DmacEngine>(device));
      },
      .make_stream = MakeStream};
  return kEntry;
}

}  // namespace carryover::dmac
