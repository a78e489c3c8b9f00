// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/ioat/ioat.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <vector>

#include "drivers/contract/contract_driver.h"
#include "drivers/contract/poll.h"
#include "drivers/ioat/registers.h"

namespace carryover::ioat {
namespace {

constexpr std::uint32_t kRingSize = 1024;
constexpr std::size_t kMaxCopy = std::size_t{256} * 1024;
// Descriptors of the largest copy, at most: the least capacity is a page.
constexpr std::size_t kMaxPieces = kMaxCopy / 4096;

struct RegionLayout {
  alignas(4096) std::array<Descriptor, kRingSize> ring;
  alignas(4096) std::uint64_t completion;  // as CHANSTS
};

constexpr DriverTraits kTraits{.name = "ioat",
                               .region_size = ContractDriver::kStateSize + sizeof(RegionLayout),
                               .max_copy_bytes = kMaxCopy,
                               .max_in_flight = (kRingSize - 1) / kMaxPieces,
                               .interrupt = InterruptKind::kMsix};

constexpr std::chrono::microseconds kInterval{20};

std::string NamesOf(std::uint32_t errors) {
  constexpr std::pair<std::uint32_t, std::string_view> kNames[] = {
      {ChannelError::kSource, "source address"},
      {ChannelError::kDestination, "destination address"},
      {ChannelError::kNext, "next descriptor's address"},
      {ChannelError::kDescriptor, "descriptor"},
      {ChannelError::kChainAddress, "chain address"},
      {ChannelError::kCommand, "channel command"},
      {ChannelError::kReadData, "read data"},
      {ChannelError::kWriteData, "write data"},
      {ChannelError::kControl, "descriptor control"},
      {ChannelError::kLength, "length"},
      {ChannelError::kCompletionAddress, "completion address"}};
  std::string names;
  for (const auto& [bit, name] : kNames) {
    if ((errors & bit) != 0) names += (names.empty() ? "" : ", ") + std::string(name);
  }
  return names;
}

class IoatEngine final : public Engine {
 public:
  explicit IoatEngine(PciDevice& device) : device_(device) {}

  [[nodiscard]] const DriverTraits& traits() const override { return kTraits; }
  [[nodiscard]] Result<void> Open() override;
  [[nodiscard]] Result<void> CheckPresent(std::string_view during) override;
  [[nodiscard]] Result<void> Reset(Deadline deadline) override;
  [[nodiscard]] Result<void> BringUp(DmaRegion rings, Deadline deadline) override;
  [[nodiscard]] bool HasRoom(std::span<const DmaCopy> copies) const override;
  void Post(std::span<const DmaCopy> copies) override;
  [[nodiscard]] Result<bool> Reap() override;
  [[nodiscard]] std::size_t Outstanding() const override { return posted_.size() - reaped_; }
  [[nodiscard]] Result<void> RaiseInterrupt() override;
  [[nodiscard]] Result<void> Halt(Deadline deadline) override;
  [[nodiscard]] Result<void> Continue(Deadline deadline) override;
  [[nodiscard]] RingPositions Positions() const override { return {tail_}; }
  [[nodiscard]] Result<void> TakeOver(DmaRegion rings, const RingPositions& positions,
                                      bool running) override;

 private:
  void UseRings(DmaRegion rings);
  [[nodiscard]] Iova RingIova(std::uint32_t index) const {
    return rings_.iova + offsetof(RegionLayout, ring) + index * sizeof(Descriptor);
  }
  [[nodiscard]] Iova CompletionIova() const {
    return rings_.iova + offsetof(RegionLayout, completion);
  }
  [[nodiscard]] std::size_t PiecesOf(const DmaCopy& copy) const {
    return (copy.length + capacity_ - 1) / capacity_;
  }
  [[nodiscard]] Result<void> ResetChannel(Deadline deadline);
  [[nodiscard]] Result<void> StartChannel();
  void Put(const Descriptor& descriptor);
  void Ring();
  void Forget();

