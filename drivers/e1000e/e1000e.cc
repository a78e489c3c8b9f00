// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/e1000e/e1000e.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <memory>

#include "drivers/contract/contract_driver.h"
#include "drivers/e1000e/e1000e_receiver.h"
#include "drivers/e1000e/mac.h"
#include "drivers/e1000e/region.h"
#include "drivers/ethernet_loopback/posted_frames.h"

namespace carryover::e1000e {
namespace {

using ethernet_loopback::ForEachPiece;
using ethernet_loopback::Frame;
using ethernet_loopback::PostedFrames;

// Some 130 frames.
constexpr std::size_t kMaxCopy = std::size_t{1} << 20;
constexpr std::size_t kMaxFrames = kMaxCopy / kFramePayload + 1;  // a copy that begins in mid-page
constexpr std::uint32_t kMaxTxPerFrame = 1 + kFramePayload / ethernet_loopback::kPage;
constexpr std::size_t kMaxInFlight = std::min<std::size_t>(
    (kRxRingSize - 1) / kMaxFrames, (kTxRingSize - 1) / (kMaxFrames * kMaxTxPerFrame));

constexpr DriverTraits kTraits{.name = "e1000e",
                               .region_size = ContractDriver::kStateSize + sizeof(RegionLayout),
                               .max_copy_bytes = kMaxCopy,
                               .max_in_flight = kMaxInFlight,
                               .interrupt = InterruptKind::kMsi};

constexpr std::uint32_t RxTail(std::uint32_t slot) {
  return slot * static_cast<std::uint32_t>(sizeof(RxDescriptor) / kTailUnit);
}

class E1000eEngine final : public Engine {
 public:
  E1000eEngine(PciDevice& device, Settling settling) : device_(device), settling_(settling) {}

  [[nodiscard]] const DriverTraits& traits() const override { return kTraits; }
  [[nodiscard]] Result<void> Open() override;
  [[nodiscard]] Result<void> CheckPresent(std::string_view during) override {
    return mac_->CheckPresent(during);
  }
  [[nodiscard]] Result<void> Reset(Deadline deadline) override;
  [[nodiscard]] Result<void> BringUp(DmaRegion rings, Deadline deadline) override;
  [[nodiscard]] Result<void> PutBack(Deadline deadline) override {
    return mac_->EndLoopback(deadline);
  }
  [[nodiscard]] Result<void> CheckCopy(const DmaCopy& copy) const override;
  [[nodiscard]] bool HasRoom(std::span<const DmaCopy> copies) const override {
    return posted_.HasRoom(copies);
  }
  void Post(std::span<const DmaCopy> copies) override;
  [[nodiscard]] Result<bool> Reap() override;
  [[nodiscard]] std::size_t Outstanding() const override { return posted_.Outstanding(); }
  [[nodiscard]] Result<void> RaiseInterrupt(unsigned /*vector*/) override {
    mac_->RaiseInterrupt();
    return {};
  }
  [[nodiscard]] Result<void> Halt(Deadline deadline) override;
  [[nodiscard]] Result<void> Continue(Deadline deadline) override;
  [[nodiscard]] RingPositions Positions() const override {
    return {posted_.tx_tail(), posted_.rx_tail()};
  }
  [[nodiscard]] Result<void> TakeOver(DmaRegion rings, const RingPositions& positions,
                                      bool running) override;

 private:
  void UseRings(DmaRegion rings);
  [[nodiscard]] Result<void> SetUp(Deadline deadline);
  [[nodiscard]] Rings OurRings() const;
  [[nodiscard]] Iova At(std::size_t offset) const { return rings_.iova + offset; }
  void PutFrame(const Frame& frame, bool last);
  void RingDoorbell();
  [[nodiscard]] Result<bool> ReapFrame();
  [[nodiscard]] bool TransmitDone() const;

