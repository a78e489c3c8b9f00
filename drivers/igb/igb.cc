// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/igb/igb.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <vector>

#include "drivers/contract/contract_driver.h"
#include "drivers/igb/mac.h"
#include "drivers/igb/region.h"

namespace carryover::igb {
namespace {

using ethernet_loopback::ForEachFrame;
using ethernet_loopback::ForEachPiece;
using ethernet_loopback::Frame;
using ethernet_loopback::kPage;
using ethernet_loopback::TxDescriptors;

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
  [[nodiscard]] bool HasRoom(std::span<const DmaCopy> copies) const override;
  void Post(std::span<const DmaCopy> copies) override;
  [[nodiscard]] Result<bool> Reap() override;
  [[nodiscard]] std::size_t Outstanding() const override;
  [[nodiscard]] Result<void> RaiseInterrupt() override {
    mac_->RaiseInterrupt();
    return {};
  }
  [[nodiscard]] Result<void> Halt(Deadline deadline) override;
  [[nodiscard]] Result<void> Continue(Deadline deadline) override;
  [[nodiscard]] RingPositions Positions() const override { return {tx_tail_, rx_tail_}; }
  [[nodiscard]] Result<void> TakeOver(DmaRegion rings, const RingPositions& positions,
                                      bool running) override;

 private:
  void UseRings(DmaRegion rings);
  [[nodiscard]] Rings OurRings() const;
  [[nodiscard]] Iova At(std::size_t offset) const { return rings_.iova + offset; }
  void ForgetPosted(std::uint32_t rx_tail, std::uint32_t tx_tail);
  void PutFrame(const Frame& frame, bool last);
  void RingDoorbell();
  [[nodiscard]] Result<bool> ReapFrame();
  [[nodiscard]] bool TransmitDone() const;