  PciDevice& device_;
  Mmio* bar_ = nullptr;
  DmaRegion rings_;
  RegionLayout* memory_ = nullptr;
  std::size_t capacity_ = 4096;     // bytes of a descriptor
  std::uint32_t tail_ = 0;          // where the next descriptor goes
  std::uint16_t count_ = 0;         // descriptors since the channel's reset
  std::vector<Descriptor> posted_;  // since all was reaped
  std::size_t reaped_ = 0;          // how many of posted_ are done
};

Result<void> IoatEngine::Open() {
  if (bar_ != nullptr) return {};
  const auto bar = device_.Bar(0);
  if (!bar) return std::unexpected(bar.error());
  bar_ = *bar;
  return {};
}

Result<void> IoatEngine::CheckPresent(std::string_view during) {
  if (bar_->Read8(Version::kOffset) != 0xff) return {};
  return Fail(ENODEV, fmt::format("ioat: {}: CBVER reads as all ones: the device is gone", during));
}

void IoatEngine::Forget() {
  posted_.clear();
  reaped_ = 0;
}

Result<void> IoatEngine::ResetChannel(Deadline deadline) {
  const auto state = [this] {
    return bar_->Read64(ChannelStatus::kOffset) & ChannelStatus::kStateMask;
  };
  // An active channel is suspended first; one that does not do that is reset all the same.
  bar_->Write8(ChannelCommand::kOffset, ChannelCommand::kSuspend);
  const Deadline patience = Deadline::After(std::chrono::milliseconds(100));
  const auto suspended = PollUntil(
      *this, [&] { return state() != ChannelStatus::kActive && state() != ChannelStatus::kDone; },
      kInterval, patience.when() < deadline.when() ? patience : deadline, "ioat: suspend");
  if (!suspended && suspended.error().code != ETIMEDOUT) return suspended;
  bar_->Write32(ChannelError::kOffset, bar_->Read32(ChannelError::kOffset));
  bar_->Write8(ChannelCommand::kOffset, ChannelCommand::kReset);
  return PollUntil(
      *this,
      [this] { return (bar_->Read8(ChannelCommand::kOffset) & ChannelCommand::kReset) == 0; },
      kInterval, deadline, "ioat: waiting for the reset (CHANCMD.RESET)");
}

Result<void> IoatEngine::Reset(Deadline deadline) {
  Forget();
  if (auto present = CheckPresent("reset"); !present) return present;
  bar_->Write8(InterruptControl::kOffset, 0);
  return ResetChannel(deadline);
}

void IoatEngine::UseRings(DmaRegion rings) {
  rings_ = rings;
  memory_ = reinterpret_cast<RegionLayout*>(rings.memory.data());
  const unsigned log = bar_->Read8(TransferCapacity::kOffset) & TransferCapacity::kMask;
  // 0 is 4 GiB. More than a copy has is of no use.
  capacity_ = log == 0 ? kMaxCopy : std::min(kMaxCopy, std::size_t{1} << log);
  posted_.reserve(kRingSize);
}

Result<void> IoatEngine::StartChannel() {
  for (std::uint32_t i = 0; i < kRingSize; ++i) {
    memory_->ring[i] = {.next = RingIova((i + 1) % kRingSize)};
  }
  std::atomic_ref(memory_->completion).store(0, std::memory_order_relaxed);
  tail_ = 0;
  count_ = 0;
  DmaWriteBarrier();
  bar_->Write64(CompletionAddress::kOffset, CompletionIova());
  bar_->Write64(ChainAddress::kOffset, RingIova(0));
  bar_->Write16(InterruptDelay::kOffset, 0);
  bar_->Write8(InterruptControl::kOffset,
               InterruptControl::kMasterEnable | InterruptControl::kMsixVectorControl);
  bar_->Write16(ChannelControl::kOffset, ChannelControl::kOurs);
  return {};
}

Result<void> IoatEngine::BringUp(DmaRegion rings, Deadline /*deadline*/) {
  const unsigned version = bar_->Read8(Version::kOffset);
  const unsigned channels = bar_->Read8(ChannelCount::kOffset);
  if (version < Version::kFirst || channels == 0) {
    return Fail(ENOTSUP,
                fmt::format("ioat: version {:#x} with {} channels; {:#x} and one are needed",
                            version, channels, unsigned{Version::kFirst}));
  }
  UseRings(rings);
  if (capacity_ < 4096) return Fail(ENOTSUP, fmt::format("ioat: {} bytes a descriptor", capacity_));
  return StartChannel();
}

bool IoatEngine::HasRoom(std::span<const DmaCopy> copies) const {
  std::size_t pieces = posted_.size();
  for (const DmaCopy& copy : copies) {
    pieces += PiecesOf(copy);
    if (pieces >= kRingSize) return false;
  }
  return true;
}

void IoatEngine::Put(const Descriptor& descriptor) {
  Descriptor& entry = memory_->ring[tail_];
  entry.size = descriptor.size;
  entry.control = descriptor.control;
  entry.source = descriptor.source;
  entry.destination = descriptor.destination;
  tail_ = (tail_ + 1) % kRingSize;
  ++count_;
}

void IoatEngine::Ring() {
  DmaWriteBarrier();
  bar_->Write16(DescriptorCount::kOffset, count_);
}

void IoatEngine::Post(std::span<const DmaCopy> copies) {
  const std::size_t before = posted_.size();
  for (DmaCopy rest : copies) {
    while (rest.length != 0) {
      const std::size_t bytes = std::min(rest.length, capacity_);
      posted_.push_back({.size = static_cast<std::uint32_t>(bytes),
                         .source = rest.source,
                         .destination = rest.destination});
      rest.source += bytes;
      rest.destination += bytes;
      rest.length -= bytes;
    }
  }
  // The last one's completion says that all before are done, too.
  posted_.back().control = Descriptor::kWriteCompletion;
  for (std::size_t i = before; i < posted_.size(); ++i) Put(posted_[i]);
  Ring();
}

// A descriptor that moves nothing has a size nevertheless.
Result<void> IoatEngine::RaiseInterrupt() {
  bar_->Write16(ChannelControl::kOffset, ChannelControl::kOurs);
  posted_.push_back(
      {.size = 1,
       .control = Descriptor::kNull | Descriptor::kInterrupt | Descriptor::kWriteCompletion});
  Put(posted_.back());
  Ring();
  return {};
}

Result<bool> IoatEngine::Reap() {
  const std::uint64_t completion =
      std::atomic_ref(memory_->completion).load(std::memory_order_acquire);
  DmaReadBarrier();
  if ((completion & ChannelStatus::kStateMask) == ChannelStatus::kHalted) {
    const std::uint32_t errors = bar_->Read32(ChannelError::kOffset);
    return Fail(EIO, fmt::format("ioat: the channel has halted: CHANERR {:#x} ({})", errors,
                                 NamesOf(errors)));
  }
  const Iova address = completion & ChannelStatus::kAddressMask;
  if (address == 0) return false;
  const std::uint64_t index = (address - RingIova(0)) / sizeof(Descriptor);
  if (address < RingIova(0) || index >= kRingSize) {
    return Fail(EIO, fmt::format("ioat: the descriptor at {:#x} was completed, outside of the ring",
                                 address));
  }
  // How many before the tail it is: those are not done.
  const auto left = static_cast<std::size_t>((tail_ + kRingSize - 1 - index) % kRingSize);
  if (left >= Outstanding()) return false;  // it was done before
  reaped_ = posted_.size() - left;
  if (reaped_ == posted_.size()) Forget();
  return true;
}

// The channel is reset: a suspended one could not be told from one that hangs.
Result<void> IoatEngine::Halt(Deadline deadline) {
  if (auto present = CheckPresent("Quiesce()"); !present) return present;
  if (Outstanding() != 0) {
    if (const auto reaped = Reap(); !reaped) return std::unexpected(reaped.error());
  }
  bar_->Write8(InterruptControl::kOffset, 0);
  return ResetChannel(deadline);
}

Result<void> IoatEngine::Continue(Deadline /*deadline*/) {
  if (auto present = CheckPresent("Resume()"); !present) return present;
  if (auto started = StartChannel(); !started) return started;
  posted_.erase(posted_.begin(), posted_.begin() + static_cast<std::ptrdiff_t>(reaped_));
  reaped_ = 0;
  for (const Descriptor& descriptor : posted_) Put(descriptor);
  if (!posted_.empty()) Ring();
  return {};
}

Result<void> IoatEngine::TakeOver(DmaRegion rings, const RingPositions& positions, bool running) {
  if (positions[0] >= kRingSize) {
    return Fail(EINVAL, "ioat: Attach(): the saved tail is outside the ring");
  }
  UseRings(rings);
  tail_ = positions[0];
  count_ = bar_->Read16(DescriptorCount::kOffset);
  const std::uint64_t completion = std::atomic_ref(memory_->completion).load();
  const Iova last = completion & ChannelStatus::kAddressMask;
  const bool is_idle =
      count_ % kRingSize == tail_ &&
      (count_ == 0 ? last == 0 : last == RingIova((tail_ + kRingSize - 1) % kRingSize));
  const bool as_saved =
      running ? bar_->Read64(ChainAddress::kOffset) == RingIova(0) &&
                    bar_->Read64(CompletionAddress::kOffset) == CompletionIova() && is_idle
              : bar_->Read64(ChainAddress::kOffset) == 0;
  if (as_saved) return {};
  return Fail(EIO,
              "ioat: Attach(): the channel is not as it was saved: it was reset or used since");
}

bool Drives(PciId id) {
  if (id.vendor != 0x8086) return false;
  const unsigned family = id.device & 0xfff8U;
  return id.device == 0x2021 || family == 0x3c20 || family == 0x0e20 || family == 0x2f20 ||
         family == 0x6f20;
}

}  // namespace

const DriverEntry& Entry() {
  static constexpr DriverEntry kEntry{
      .name = kTraits.name,
      .probe = [](const PciKind& kind) { return Drives(kind.id); },
      .make = [](PciDevice& device, const DriverOptions&) -> std::unique_ptr<Driver> {
        return std::make_unique<ContractDriver>(device, std::make_unique<IoatEngine>(device));
      }};
  return kEntry;
}

}  // namespace carryover::ioat
