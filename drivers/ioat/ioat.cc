// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/ioat/ioat.h"

#include <fmt/format.h>
#include <linux/pci_regs.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iterator>
#include <memory>
#include <string>

#include "drivers/contract/contract_driver.h"
#include "drivers/contract/poll.h"
#include "drivers/ioat/region.h"
#include "drivers/ioat/registers.h"

namespace carryover::ioat {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

// The channels take 1 MiB. A ring full of those would be 4 GiB: what a test of all that may be in
// flight has to hold.
constexpr std::size_t kMaxCopy = std::size_t{128} * 1024;
constexpr std::size_t kMaxPieces = kMaxCopy >> XferCap::kMin;
// A ring of which all is outstanding looks like an empty one; and an interrupt is a descriptor.
constexpr std::uint32_t kRoom = kRingSize - 2;

constexpr DriverTraits kTraits{.name = "ioat",
                               .region_size = ContractDriver::kStateSize + sizeof(RegionLayout),
                               .max_copy_bytes = kMaxCopy,
                               .max_in_flight = kRoom / kMaxPieces,
                               .interrupt = InterruptKind::kMsix,
                               .hands_over_posted = true};

constexpr microseconds kInterval{20};
// For a channel to finish the descriptor it is at, before it is reset nevertheless.
constexpr milliseconds kSuspendLimit{100};
// For a channel that has nothing else to do, to interrupt.
constexpr milliseconds kInterruptLimit{100};
// The channel writes its state to memory; but not if it may not.
constexpr std::uint32_t kIdleReaps = 64;

constexpr std::uint16_t kRunning =
    ChanCtrl::kInUse | ChanCtrl::kAnyErrorAbort | ChanCtrl::kErrorCompletion;

// "source address, length", for messages.
std::string ErrorNames(std::uint32_t errors) {
  constexpr std::string_view kNames[] = {"source address",
                                         "destination address",
                                         "next descriptor's address",
                                         "descriptor",
                                         "chain address",
                                         "command",
                                         "data parity",
                                         "DMA data parity",
                                         "read data",
                                         "write data",
                                         "descriptor's control",
                                         "length",
                                         "completion address",
                                         "interrupt configuration",
                                         "extended descriptor's address",
                                         "unaffiliated error",
                                         "CRC or XOR P",
                                         "XOR Q",
                                         "descriptor count"};
  std::string names;
  for (std::size_t bit = 0; bit < 32; ++bit) {
    if ((errors >> bit & 1) == 0) continue;
    if (!names.empty()) names += ", ";
    names += bit < std::size(kNames) ? std::string(kNames[bit]) : fmt::format("bit {}", bit);
  }
  return names.empty() ? "no error is recorded" : names;
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
  [[nodiscard]] std::size_t Outstanding() const override { return posted_ - reaped_; }
  [[nodiscard]] Result<void> RaiseInterrupt(unsigned vector) override;
  [[nodiscard]] Result<void> Halt(Deadline deadline) override;
  [[nodiscard]] Result<void> Continue(Deadline deadline) override;
  [[nodiscard]] RingPositions Positions() const override {
    return {posted_, chain_start_, reaped_};
  }
  [[nodiscard]] Result<void> TakeOver(DmaRegion rings, const RingPositions& positions,
                                      bool running) override;

 private:
  void UseRings(DmaRegion rings);
  [[nodiscard]] Iova DescriptorIova(std::uint32_t count) const {
    return rings_.iova + offsetof(RegionLayout, ring) + count % kRingSize * sizeof(Descriptor);
  }
  [[nodiscard]] Iova CompletionIova() const {
    return rings_.iova + offsetof(RegionLayout, completion);
  }
  [[nodiscard]] std::uint64_t State() {
    return bar_->Read64(ChanSts::kOffset) & ChanSts::kStateMask;
  }
  [[nodiscard]] bool Transferring() {
    const std::uint64_t state = State();
    return state == ChanSts::kActive || state == ChanSts::kDone;
  }
  [[nodiscard]] std::uint16_t DmaCountNow() const {
    return static_cast<std::uint16_t>(posted_ - chain_start_);
  }
  [[nodiscard]] Result<void> ReadLimit();
  [[nodiscard]] Result<void> DisableRelaxedOrdering();
  void ClearErrors();
  [[nodiscard]] Result<void> ResetChannel(Deadline deadline);
  [[nodiscard]] Result<void> Arm(Deadline deadline);
  void Put(Descriptor descriptor, bool last);
  void RingDoorbell();
  [[nodiscard]] bool IsAt(std::uint64_t completed) const;
  [[nodiscard]] Result<bool> Complete(std::uint64_t address);
  [[nodiscard]] std::unexpected<Error> ChannelError();
  void AwaitInterrupt();

  PciDevice& device_;
  Mmio* bar_ = nullptr;
  std::size_t max_piece_ = 0;  // bytes of a descriptor
  DmaRegion rings_;
  RegionLayout* memory_ = nullptr;
  // Counts of descriptors, modulo 2^32; modulo the ring's size they are places in it.
  std::uint32_t posted_ = 0;
  std::uint32_t reaped_ = 0;
  std::uint32_t chain_start_ = 0;  // where the chain begins that CHAINADDR was given
  std::uint32_t interrupt_ = 0;    // the last interrupt's descriptor is before it
  bool interrupt_posted_ = false;
  std::uint32_t idle_reaps_ = 0;
};

Result<void> IoatEngine::Open() {
  if (bar_ != nullptr) return {};
  const auto bar = device_.Bar(0);
  if (!bar) return std::unexpected(bar.error());
  bar_ = *bar;
  return {};
}

Result<void> IoatEngine::CheckPresent(std::string_view during) {
  if (bar_->Read32(DmaCapability::kOffset) != ~0U) return {};
  return Fail(ENODEV,
              fmt::format("ioat: {}: DMACAPABILITY reads as all ones: the device is gone", during));
}

std::unexpected<Error> IoatEngine::ChannelError() {
  const std::uint32_t errors = bar_->Read32(ChanErr::kOffset);
  return Fail(EIO, fmt::format("ioat: the channel halted with {} of {} descriptors not done: {} "
                               "(CHANERR {:#x})",
                               Outstanding(), DmaCountNow(), ErrorNames(errors), errors));
}

// Where the errors are written in configuration space, too, not every function lets them be
// cleared, and not every machine lets that space be reached.
void IoatEngine::ClearErrors() {
  bar_->Write32(ChanErr::kOffset, bar_->Read32(ChanErr::kOffset));
  const auto internal = device_.ReadConfig(ChanErrInt::kOffset, 4);
  if (internal && *internal != 0) {
    (void)device_.WriteConfig(ChanErrInt::kOffset, 4, *internal);
  }
}

// The channel is neither active nor done. A channel whose errors were not cleared stays halted.
Result<void> IoatEngine::ResetChannel(Deadline deadline) {
  ClearErrors();
  bar_->Write8(ChanCmd::kOffset, ChanCmd::kReset);
  return PollUntil(
      *this,
      [this] {
        return (bar_->Read8(ChanCmd::kOffset) & ChanCmd::kReset) == 0 &&
               State() == ChanSts::kHalted;
      },
      kInterval, deadline, "ioat: waiting for the channel's reset (CHANCMD)");
}

Result<void> IoatEngine::Reset(Deadline deadline) {
  posted_ = reaped_ = chain_start_ = 0;
  interrupt_posted_ = false;
  if (auto present = CheckPresent("reset"); !present) return present;
  bar_->Write8(IntrCtrl::kOffset, 0);
  if (Transferring()) {
    // As all other drivers: a transfer is not reset in its middle, unless it hangs.
    bar_->Write8(ChanCmd::kOffset, ChanCmd::kSuspend);
    const auto limit =
        Deadline::At(std::min(deadline.when(), Deadline::Clock::now() + kSuspendLimit));
    const auto suspended = PollUntil(
        *this, [this] { return !Transferring(); }, kInterval, limit, "ioat: suspending to reset");
    if (!suspended && suspended.error().code != ETIMEDOUT) return suspended;
  }
  if (auto reset = ResetChannel(deadline); !reset) return reset;
  // A reset need not change them. CHANCMP 0 tells TakeOver() of this reset.
  bar_->Write16(ChanCtrl::kOffset, 0);
  bar_->Write64(ChanCmp::kOffset, 0);
  bar_->Write16(IntrDelay::kOffset, 0);
  return {};
}

Result<void> IoatEngine::ReadLimit() {
  const std::uint8_t exponent = bar_->Read8(XferCap::kOffset) & XferCap::kMask;
  if (exponent != 0 && exponent < XferCap::kMin) {
    return Fail(
        EIO, fmt::format("ioat: XFERCAP is {}: neither 0 nor {} or more", exponent, XferCap::kMin));
  }
  max_piece_ = exponent == 0 ? kMaxCopy : std::min(kMaxCopy, std::size_t{1} << exponent);
  return {};
}

// Linux does so, too: a completion shall not be seen before what it completes.
Result<void> IoatEngine::DisableRelaxedOrdering() {
  const auto read = [this](std::size_t offset, std::size_t size) {
    return device_.ReadConfig(offset, size);
  };
  auto at = read(PCI_CAPABILITY_LIST, 1);
  for (int hops = 0; hops < 48 && at && *at >= PCI_STD_HEADER_SIZEOF; ++hops) {
    const std::size_t place = *at & ~3U;
    const auto id = read(place + PCI_CAP_LIST_ID, 1);
    if (!id) return std::unexpected(id.error());
    if (*id == PCI_CAP_ID_EXP) {
      const auto control = read(place + PCI_EXP_DEVCTL, 2);
      if (!control) return std::unexpected(control.error());
      return device_.WriteConfig(place + PCI_EXP_DEVCTL, 2,
                                 *control & ~std::uint32_t{PCI_EXP_DEVCTL_RELAX_EN});
    }
    at = read(place + PCI_CAP_LIST_NEXT, 1);
  }
  if (!at) return std::unexpected(at.error());
  return {};
}

void IoatEngine::UseRings(DmaRegion rings) {
  rings_ = rings;
  memory_ = reinterpret_cast<RegionLayout*>(rings.memory.data());
  idle_reaps_ = 0;
}

Result<void> IoatEngine::BringUp(DmaRegion rings, Deadline deadline) {
  const std::uint8_t version = bar_->Read8(CbVer::kOffset);
  if (version != CbVer::k32 && version != CbVer::k33) {
    return Fail(ENOTSUP, fmt::format("ioat: the channel is of version {}.{}, this driver knows 3.2 "
                                     "and 3.3",
                                     version >> 4, version & 0xf));
  }
  if ((bar_->Read8(ChanCnt::kOffset) & ChanCnt::kMask) == 0) {
    return Fail(ENOTSUP, "ioat: the function has no channel (CHANCNT): firmware disabled it");
  }
  if (auto limit = ReadLimit(); !limit) return limit;
  if (auto ordered = DisableRelaxedOrdering(); !ordered) return ordered;
  UseRings(rings);
  for (std::uint32_t i = 0; i < kRingSize; ++i) {
    memory_->ring[i] = {.next = DescriptorIova(i + 1)};
  }
  std::atomic_ref(memory_->completion).store(0, std::memory_order_relaxed);
  bar_->Write32(ChanErrMsk::kOffset, 0);
  // Written blindly: reading it clears the first bit.
  bar_->Write8(IntrCtrl::kOffset, IntrCtrl::kMasterEnable | IntrCtrl::kMsixVectors);
  return Arm(deadline);
}

// The channel is halted or suspended. It goes on at the first descriptor that is outstanding.
Result<void> IoatEngine::Arm(Deadline deadline) {
  bar_->Write16(ChanCtrl::kOffset, kRunning);
  bar_->Write64(ChanCmp::kOffset, CompletionIova());
  chain_start_ = reaped_;
  DmaWriteBarrier();
  bar_->Write64(ChainAddr::kOffset, DescriptorIova(chain_start_));
  return PollUntil(
      *this, [this] { return State() == ChanSts::kArmed; }, kInterval, deadline,
      "ioat: waiting for the channel to take its chain (CHANSTS)");
}

bool IoatEngine::HasRoom(std::span<const DmaCopy> copies) const {
  std::size_t descriptors = Outstanding();
  for (const DmaCopy& copy : copies) {
    descriptors += (copy.length + max_piece_ - 1) / max_piece_;
  }
  return descriptors <= kRoom;
}

// Descriptors complete in order: one report, of the last, is of all that were posted with it.
void IoatEngine::Put(Descriptor descriptor, bool last) {
  if (last) descriptor.control |= Descriptor::kCompletion;
  descriptor.next = DescriptorIova(posted_ + 1);
  memory_->ring[posted_ % kRingSize] = descriptor;
  ++posted_;
}

void IoatEngine::RingDoorbell() {
  DmaWriteBarrier();
  bar_->Write16(DmaCount::kOffset, DmaCountNow());
}

void IoatEngine::Post(std::span<const DmaCopy> copies) {
  for (const DmaCopy& copy : copies) {
    for (std::size_t done = 0; done < copy.length;) {
      const std::size_t bytes = std::min(max_piece_, copy.length - done);
      Put({.size = static_cast<std::uint32_t>(bytes),
           .source = copy.source + done,
           .destination = copy.destination + done},
          &copy == &copies.back() && done + bytes == copy.length);
      done += bytes;
    }
  }
  RingDoorbell();
}

// The last descriptor that was completed may be at this address.
bool IoatEngine::IsAt(std::uint64_t completed) const {
  if (completed == 0) return reaped_ == chain_start_;  // none of the chain
  const std::uint64_t offset = completed - DescriptorIova(0);
  return offset < sizeof(RegionLayout::ring) && offset % sizeof(Descriptor) == 0 &&
         (static_cast<std::uint32_t>(offset / sizeof(Descriptor)) + 1 - reaped_) % kRingSize <=
             Outstanding();
}

// All up to the descriptor at this address is done. True if that is news.
Result<bool> IoatEngine::Complete(std::uint64_t address) {
  if (address == 0) return false;  // none since the channel was reset
  const std::uint64_t offset = address - DescriptorIova(0);
  // One past it, as a count from what was reaped.
  const std::uint32_t done =
      (static_cast<std::uint32_t>(offset / sizeof(Descriptor)) + 1 - reaped_) % kRingSize;
  if (offset >= sizeof(RegionLayout::ring) || done > Outstanding()) {
    return Fail(EIO, fmt::format("ioat: descriptor at {:#x} was completed, which is not one of the "
                                 "{} outstanding from {:#x}",
                                 address, Outstanding(), DescriptorIova(reaped_)));
  }
  reaped_ += done;
  return done != 0;
}

Result<bool> IoatEngine::Reap() {
  const std::uint64_t written =
      std::atomic_ref(memory_->completion).load(std::memory_order_acquire);
  DmaReadBarrier();
  if ((written & ChanSts::kStateMask) == ChanSts::kHalted) return ChannelError();
  const auto reaped = Complete(written & ChanSts::kAddressMask);
  if (!reaped) return reaped;
  if (*reaped) {
    idle_reaps_ = 0;
  } else if (++idle_reaps_ % kIdleReaps == 0 && State() == ChanSts::kHalted) {
    return ChannelError();
  }
  return reaped;
}

// Until the last interrupt's descriptor is done, and the channel shows that it has interrupted.
void IoatEngine::AwaitInterrupt() {
  if (!interrupt_posted_) return;
  const auto limit = Deadline::After(kInterruptLimit);
  while (true) {
    const bool last = limit.Passed();
    const bool done = reaped_ - interrupt_ <= kRingSize;
    if (done && (bar_->Read16(ChanCtrl::kOffset) & ChanCtrl::kInterruptDisabled) != 0) {
      interrupt_posted_ = false;
      return;
    }
    if (last) return;
    if (!done && !Reap()) return;  // Wait() tells it
  }
}

// An armed channel interrupts once: the one before must be out before it is armed again.
Result<void> IoatEngine::RaiseInterrupt(unsigned /*vector*/) {
  AwaitInterrupt();
  if (Outstanding() > kRoom) {
    return Fail(ENOSPC, "ioat: the ring is full, with an interrupt that has not come");
  }
  const bool alone = Outstanding() == 0;
  bar_->Write16(ChanCtrl::kOffset, kRunning | ChanCtrl::kInterruptDisabled);
  Put({.size = sizeof(std::uint64_t), .control = Descriptor::kNull | Descriptor::kInterrupt}, true);
  RingDoorbell();
  interrupt_ = posted_;
  interrupt_posted_ = true;
  // So that nothing is outstanding to Save().
  if (alone) AwaitInterrupt();
  return {};
}

Result<void> IoatEngine::Halt(Deadline deadline) {
  if (auto present = CheckPresent("Quiesce()"); !present) return present;
  // No driver suspends a channel that is armed; if nothing was posted it has nothing to do either,
  // but it has the chain's address.
  if (Outstanding() == 0 && State() == ChanSts::kArmed) {
    if (auto reset = ResetChannel(deadline); !reset) return reset;
    bar_->Write64(ChanCmp::kOffset, CompletionIova());
    return {};
  }
  bool told = false;
  return PollUntil(
      *this,
      [this, &told] {
        if (!told && Transferring()) {
          bar_->Write8(ChanCmd::kOffset, ChanCmd::kSuspend);
          told = true;
        }
        const std::uint64_t state = State();
        return state == ChanSts::kSuspended || state == ChanSts::kHalted;
      },
      kInterval, deadline, "ioat: waiting for the channel to suspend (CHANSTS)");
}

Result<void> IoatEngine::Continue(Deadline deadline) {
  if (auto present = CheckPresent("Resume()"); !present) return present;
  const std::uint64_t status = bar_->Read64(ChanSts::kOffset);
  if ((status & ChanSts::kStateMask) == ChanSts::kHalted && bar_->Read32(ChanErr::kOffset) != 0) {
    return ChannelError();
  }
  if (posted_ != chain_start_) {
    const auto completed = Complete(status & ChanSts::kAddressMask);
    if (!completed) return std::unexpected(completed.error());
  }
  if (auto armed = Arm(deadline); !armed) return armed;
  if (Outstanding() != 0) RingDoorbell();
  return {};
}

Result<void> IoatEngine::TakeOver(DmaRegion rings, const RingPositions& positions, bool running) {
  if (auto limit = ReadLimit(); !limit) return limit;
  UseRings(rings);
  posted_ = positions[0];
  chain_start_ = positions[1];
  reaped_ = positions[2];
  interrupt_posted_ = false;
  if (Outstanding() > kRingSize - 1 || (Outstanding() != 0 && !running)) {
    return Fail(EINVAL,
                fmt::format("ioat: Attach(): {} descriptors cannot be outstanding", Outstanding()));
  }
  const std::uint64_t status = bar_->Read64(ChanSts::kOffset);
  // Without a descriptor since CHAINADDR was written, see Arm() and Halt().
  const bool fresh = posted_ == chain_start_;
  const std::uint64_t state = running ? (fresh ? ChanSts::kArmed : ChanSts::kDone)
                                      : (fresh ? ChanSts::kHalted : ChanSts::kSuspended);
  const bool chained = running || !fresh;
  const bool transfers = Outstanding() != 0;
  if (transfers && (status & ChanSts::kStateMask) == ChanSts::kHalted &&
      bar_->Read32(ChanErr::kOffset) != 0) {
    return ChannelError();
  }
  const bool in_state = (status & ChanSts::kStateMask) == state ||
                        (transfers && (status & ChanSts::kStateMask) == ChanSts::kActive);
  if (!in_state || bar_->Read32(ChanErr::kOffset) != 0 ||
      bar_->Read64(ChanCmp::kOffset) != CompletionIova() ||
      bar_->Read16(DmaCount::kOffset) != DmaCountNow() ||
      (chained && bar_->Read64(ChainAddr::kOffset) != DescriptorIova(chain_start_)) ||
      (!fresh && !IsAt(status & ChanSts::kAddressMask))) {
    return Fail(EIO, fmt::format("ioat: Attach(): the channel is not as it was saved (CHANSTS "
                                 "{:#x}): it was reset or used since",
                                 status));
  }
  return {};
}

}  // namespace

bool Drives(PciId id) {
  if (id.vendor != kSkylake.vendor) return false;
  // The low three bits are the function's number.
  const int channels = id.device & ~7;
  return id == kSkylake || channels == 0x0e20 || channels == 0x2f20 || channels == 0x6f20;
}

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