  PciDevice& device_;
  LinkSettling settling_;
  std::unique_ptr<Mac> mac_;  // null before Open()
  DmaRegion rings_;
  RegionLayout* memory_ = nullptr;
  std::uint32_t rx_tail_ = 0;    // where the next frame goes
  std::uint32_t tx_tail_ = 0;    // where the next transmit descriptor goes
  std::uint32_t tx_posted_ = 0;  // transmit descriptors since all was reaped
  std::uint32_t tx_last_ = 0;    // the last posted one that reports its status
  std::vector<Frame> posted_;    // since all was reaped
  std::size_t reaped_ = 0;       // how many of posted_ have arrived
};

Result<void> IgbEngine::Open() {
  if (mac_) return {};
  auto bar = device_.Bar(0);
  if (!bar) return std::unexpected(bar.error());
  // QEMU's devices without a subsystem of their own carry Red Hat's vendor id (0x1af4).
  constexpr std::size_t kSubsystemVendor = 0x2c;
  auto subsystem = device_.ReadConfig(kSubsystemVendor, 2);
  if (!subsystem) return std::unexpected(subsystem.error());
  mac_ = std::make_unique<Mac>(**bar, *subsystem == 0x1af4, settling_);
  return {};
}

void IgbEngine::UseRings(DmaRegion rings) {
  rings_ = rings;
  memory_ = reinterpret_cast<RegionLayout*>(rings.memory.data());
  posted_.reserve(kRxRingSize);
}

Rings IgbEngine::OurRings() const {
  return {.tx = At(offsetof(RegionLayout, tx)),
          .rx = At(offsetof(RegionLayout, rx)),
          .tx_size = kTxRingSize,
          .rx_size = kRxRingSize};
}

void IgbEngine::ForgetPosted(std::uint32_t rx_tail, std::uint32_t tx_tail) {
  rx_tail_ = rx_tail;
  tx_tail_ = tx_tail;
  tx_posted_ = 0;
  posted_.clear();
  reaped_ = 0;
}

Result<void> IgbEngine::Reset(Deadline deadline) {
  ForgetPosted(0, 0);
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

bool IgbEngine::HasRoom(std::span<const DmaCopy> copies) const {
  std::size_t frames = posted_.size();
  std::size_t descriptors = tx_posted_;
  for (const DmaCopy& copy : copies) {
    ForEachFrame(copy, kFramePayload, [&](const Frame& frame) {
      ++frames;
      descriptors += TxDescriptors(frame);
    });
  }
  // A ring whose tail meets its head is empty: one descriptor stays unused.
  return frames < kRxRingSize && descriptors < kTxRingSize;
}

void IgbEngine::Post(std::span<const DmaCopy> copies) {
  const std::size_t before = posted_.size();
  for (const DmaCopy& copy : copies) {
    ForEachFrame(copy, kFramePayload, [&](const Frame& frame) { posted_.push_back(frame); });
  }
  for (std::size_t i = before; i < posted_.size(); ++i) {
    PutFrame(posted_[i], i + 1 == posted_.size());
  }
  RingDoorbell();
}

// Fills the next receive descriptor and the frame's transmit descriptors. `last`: of the batch;
// only there the device is asked to report, as a report says that all before is done, too.
void IgbEngine::PutFrame(const Frame& frame, bool last) {
  const std::uint32_t slot = rx_tail_;
  memory_->rx_headers[slot] = {};
  memory_->rx[slot] = {
      .packet = frame.destination,
      .header = At(offsetof(RegionLayout, rx_headers) + slot * sizeof(FrameHeader))};
  rx_tail_ = (rx_tail_ + 1) % kRxRingSize;

  const std::uint32_t whole = static_cast<std::uint32_t>(sizeof(FrameHeader)) + frame.bytes;
  const auto put = [&](Iova address, std::uint32_t bytes, std::uint32_t flags) {
    memory_->tx[tx_tail_] = {.address = address,
                             .command = bytes | TxDescriptor::kTypeData | TxDescriptor::kExtension |
                                        TxDescriptor::kInsertCrc | flags,
                             .status = whole << TxDescriptor::kPayloadShift};
    tx_last_ = tx_tail_;
    tx_tail_ = (tx_tail_ + 1) % kTxRingSize;
    ++tx_posted_;
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
  mac_->Post(rx_tail_, tx_tail_);
}

// Takes note of the next posted frame, if it has arrived. False if it has not.
Result<bool> IgbEngine::ReapFrame() {
  const auto slot = static_cast<std::uint32_t>(
      (rx_tail_ + kRxRingSize - (posted_.size() - reaped_)) % kRxRingSize);
  RxDescriptor& descriptor = memory_->rx[slot];
  // Status is the low half of the second quadword, where the header's address was: even, so that it
  // cannot be taken for a set kDone.
  const std::uint64_t written = std::atomic_ref(descriptor.header).load(std::memory_order_acquire);
  const auto status = static_cast<std::uint32_t>(written);
  if ((status & RxDescriptor::kDone) == 0) return false;
  DmaReadBarrier();
  const Frame& frame = posted_[reaped_];
  const std::uint32_t arrived = memory_->rx_headers[slot].slot;
  if ((status & RxDescriptor::kEndOfPacket) == 0 || (status & RxDescriptor::kReceiveError) != 0 ||
      descriptor.length() != frame.bytes || arrived != slot ||
      memory_->rx_headers[slot].ether_type != FrameHeader::kEtherType) {
    return Fail(EIO, fmt::format("igb: frame {} of {} ({} bytes to IOVA {:#x}) arrived wrong: "
                                 "status {:#010x}, {} bytes, meant for slot {}, in slot {}",
                                 reaped_, posted_.size(), frame.bytes, frame.destination, status,
                                 descriptor.length(), arrived, slot));
  }
  ++reaped_;
  return true;
}

bool IgbEngine::TransmitDone() const {
  return (std::atomic_ref(memory_->tx[tx_last_].status).load(std::memory_order_acquire) &
          TxDescriptor::kDone) != 0;
}

Result<bool> IgbEngine::Reap() {
  if (reaped_ != posted_.size()) return ReapFrame();
  if (posted_.empty() || !TransmitDone()) return false;
  ForgetPosted(rx_tail_, tx_tail_);
  return true;
}

// When the last frame has arrived, its transmit descriptors are the device's until it says so.
std::size_t IgbEngine::Outstanding() const {
  return posted_.empty() ? 0 : std::max<std::size_t>(posted_.size() - reaped_, 1);
}

Result<void> IgbEngine::Halt(Deadline deadline) {
  mac_->MaskInterrupts();
  return mac_->StopQueues(deadline);
}

Result<void> IgbEngine::Continue(Deadline deadline) {
  while (reaped_ != posted_.size()) {
    const auto reaped = ReapFrame();
    if (!reaped) return std::unexpected(reaped.error());
    if (!*reaped) break;
  }
  // 8.12.13: enabling a queue initialises it. What had not arrived is posted again from slot 0: the
  // frames that were between transmit and receive when the queues stopped are lost.
  std::vector<Frame> again(posted_.begin() + static_cast<std::ptrdiff_t>(reaped_), posted_.end());
  ForgetPosted(0, 0);
  if (auto started = mac_->StartQueues(OurRings(), deadline); !started) return started;
  posted_ = std::move(again);
  for (std::size_t i = 0; i < posted_.size(); ++i) PutFrame(posted_[i], i + 1 == posted_.size());
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
  ForgetPosted(rx_tail, tx_tail);
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
                 const DriverOptions&) { return MakeDriver(device, LinkSettling()); }};
  return kEntry;
}

}  // namespace carryover::igb
