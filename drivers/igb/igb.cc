// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/igb/igb.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <memory>

#include "drivers/contract/contract_driver.h"
#include "drivers/ethernet_loopback/posted_frames.h"
#include "drivers/igb/igb_receiver.h"
#include "drivers/igb/mac.h"
#include "drivers/igb/region.h"

namespace carryover::igb {
namespace {

using ethernet_loopback::ForEachPiece;
using ethernet_loopback::Frame;
using ethernet_loopback::kPage;
using ethernet_loopback::PostedFrames;

// Never more than a quarter of a second on the ring at 1 Gb/s; some 130 frames.
constexpr std::size_t kMaxCopy = std::size_t{1} << 20;
constexpr std::size_t kMaxFrames = kMaxCopy / kFramePayload + 1;  // a copy that begins in mid-page
constexpr std::uint32_t kMaxTxPerFrame = 1 + kFramePayload / kPage;  // header, a piece a page
constexpr std::size_t kMaxInFlight = std::min<std::size_t>(
    (kRxRingSize - 1) / kMaxFrames, (kTxRingSize - 1) / (kMaxFrames * kMaxTxPerFrame));

constexpr DriverTraits kTraits{.name = "igb",
                               .region_size = ContractDriver::kStateSize + sizeof(RegionLayout),
                               .max_copy_bytes = kMaxCopy,
                               .max_in_flight = kMaxInFlight,
                               .interrupt = InterruptKind::kMsix};

class IgbEngine final : public Engine {
 public:
  IgbEngine(PciDevice& device, LinkSettling settling) : device_(device), settling_(settling) {}

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
  [[nodiscard]] Result<void> RaiseInterrupt(unsigned vector) override {
    mac_->RaiseInterrupt(vector);
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
  [[nodiscard]] Rings OurRings() const;
  [[nodiscard]] Iova At(std::size_t offset) const { return rings_.iova + offset; }
  void PutFrame(const Frame& frame, bool last);
  void RingDoorbell();
  [[nodiscard]] Result<bool> ReapFrame();
  [[nodiscard]] bool TransmitDone() const;

  PciDevice& device_;
  LinkSettling settling_;
  std::unique_ptr<Mac> mac_;  // null before Open()
  DmaRegion rings_;
  RegionLayout* memory_ = nullptr;
  PostedFrames posted_{kRxRingSize, kTxRingSize, kFramePayload};
};

Result<void> IgbEngine::Open() {
  if (mac_) return {};
  auto bar = device_.Bar(0);
  if (!bar) return std::unexpected(bar.error());
  auto emulated = IsEmulated(device_);
  if (!emulated) return std::unexpected(emulated.error());
  mac_ = std::make_unique<Mac>(**bar, *emulated, settling_);
  return {};
}

void IgbEngine::UseRings(DmaRegion rings) {
  rings_ = rings;
  memory_ = reinterpret_cast<RegionLayout*>(rings.memory.data());
}

Rings IgbEngine::OurRings() const {
  return {.tx = At(offsetof(RegionLayout, tx)),
          .rx = At(offsetof(RegionLayout, rx)),
          .tx_size = kTxRingSize,
          .rx_size = kRxRingSize};
}

Result<void> IgbEngine::Reset(Deadline deadline) {
  posted_.Forget(0, 0);
  return mac_->Reset(deadline);
}

Result<void> IgbEngine::BringUp(DmaRegion rings, Deadline deadline) {
  UseRings(rings);
  FrameHeader header = FrameHeader::To(Mac::StationAddress());
  for (; header.slot < kRxRingSize; ++header.slot) memory_->tx_headers[header.slot] = header;

  if (auto loop = mac_->StartLoopback(deadline); !loop) return loop;
  mac_->Configure(kFramePayload);
  if (auto queues = mac_->StartQueues(OurRings(), deadline); !queues) return queues;
  mac_->UnmaskInterrupt();
  return {};
}

Result<void> IgbEngine::CheckCopy(const DmaCopy& copy) const {
  if (copy.destination != 0) return {};
  return Fail(EINVAL, "igb: a copy to IOVA 0: the device skips null receive buffers");
}

void IgbEngine::Post(std::span<const DmaCopy> copies) {
  posted_.Post(copies, [this](const Frame& frame, bool last) { PutFrame(frame, last); });
  RingDoorbell();
}

// Fills the next receive descriptor and the frame's transmit descriptors. `last`: of the batch;
// only there the device is asked to report, as a report says that all before is done, too.
void IgbEngine::PutFrame(const Frame& frame, bool last) {
  const std::uint32_t slot = posted_.TakeRx();
  memory_->rx_headers[slot] = {};
  memory_->rx[slot] = {
      .packet = frame.destination,
      .header = At(offsetof(RegionLayout, rx_headers) + slot * sizeof(FrameHeader))};

  const std::uint32_t whole = static_cast<std::uint32_t>(sizeof(FrameHeader)) + frame.bytes;
  const auto put = [&](Iova address, std::uint32_t bytes, std::uint32_t flags) {
    memory_->tx[posted_.TakeTx()] = {.address = address,
                                     .command = bytes | TxDescriptor::kTypeData |
                                                TxDescriptor::kExtension |
                                                TxDescriptor::kInsertCrc | flags,
                                     .status = whole << TxDescriptor::kPayloadShift};
  };
  put(At(offsetof(RegionLayout, tx_headers) + slot * sizeof(FrameHeader)), sizeof(FrameHeader), 0);
  ForEachPiece(frame, [&](Iova address, std::uint32_t bytes) {
    const bool end = address + bytes == frame.source + frame.bytes;
    put(address, bytes,
        end ? TxDescriptor::kEndOfPacket | (last ? TxDescriptor::kReportStatus : 0) : 0);
  });
}

void IgbEngine::RingDoorbell() {
  DmaWriteBarrier();
  mac_->Post(posted_.rx_tail(), posted_.tx_tail());
}

// Takes note of the next posted frame, if it has arrived. False if it has not.
Result<bool> IgbEngine::ReapFrame() {
  const std::uint32_t slot = posted_.NextSlot();
  RxDescriptor& descriptor = memory_->rx[slot];
  // Status is the low half of the second quadword, where the header's address was: even, so that it
  // cannot be taken for a set kDone.
  const std::uint64_t written = std::atomic_ref(descriptor.header).load(std::memory_order_acquire);
  const auto status = static_cast<std::uint32_t>(written);
  if ((status & RxDescriptor::kDone) == 0) return false;
  DmaReadBarrier();
  const Frame& frame = posted_.Next();
  const std::uint32_t arrived = memory_->rx_headers[slot].slot;
  if ((status & RxDescriptor::kEndOfPacket) == 0 || (status & RxDescriptor::kReceiveError) != 0 ||
      descriptor.length() != frame.bytes || arrived != slot ||
      memory_->rx_headers[slot].ether_type != FrameHeader::kEtherType) {
    return Fail(EIO, fmt::format("igb: frame {} of {} ({} bytes to IOVA {:#x}) arrived wrong: "
                                 "status {:#010x}, {} bytes, meant for slot {}, in slot {}",
                                 posted_.arrived(), posted_.size(), frame.bytes, frame.destination,
                                 status, descriptor.length(), arrived, slot));
  }
  posted_.NextArrived();
  return true;
}

bool IgbEngine::TransmitDone() const {
  return (std::atomic_ref(memory_->tx[posted_.tx_last()].status).load(std::memory_order_acquire) &
          TxDescriptor::kDone) != 0;
}

Result<bool> IgbEngine::Reap() {
  if (!posted_.AllArrived()) return ReapFrame();
  if (posted_.empty() || !TransmitDone()) return false;
  posted_.Forget();
  return true;
}

Result<void> IgbEngine::Halt(Deadline deadline) {
  mac_->MaskInterrupts();
  return mac_->StopQueues(deadline);
}

Result<void> IgbEngine::Continue(Deadline deadline) {
  while (!posted_.AllArrived()) {
    const auto reaped = ReapFrame();
    if (!reaped) return std::unexpected(reaped.error());
    if (!*reaped) break;
  }
  // 8.12.13: enabling a queue initialises it. What had not arrived is posted again from slot 0: the
  // frames that were between transmit and receive when the queues stopped are lost.
  const auto start = [&] { return mac_->StartQueues(OurRings(), deadline); };
  const auto put = [this](const Frame& frame, bool last) { PutFrame(frame, last); };
  if (auto again = posted_.PostAgain(start, put); !again) return again;
  if (!posted_.empty()) RingDoorbell();
  mac_->UnmaskInterrupt();
  return {};
}

Result<void> IgbEngine::TakeOver(DmaRegion rings, const RingPositions& positions, bool running) {
  const std::uint32_t tx_tail = positions[0];
  const std::uint32_t rx_tail = positions[1];
  if (tx_tail >= kTxRingSize || rx_tail >= kRxRingSize) {
    return Fail(EINVAL, "igb: Attach(): the saved tails are outside the rings");
  }
  UseRings(rings);
  if (mac_->ReadRings() != OurRings() || !mac_->IdleAt(rx_tail, tx_tail) ||
      mac_->QueuesRunning() != running) {
    return Fail(EIO, fmt::format("igb: Attach(): the device is not as it was saved (queues {}): it "
                                 "was reset or used since",
                                 mac_->QueuesRunning() ? "running" : "stopped"));
  }
  posted_.Forget(rx_tail, tx_tail);
  return {};
}

}  // namespace

std::unique_ptr<Driver> MakeDriver(PciDevice& device, LinkSettling settling) {
  return std::make_unique<ContractDriver>(device, std::make_unique<IgbEngine>(device, settling));
}

const DriverEntry& Entry() {
  static constexpr DriverEntry kEntry{
      .name = kTraits.name,
      .probe = [](const PciKind& kind) { return kind.id == k82576; },
      .make = [](PciDevice& device,
                 const DriverOptions&) { return MakeDriver(device, LinkSettling()); },
      .make_frame_receiver = MakeFrameReceiver};
  return kEntry;
}

}  // namespace carryover::igb
