// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/igb/igb.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <memory>
#include <thread>
#include <vector>

#include "drivers/igb/mac.h"
#include "drivers/igb/region.h"

namespace carryover::igb {
namespace {

constexpr std::size_t kPage = 4096;

// Never more than a quarter of a second on the ring at 1 Gb/s; some 130 frames.
constexpr std::size_t kMaxCopy = std::size_t{1} << 20;
constexpr std::size_t kMaxFrames = kMaxCopy / kFramePayload + 1;  // a copy that begins in mid-page
constexpr std::uint32_t kMaxTxPerFrame = 1 + kFramePayload / kPage;  // header, a piece a page
constexpr std::size_t kMaxInFlight = std::min<std::size_t>(
    (kRxRingSize - 1) / kMaxFrames, (kTxRingSize - 1) / (kMaxFrames * kMaxTxPerFrame));

constexpr DriverTraits kTraits{.name = "igb",
                               .region_size = sizeof(RegionLayout),
                               .max_copy_bytes = kMaxCopy,
                               .max_in_flight = kMaxInFlight,
                               .interrupt = InterruptKind::kMsix};

// Bytes of the next frame of what is left of a copy. Frames end where pages of the source end, so
// that each lies in at most two pages: QEMU maps a transmit buffer in one piece, and drops the
// frame if the pages are not neighbours in physical memory. Hardware does not care.
std::uint32_t FrameBytes(const DmaCopy& rest) {
  const std::size_t room = kFramePayload - rest.source % kPage;
  return static_cast<std::uint32_t>(std::min(room, rest.length));
}

// Calls `visit(source, destination, bytes)` for each frame of a copy.
template <typename Visit>
void ForEachFrame(DmaCopy rest, Visit visit) {
  while (rest.length != 0) {
    const std::uint32_t bytes = FrameBytes(rest);
    visit(rest.source, rest.destination, bytes);
    rest.source += bytes;
    rest.destination += bytes;
    rest.length -= bytes;
  }
}

std::uint32_t TxDescriptors(Iova source, std::uint32_t bytes) {
  return 1 + static_cast<std::uint32_t>((source % kPage + bytes + kPage - 1) / kPage);
}

class IgbDriver final : public Driver {
 public:
  IgbDriver(PciDevice& device, LinkSettling settling) : device_(device), settling_(settling) {}

  [[nodiscard]] const DriverTraits& traits() const override { return kTraits; }
  [[nodiscard]] Result<void> Start(DmaRegion region, Deadline deadline) override;
  [[nodiscard]] Result<void> Copy(std::span<const DmaCopy> copies) override;
  [[nodiscard]] Result<void> Wait(Deadline deadline) override;
  [[nodiscard]] Result<void> RaiseInterrupt() override;
  [[nodiscard]] Result<void> Quiesce(Deadline deadline) override;
  [[nodiscard]] Result<void> Resume(Deadline deadline) override;
  [[nodiscard]] Result<void> Save() override;
  [[nodiscard]] Result<void> Attach(DmaRegion region) override;
  [[nodiscard]] Result<void> Stop(Deadline deadline) override;

 private:
  enum class State : std::uint8_t { kStopped, kRunning, kQuiesced, kFailed };

  struct Frame {
    Iova source = 0;
    Iova destination = 0;
    std::uint32_t bytes = 0;
  };

  [[nodiscard]] Result<void> UseRegion(DmaRegion region);
  [[nodiscard]] Result<void> OpenMac();
  [[nodiscard]] Rings OurRings() const;
  [[nodiscard]] Iova At(std::size_t offset) const { return region_.iova + offset; }
  [[nodiscard]] Result<void> Require(State state, const char* operation) const;
  void ForgetPosted(std::uint32_t rx_tail, std::uint32_t tx_tail);
  void PutFrame(const Frame& frame, bool last);
  void RingDoorbell();
  [[nodiscard]] Result<bool> ReapFrame();
  [[nodiscard]] bool TransmitDone();
  [[nodiscard]] Result<void> WaitPosted(Deadline deadline);