  PciDevice& device_;
  Settling settling_;
  std::unique_ptr<Mac> mac_;  // null before Open()
  DmaRegion rings_;
  RegionLayout* memory_ = nullptr;
  PostedFrames posted_{kRxRingSize, kTxRingSize, kFramePayload};
};

Result<void> E1000eEngine::Open() {
  if (mac_) return {};
  auto bar = device_.Bar(0);
  if (!bar) return std::unexpected(bar.error());
  mac_ = std::make_unique<Mac>(**bar, settling_);
  return {};
}

void E1000eEngine::UseRings(DmaRegion rings) {
  rings_ = rings;
  memory_ = reinterpret_cast<RegionLayout*>(rings.memory.data());
}

Rings E1000eEngine::OurRings() const {
  return {.tx = At(offsetof(RegionLayout, tx)),
          .rx = At(offsetof(RegionLayout, rx)),
          .tx_bytes = sizeof(RegionLayout::tx),
          .rx_bytes = sizeof(RegionLayout::rx)};
}

Result<void> E1000eEngine::Reset(Deadline deadline) {
  posted_.Forget(0, 0);
  return mac_->Reset(deadline);
}

Result<void> E1000eEngine::BringUp(DmaRegion rings, Deadline deadline) {
  UseRings(rings);
  FrameHeader header = FrameHeader::To(Mac::StationAddress());
  for (; header.slot < kRxRingSize; ++header.slot) memory_->tx_headers[header.slot] = header;
  return SetUp(deadline);
}

Result<void> E1000eEngine::SetUp(Deadline deadline) {
  if (auto loop = mac_->StartLoopback(deadline); !loop) return loop;
  mac_->Configure(kFramePayload);
  mac_->PrepareInterrupt();
  mac_->StartQueues(OurRings());
  return {};
}

Result<void> E1000eEngine::CheckCopy(const DmaCopy& copy) const {
  constexpr Iova kLast = std::numeric_limits<Iova>::max();
  if (copy.destination != 0 && copy.destination != kLast - (copy.length - 1)) return {};
  return Fail(EINVAL,
              fmt::format("e1000e: a copy of {} bytes to IOVA {:#x}: the first and the last "
                          "IOVA mean that there is no buffer",
                          copy.length, copy.destination));
}

void E1000eEngine::Post(std::span<const DmaCopy> copies) {
  posted_.Post(copies, [this](const Frame& frame, bool last) { PutFrame(frame, last); });
  RingDoorbell();
}

// Fills the next receive descriptor and the frame's transmit descriptors. `last`: of the batch;
// only there the device is asked to report, as a report says that all before is done, too.
void E1000eEngine::PutFrame(const Frame& frame, bool last) {
  const std::uint32_t slot = posted_.TakeRx();
  memory_->rx_headers[slot] = {};
  memory_->rx[slot] = {
      .words = {At(offsetof(RegionLayout, rx_headers) + slot * sizeof(FrameHeader)),
                frame.destination, RxDescriptor::kNoBuffer, RxDescriptor::kNoBuffer}};

  const auto put = [this](Iova address, std::uint32_t bytes, std::uint32_t flags) {
    memory_->tx[posted_.TakeTx()] = {
        .address = address, .command = bytes | TxDescriptor::kInsertCrc | flags, .status = 0};
  };
  put(At(offsetof(RegionLayout, tx_headers) + slot * sizeof(FrameHeader)), sizeof(FrameHeader), 0);
  ForEachPiece(frame, [&](Iova address, std::uint32_t bytes) {
    const bool end = address + bytes == frame.source + frame.bytes;
    put(address, bytes,
        end ? TxDescriptor::kEndOfPacket | (last ? TxDescriptor::kReportStatus : 0) : 0);
  });
}

void E1000eEngine::RingDoorbell() {
  DmaWriteBarrier();
  mac_->Post(RxTail(posted_.rx_tail()), posted_.tx_tail());
}

// Takes note of the next posted frame, if it has arrived. False if it has not.
Result<bool> E1000eEngine::ReapFrame() {
  const std::uint32_t slot = posted_.NextSlot();
  auto& words = memory_->rx[slot].words;
  const auto load = [&words](std::size_t word) {
    return std::atomic_ref(words[word]).load(std::memory_order_acquire);
  };
  const Frame& frame = posted_.Next();
  const std::uint64_t lengths = load(RxDescriptor::kLengths);
  const std::uint64_t status = load(RxDescriptor::kStatus);
  const bool fine = (status & RxDescriptor::kEndOfPacket) != 0 &&
                    (status & RxDescriptor::kErrors) == 0 &&
                    (status >> RxDescriptor::kHeaderLengthShift & RxDescriptor::kLengthMask) ==
                        sizeof(FrameHeader);
  // Status lies where the destination was, whose bits may look like a status. The lengths lie where
  // no length can be; they and the status need not be seen at the same time.
  if (lengths == RxDescriptor::kNoBuffer || (status & RxDescriptor::kDone) == 0 ||
      (status == frame.destination && !fine)) {
    return false;
  }
  DmaReadBarrier();
  const std::uint64_t bytes = lengths >> RxDescriptor::kPayloadLengthShift;
  const FrameHeader& header = memory_->rx_headers[slot];
  if (!fine || bytes != frame.bytes || header.slot != slot ||
      header.ether_type != FrameHeader::kEtherType) {
    return Fail(EIO, fmt::format("e1000e: frame {} of {} ({} bytes to IOVA {:#x}) arrived wrong: "
                                 "status {:#018x}, lengths {:#018x}, meant for slot {}, in slot {}",
                                 posted_.arrived(), posted_.size(), frame.bytes, frame.destination,
                                 status, lengths, header.slot, slot));
  }
  posted_.NextArrived();
  return true;
}

bool E1000eEngine::TransmitDone() const {
  return (std::atomic_ref(memory_->tx[posted_.tx_last()].status).load(std::memory_order_acquire) &
          TxDescriptor::kDone) != 0;
}

Result<bool> E1000eEngine::Reap() {
  if (!posted_.AllArrived()) return ReapFrame();
  if (posted_.empty() || !TransmitDone()) return false;
  posted_.Forget();
  return true;
}

Result<void> E1000eEngine::Halt(Deadline deadline) {
  mac_->MaskInterrupts();
  return mac_->StopQueues(deadline);
}

Result<void> E1000eEngine::Continue(Deadline deadline) {
  for (bool more = true; more && !posted_.empty();) {
    const auto reaped = Reap();
    if (!reaped) return std::unexpected(reaped.error());
    more = *reaped;
  }
  if (posted_.empty()) {
    if (auto present = CheckPresent("Resume()"); !present) return present;
    mac_->ContinueQueues();
    return {};
  }
  // Frames may be in the FIFOs, and nothing but a reset removes them. What had not arrived is
  // posted again from slot 0.
  const auto start = [&] -> Result<void> {
    if (auto reset = mac_->Reset(deadline); !reset) return reset;
    return SetUp(deadline);
  };
  const auto put = [this](const Frame& frame, bool last) { PutFrame(frame, last); };
  if (auto again = posted_.PostAgain(start, put); !again) return again;
  if (!posted_.empty()) RingDoorbell();
  return {};
}

Result<void> E1000eEngine::TakeOver(DmaRegion rings, const RingPositions& positions, bool running) {
  const std::uint32_t tx_tail = positions[0];
  const std::uint32_t rx_tail = positions[1];
  if (tx_tail >= kTxRingSize || rx_tail >= kRxRingSize) {
    return Fail(EINVAL, "e1000e: Attach(): the saved tails are outside the rings");
  }
  UseRings(rings);
  if (mac_->ReadRings() != OurRings() || !mac_->IdleAt(RxTail(rx_tail), tx_tail) ||
      !mac_->QueuesAre(running)) {
    return Fail(EIO, fmt::format("e1000e: Attach(): the device is not as it was saved, with queues "
                                 "{}: it was reset or used since",
                                 running ? "running" : "stopped"));
  }
  posted_.Forget(rx_tail, tx_tail);
  return {};
}

}  // namespace

std::unique_ptr<Driver> MakeDriver(PciDevice& device, Settling settling) {
  return std::make_unique<ContractDriver>(device, std::make_unique<E1000eEngine>(device, settling));
}

const DriverEntry& Entry() {
  static constexpr DriverEntry kEntry{
      .name = kTraits.name,
      .probe = [](const PciKind& kind) { return kind.id == k82574; },
      .make = [](PciDevice& device,
                 const DriverOptions&) { return MakeDriver(device, Settling()); },
      .make_frame_receiver = MakeFrameReceiver};
  return kEntry;
}

}  // namespace carryover::e1000e