  PciDevice& device_;
  LinkSettling settling_;
  std::unique_ptr<Mac> mac_;  // null before the first use of the device
  DmaRegion region_;
  RegionLayout* memory_ = nullptr;
  State state_ = State::kStopped;
  std::uint32_t rx_tail_ = 0;    // where the next frame goes
  std::uint32_t tx_tail_ = 0;    // where the next transmit descriptor goes
  std::uint32_t tx_posted_ = 0;  // transmit descriptors since the last Wait()
  std::uint32_t tx_last_ = 0;    // the last posted one that reports its status
  std::vector<Frame> posted_;    // since the last Wait()
  std::size_t reaped_ = 0;       // how many of posted_ have arrived
};

Result<void> IgbDriver::OpenMac() {
  auto bar = device_.Bar(0);
  if (!bar) return std::unexpected(bar.error());
  // QEMU's devices without a subsystem of their own carry Red Hat's vendor id (0x1af4).
  constexpr std::size_t kSubsystemVendor = 0x2c;
  auto subsystem = device_.ReadConfig(kSubsystemVendor, 2);
  if (!subsystem) return std::unexpected(subsystem.error());
  mac_ = std::make_unique<Mac>(**bar, *subsystem == 0x1af4, settling_);
  return {};
}

Result<void> IgbDriver::UseRegion(DmaRegion region) {
  if (region.memory.size() < sizeof(RegionLayout) || region.iova % kPage != 0 ||
      reinterpret_cast<std::uintptr_t>(region.memory.data()) % kPage != 0) {
    return Fail(EINVAL,
                fmt::format("igb: the region must be page aligned and hold {} bytes; it has "
                            "{} at IOVA {:#x}",
                            sizeof(RegionLayout), region.memory.size(), region.iova));
  }
  region_ = region;
  memory_ = reinterpret_cast<RegionLayout*>(region.memory.data());
  return {};
}

Rings IgbDriver::OurRings() const {
  return {.tx = At(offsetof(RegionLayout, tx)),
          .rx = At(offsetof(RegionLayout, rx)),
          .tx_size = kTxRingSize,
          .rx_size = kRxRingSize};
}

Result<void> IgbDriver::Require(State state, const char* operation) const {
  if (state_ == state) return {};
  constexpr std::string_view kNames[] = {"stopped", "running", "quiesced", "failed"};
  return Fail(state_ == State::kFailed ? EIO : EINVAL,
              fmt::format("igb: {}: the driver is {}", operation,
                          kNames[static_cast<std::size_t>(state_)]));
}

void IgbDriver::ForgetPosted(std::uint32_t rx_tail, std::uint32_t tx_tail) {
  rx_tail_ = rx_tail;
  tx_tail_ = tx_tail;
  tx_posted_ = 0;
  posted_.clear();
  reaped_ = 0;
}

Result<void> IgbDriver::Start(DmaRegion region, Deadline deadline) {
  state_ = State::kStopped;
  if (auto usable = UseRegion(region); !usable) return usable;
  if (auto mac = OpenMac(); !mac) return mac;
  memory_->saved = SavedState{.magic = 0};
  ForgetPosted(0, 0);
  posted_.reserve(kRxRingSize);
  FrameHeader header;
  constexpr std::uint64_t kStation = Mac::StationAddress();
  std::memcpy(header.destination, &kStation, sizeof(header.destination));
  std::memcpy(header.source, &kStation, sizeof(header.source));
  for (; header.slot < kRxRingSize; ++header.slot) memory_->tx_headers[header.slot] = header;

  if (auto reset = mac_->Reset(deadline); !reset) return reset;
  if (auto master = device_.SetBusMaster(true); !master) return master;
  if (auto loop = mac_->StartLoopback(deadline); !loop) return loop;
  mac_->Configure(kFramePayload);
  if (auto queues = mac_->StartQueues(OurRings(), deadline); !queues) return queues;
  mac_->UnmaskInterrupt();
  state_ = State::kRunning;
  return {};
}

Result<void> IgbDriver::Copy(std::span<const DmaCopy> copies) {
  if (auto running = Require(State::kRunning, "Copy()"); !running) return running;
  std::size_t frames = 0;
  std::size_t descriptors = 0;
  for (const DmaCopy& copy : copies) {
    constexpr Iova kLast = std::numeric_limits<Iova>::max();
    if (copy.length == 0 || copy.length > kMaxCopy || copy.destination == 0 ||
        std::max(copy.source, copy.destination) > kLast - (copy.length - 1)) {
      return Fail(EINVAL,
                  fmt::format("igb: a copy of {} bytes from IOVA {:#x} to {:#x}: a copy has "
                              "1 to {} bytes, and is not to IOVA 0 nor beyond the last",
                              copy.length, copy.source, copy.destination, kMaxCopy));
    }
    ForEachFrame(copy, [&](Iova source, Iova, std::uint32_t bytes) {
      ++frames;
      descriptors += TxDescriptors(source, bytes);
    });
  }
  // A ring whose tail meets its head is empty: one descriptor stays unused.
  if (posted_.size() + frames > kRxRingSize - 1 || tx_posted_ + descriptors > kTxRingSize - 1) {
    return Fail(ENOSPC, fmt::format("igb: {} more frames do not fit beside {}: Wait() first",
                                    frames, posted_.size()));
  }
  if (frames == 0) return {};
  const std::size_t all = posted_.size() + frames;
  for (const DmaCopy& copy : copies) {
    ForEachFrame(copy, [&](Iova source, Iova destination, std::uint32_t bytes) {
      posted_.push_back({source, destination, bytes});
      PutFrame(posted_.back(), posted_.size() == all);
    });
  }
  RingDoorbell();
  return {};
}

// Fills the next receive descriptor and the frame's transmit descriptors. `last`: of the batch;
// only there the device is asked to report, as a report says that all before is done, too.
void IgbDriver::PutFrame(const Frame& frame, bool last) {
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
  for (std::uint32_t done = 0; done < frame.bytes;) {
    const Iova address = frame.source + done;
    const auto bytes = static_cast<std::uint32_t>(
        std::min<std::size_t>(kPage - address % kPage, frame.bytes - done));
    done += bytes;
    put(address, bytes,
        done < frame.bytes ? 0
                           : TxDescriptor::kEndOfPacket | (last ? TxDescriptor::kReportStatus : 0));
  }
}

void IgbDriver::RingDoorbell() {
  DmaWriteBarrier();
  mac_->Post(rx_tail_, tx_tail_);
}

// Takes note of the next posted frame, if it has arrived. False if it has not.
Result<bool> IgbDriver::ReapFrame() {
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
    state_ = State::kFailed;
    return Fail(EIO, fmt::format("igb: frame {} of {} ({} bytes to IOVA {:#x}) arrived wrong: "
                                 "status {:#010x}, {} bytes, meant for slot {}, in slot {}",
                                 reaped_, posted_.size(), frame.bytes, frame.destination, status,
                                 descriptor.length(), arrived, slot));
  }
  ++reaped_;
  return true;
}

bool IgbDriver::TransmitDone() {
  return (std::atomic_ref(memory_->tx[tx_last_].status).load(std::memory_order_acquire) &
          TxDescriptor::kDone) != 0;
}

Result<void> IgbDriver::WaitPosted(Deadline deadline) {
  constexpr unsigned kSpins = 100;
  for (unsigned idle = 0; reaped_ != posted_.size() || !TransmitDone();) {
    const bool last = deadline.Passed();  // what has arrived by the deadline still counts
    bool arrived = false;
    if (reaped_ != posted_.size()) {
      const auto reaped = ReapFrame();
      if (!reaped) return std::unexpected(reaped.error());
      arrived = *reaped;
    }
    if (arrived) {
      idle = 0;
      continue;
    }
    if (last) {
      if (auto present = mac_->CheckPresent("Wait()"); !present) return present;
      return Fail(ETIMEDOUT,
                  fmt::format("igb: {} of {} posted frames have arrived", reaped_, posted_.size()));
    }
    if (++idle < kSpins) continue;
    // An MMIO read stops a virtual CPU: only now and then.
    if (idle % kSpins == 0) {
      if (auto present = mac_->CheckPresent("Wait()"); !present) return present;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
  return {};
}

Result<void> IgbDriver::Wait(Deadline deadline) {
  if (auto running = Require(State::kRunning, "Wait()"); !running) return running;
  if (posted_.empty()) return mac_->CheckPresent("Wait()");
  if (auto done = WaitPosted(deadline); !done) {
    state_ = State::kFailed;
    return done;
  }
  ForgetPosted(rx_tail_, tx_tail_);
  return {};
}

Result<void> IgbDriver::RaiseInterrupt() {
  if (auto running = Require(State::kRunning, "RaiseInterrupt()"); !running) return running;
  if (auto present = mac_->CheckPresent("RaiseInterrupt()"); !present) return present;
  mac_->RaiseInterrupt();
  return {};
}

Result<void> IgbDriver::Quiesce(Deadline deadline) {
  if (state_ == State::kQuiesced) return {};
  if (auto running = Require(State::kRunning, "Quiesce()"); !running) return running;
  mac_->MaskInterrupts();
  if (auto stopped = mac_->StopQueues(deadline); !stopped) {
    state_ = State::kFailed;
    return stopped;
  }
  state_ = State::kQuiesced;
  return {};
}

Result<void> IgbDriver::Resume(Deadline deadline) {
  if (auto quiesced = Require(State::kQuiesced, "Resume()"); !quiesced) return quiesced;
  while (reaped_ != posted_.size()) {
    const auto reaped = ReapFrame();
    if (!reaped) return std::unexpected(reaped.error());
    if (!*reaped) break;
  }
  // 8.12.13: enabling a queue initialises it. What had not arrived is posted again from slot 0: the
  // frames that were between transmit and receive when the queues stopped are lost.
  std::vector<Frame> again(posted_.begin() + static_cast<std::ptrdiff_t>(reaped_), posted_.end());
  ForgetPosted(0, 0);
  if (auto started = mac_->StartQueues(OurRings(), deadline); !started) {
    state_ = State::kFailed;
    return started;
  }
  posted_ = std::move(again);
  for (std::size_t i = 0; i < posted_.size(); ++i) PutFrame(posted_[i], i + 1 == posted_.size());
  if (!posted_.empty()) RingDoorbell();
  mac_->UnmaskInterrupt();
  state_ = State::kRunning;
  return {};
}

Result<void> IgbDriver::Save() {
  if (state_ != State::kQuiesced) {
    if (auto running = Require(State::kRunning, "Save()"); !running) return running;
  }
  if (!posted_.empty()) {
    return Fail(EBUSY,
                fmt::format("igb: Save(): {} posted frames were not waited for", posted_.size()));
  }
  if (auto present = mac_->CheckPresent("Save()"); !present) return present;
  const PciId id = device_.id();
  SavedState saved{.vendor = id.vendor,
                   .device = id.device,
                   .iova = region_.iova,
                   .tx_tail = tx_tail_,
                   .rx_tail = rx_tail_,
                   .running = state_ == State::kRunning};
  saved.checksum = Checksum(saved);
  memory_->saved = saved;
  return {};
}

Result<void> IgbDriver::Attach(DmaRegion region) {
  if (auto stopped = Require(State::kStopped, "Attach()"); !stopped) return stopped;
  if (auto usable = UseRegion(region); !usable) return usable;
  const SavedState saved = memory_->saved;
  const PciId id = device_.id();
  if (saved.magic != SavedState::kMagic) {
    return Fail(EINVAL, "igb: Attach(): the region has no saved state");
  }
  if (saved.version != SavedState::kVersion) {
    return Fail(EINVAL, fmt::format("igb: Attach(): saved state of version {}, this driver has {}",
                                    saved.version, SavedState::kVersion));
  }
  if (saved.checksum != Checksum(saved)) {
    return Fail(EINVAL, "igb: Attach(): the saved state's checksum is wrong");
  }
  if (saved.vendor != id.vendor || saved.device != id.device || saved.iova != region.iova ||
      saved.tx_tail >= kTxRingSize || saved.rx_tail >= kRxRingSize) {
    return Fail(EINVAL, fmt::format("igb: Attach(): saved for {} at IOVA {:#x}, not {} at {:#x}",
                                    PciId{saved.vendor, saved.device}.ToString(), saved.iova,
                                    id.ToString(), region.iova));
  }
  if (auto mac = OpenMac(); !mac) return mac;
  if (auto present = mac_->CheckPresent("Attach()"); !present) return present;
  constexpr std::size_t kCommand = 0x04;
  constexpr std::uint32_t kBusMaster = 0x4;
  const auto command = device_.ReadConfig(kCommand, 2);
  if (!command) return std::unexpected(command.error());
  const bool running = saved.running != 0;
  if (mac_->ReadRings() != OurRings() || !mac_->IdleAt(saved.rx_tail, saved.tx_tail) ||
      mac_->QueuesRunning() != running || (*command & kBusMaster) == 0) {
    return Fail(EIO, fmt::format("igb: Attach(): the device is not as it was saved (queues {}, bus "
                                 "master {}): it was reset or used since",
                                 mac_->QueuesRunning() ? "running" : "stopped",
                                 (*command & kBusMaster) != 0 ? "on" : "off"));
  }
  posted_.reserve(kRxRingSize);
  ForgetPosted(saved.rx_tail, saved.tx_tail);
  state_ = running ? State::kRunning : State::kQuiesced;
  return {};
}

Result<void> IgbDriver::Stop(Deadline deadline) {
  Result<void> first;
  const auto keep = [&first](Result<void> result) {
    if (first && !result) first = std::move(result);
  };
  if (!mac_) keep(OpenMac());
  if (mac_) {
    keep(mac_->Reset(deadline));
    if (first) keep(mac_->EndLoopback(deadline));
  }
  keep(device_.SetBusMaster(false));
  state_ = State::kStopped;
  ForgetPosted(0, 0);
  return first;
}

}  // namespace

std::unique_ptr<Driver> MakeDriver(PciDevice& device, LinkSettling settling) {
  return std::make_unique<IgbDriver>(device, settling);
}

const DriverEntry& Entry() {
  static constexpr DriverEntry kEntry{.name = kTraits.name,
                                      .probe = [](PciId id) { return id == k82576; },
                                      .make = [](PciDevice& device) -> std::unique_ptr<Driver> {
                                        return MakeDriver(device, LinkSettling());
                                      }};
  return kEntry;
}

}  // namespace carryover::igb
