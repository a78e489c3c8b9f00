// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/virtio/virtio.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "drivers/contract/contract_driver.h"
#include "drivers/media/media_copies.h"
#include "drivers/virtio/request_queue.h"
#include "drivers/virtio/transport.h"

namespace carryover::virtio {
namespace {

constexpr std::uint32_t kPieceBytes = std::uint32_t{64} * 1024;
constexpr std::size_t kMaxCopy = std::size_t{256} * 1024;

constexpr std::uint16_t kCopyQueue = 0;
constexpr std::uint16_t kInterruptQueue = 1;
// For the reset when an interrupt is asked for by another vector.
constexpr std::chrono::seconds kResetPatience{1};

constexpr DriverTraits kTraits{.name = "virtio",
                               .region_size = ContractDriver::kStateSize + sizeof(RegionLayout),
                               .max_copy_bytes = kMaxCopy,
                               .max_in_flight = kSlots / (kMaxCopy / kPieceBytes),
                               .interrupt = InterruptKind::kMsix};

// What a driver must know of the disk.
struct Geometry {
  std::uint64_t sectors = 0;
  std::uint32_t block_size = 0;   // bytes
  std::uint32_t piece_bytes = 0;  // of a request, at most
  std::uint16_t queue_size = 0;   // descriptors of the copy queue
};

class VirtioEngine final : public Engine {
 public:
  VirtioEngine(PciDevice& device, const DriverOptions& options)
      : device_(device), options_(options) {}

  [[nodiscard]] const DriverTraits& traits() const override { return traits_; }
  [[nodiscard]] Result<void> Open() override;
  [[nodiscard]] Result<void> CheckPresent(std::string_view during) override {
    return transport_->CheckPresent(during);
  }
  [[nodiscard]] Result<void> Reset(Deadline deadline) override;
  [[nodiscard]] Result<void> BringUp(DmaRegion rings, Deadline deadline) override;
  [[nodiscard]] bool HasRoom(std::span<const DmaCopy> copies) const override {
    return media_->HasRoom(copies);
  }
  void Post(std::span<const DmaCopy> copies) override;
  [[nodiscard]] Result<bool> Reap() override;
  [[nodiscard]] std::size_t Outstanding() const override {
    return media_ ? media_->outstanding() : 0;
  }
  [[nodiscard]] Result<void> RaiseInterrupt(unsigned vector) override;
  [[nodiscard]] Result<void> Halt(Deadline deadline) override;
  [[nodiscard]] Result<void> Continue(Deadline deadline) override;
  [[nodiscard]] RingPositions Positions() const override;
  [[nodiscard]] Result<void> TakeOver(DmaRegion rings, const RingPositions& positions,
                                      bool running) override;

 private:
  void UseRings(DmaRegion rings, std::uint16_t queue_size);
  [[nodiscard]] Result<void> InterruptBy(unsigned vector);
  [[nodiscard]] Result<Geometry> ReadGeometry(std::uint64_t features);
  [[nodiscard]] Result<void> UseGeometry(const Geometry& geometry);
  [[nodiscard]] Result<void> StartQueues();
  [[nodiscard]] Iova At(std::size_t offset) const { return rings_.iova + offset; }
  void Put(std::uint32_t slot, std::uint32_t type);
  [[nodiscard]] Result<bool> TakeCompletions();
  void Ring(RequestQueue& queue, std::uint16_t number) {
    queue.Publish();
    transport_->Notify(number);
  }
  bool PutWrites();
  bool PutReads();

  PciDevice& device_;
  DriverOptions options_;
  DriverTraits traits_ = kTraits;
  std::optional<Transport> transport_;  // after Open()
  DmaRegion rings_;
  RegionLayout* memory_ = nullptr;
  Geometry geometry_;
  std::optional<MediaCopies> media_;  // once the geometry is known
  RequestQueue copies_;
  RequestQueue interrupts_;
  unsigned vector_ = kTraits.vector;  // of interrupts_
};

Result<void> VirtioEngine::Open() {
  if (transport_) return {};
  auto transport = Transport::Find(device_);
  if (!transport) return std::unexpected(transport.error());
  transport_ = *transport;
  return {};
}

Result<void> VirtioEngine::Reset(Deadline deadline) {
  if (media_) media_->Forget();
  return transport_->Reset(deadline);
}

void VirtioEngine::UseRings(DmaRegion rings, std::uint16_t queue_size) {
  rings_ = rings;
  memory_ = reinterpret_cast<RegionLayout*>(rings.memory.data());
  copies_ = RequestQueue(memory_->copies, At(offsetof(RegionLayout, copies)), queue_size);
  // Few requests at a time: the smallest queue will do.
  interrupts_ = RequestQueue(memory_->interrupts, At(offsetof(RegionLayout, interrupts)),
                             std::min<std::uint16_t>(queue_size, 4 * kChain));
}

Result<Geometry> VirtioEngine::ReadGeometry(std::uint64_t features) {
  Geometry geometry{.sectors = transport_->Config64(BlockConfig::kCapacity),
                    .block_size = BlockConfig::kSector,
                    .piece_bytes = kPieceBytes};
  if ((features & Feature::kBlockSize) != 0) {
    geometry.block_size = transport_->Config32(BlockConfig::kBlockSize);
  }
  if (geometry.block_size != 512 && geometry.block_size != 4096) {
    return Fail(ENOTSUP, fmt::format("virtio: blocks of {} bytes", geometry.block_size));
  }
  if ((features & Feature::kSizeMax) != 0) {
    const std::uint32_t most = transport_->Config32(BlockConfig::kSizeMax);
    geometry.piece_bytes = std::min(geometry.piece_bytes, most / 4096 * 4096);
  }
  if ((features & Feature::kSegMax) != 0 && transport_->Config32(BlockConfig::kSegMax) < 2) {
    return Fail(ENOTSUP, "virtio: requests of one segment, two are needed");
  }
  geometry.queue_size = std::min(kQueueSize, transport_->QueueSizeOf(kCopyQueue));
  return geometry;
}

Result<void> VirtioEngine::UseGeometry(const Geometry& geometry) {
  if (!options_.scratch) {
    return Fail(EINVAL,
                "virtio: no scratch blocks are named, and none is written without: give "
                "scratch=FIRST+COUNT with the device");
  }
  const auto slots = static_cast<std::uint32_t>(geometry.queue_size / kChain);
  traits_.max_in_flight = geometry.piece_bytes == 0 ? 0 : slots / (kMaxCopy / geometry.piece_bytes);
  if (traits_.max_in_flight == 0) {
    return Fail(ENOTSUP, fmt::format("virtio: {} requests of {} bytes are too few for a copy of {}",
                                     slots, geometry.piece_bytes, kMaxCopy));
  }
  auto media = MediaCopies::Create({.scratch = *options_.scratch,
                                    .block_size = geometry.block_size,
                                    .piece_bytes = geometry.piece_bytes,
                                    .slots = slots},
                                   geometry.sectors / (geometry.block_size / BlockConfig::kSector));
  if (!media) return Fail(media.error().code, "virtio: " + media.error().message);
  media_ = std::move(*media);
  geometry_ = geometry;
  return {};
}

// After a reset of the device.
Result<void> VirtioEngine::StartQueues() {
  copies_.Clear(false);
  interrupts_.Clear(true);
  if (auto done = transport_->SetUpQueue(kCopyQueue, copies_.place(), Common::kNoVector); !done) {
    return done;
  }
  if (auto done = transport_->SetUpQueue(kInterruptQueue, interrupts_.place(),
                                         static_cast<std::uint16_t>(vector_));
      !done) {
    return done;
  }
  transport_->Run();
  return {};
}

constexpr std::uint64_t kNeeded =
    Feature::kVersion1 | Feature::kAccessPlatform | Feature::kMultiQueue;
constexpr std::uint64_t kWanted =
    Feature::kSizeMax | Feature::kSegMax | Feature::kBlockSize | Feature::kReadOnly;
constexpr std::string_view kWhyNeeded =
    "it must be no legacy device, go through the IOMMU (QEMU: iommu_platform=on) and have two "
    "queues (QEMU: num-queues=2)";

Result<void> VirtioEngine::BringUp(DmaRegion rings, Deadline /*deadline*/) {
  const auto features = transport_->Agree(kNeeded, kWanted, kWhyNeeded);
  if (!features) return std::unexpected(features.error());
  if ((*features & Feature::kReadOnly) != 0) {
    return Fail(EINVAL, "virtio: the disk is read-only");
  }
  const auto geometry = ReadGeometry(*features);
  if (!geometry) return std::unexpected(geometry.error());
  if (auto used = UseGeometry(*geometry); !used) return used;
  UseRings(rings, geometry->queue_size);
  vector_ = kTraits.vector;
  std::ranges::fill(memory_->filler, std::byte{0});
  return StartQueues();
}

void VirtioEngine::Put(std::uint32_t slot, std::uint32_t type) {
  const MediaPiece& piece = media_->piece(slot);
  const bool write = type == RequestHeader::kOut;
  copies_.Put(
      static_cast<std::uint16_t>(slot),
      {.type = type, .sector = piece.first_block * (geometry_.block_size / BlockConfig::kSector)},
      {.address = write ? piece.source : piece.destination, .length = piece.bytes},
      {.address = At(write ? offsetof(RegionLayout, filler) : offsetof(RegionLayout, leftover)),
       .length = piece.blocks * geometry_.block_size - piece.bytes});
}

bool VirtioEngine::PutWrites() {
  bool any = false;
  while (const auto slot = media_->NextToWrite()) {
    Put(*slot, RequestHeader::kOut);
    any = true;
  }
  return any;
}

bool VirtioEngine::PutReads() {
  bool any = false;
  while (const auto slot = media_->NextToRead()) {
    Put(*slot, RequestHeader::kIn);
    any = true;
  }
  return any;
}

void VirtioEngine::Post(std::span<const DmaCopy> copies) {
  media_->Add(copies);
  if (PutWrites()) Ring(copies_, kCopyQueue);
}

Result<bool> VirtioEngine::TakeCompletions() {
  bool any = false;
  while (const auto done = copies_.Take()) {
    any = true;
    if (done->status != kOk) {
      return Fail(EIO, fmt::format("virtio: the request of slot {} failed: status {}", done->slot,
                                   done->status));
    }
    if (!media_->Completed(done->slot)) {
      return Fail(EIO,
                  fmt::format("virtio: slot {} was completed, which had no request", done->slot));
    }
  }
  return any;
}

Result<bool> VirtioEngine::Reap() {
  auto any = TakeCompletions();
  if (any && PutReads()) Ring(copies_, kCopyQueue);
  return any;
}

// 4.1.4.3.2: a queue's vector is set before the queue is enabled, and a reset disables it.
Result<void> VirtioEngine::InterruptBy(unsigned vector) {
  if (vector == vector_) return {};
  const Deadline deadline = Deadline::After(kResetPatience);
  if (auto halted = Halt(deadline); !halted) return halted;
  vector_ = vector;
  return Continue(deadline);
}

Result<void> VirtioEngine::RaiseInterrupt(unsigned vector) {
  if (auto ready = InterruptBy(vector); !ready) return ready;
  while (interrupts_.Take()) continue;
  const auto slot = static_cast<std::uint16_t>(interrupts_.index() % interrupts_.slots());
  interrupts_.Put(
      slot, {.type = RequestHeader::kGetId},
      {.address = At(offsetof(RegionLayout, leftover)), .length = RequestHeader::kIdBytes}, {});
  Ring(interrupts_, kInterruptQueue);
  return {};
}

// 2.4: a device that is reset does nothing, whatever it was at; it forgets its queues, too.
Result<void> VirtioEngine::Halt(Deadline deadline) {
  if (auto present = CheckPresent("Quiesce()"); !present) return present;
  if (const auto taken = TakeCompletions(); !taken) return std::unexpected(taken.error());
  return transport_->Reset(deadline);
}

Result<void> VirtioEngine::Continue(Deadline /*deadline*/) {
  if (auto present = CheckPresent("Resume()"); !present) return present;
  const auto features = transport_->Agree(kNeeded, kWanted, kWhyNeeded);
  if (!features) return std::unexpected(features.error());
  if (auto started = StartQueues(); !started) return started;
  media_->BeginAgain();
  if (PutWrites()) Ring(copies_, kCopyQueue);
  return {};
}

RingPositions VirtioEngine::Positions() const {
  return {copies_.index(),
          interrupts_.index(),
          geometry_.block_size,
          geometry_.piece_bytes,
          geometry_.queue_size,
          static_cast<std::uint32_t>(geometry_.sectors),
          static_cast<std::uint32_t>(geometry_.sectors >> 32),
          vector_};
}

// The queue's selector is written: how else could it be seen where its rings are.
Result<void> VirtioEngine::TakeOver(DmaRegion rings, const RingPositions& positions, bool running) {
  const Geometry geometry{.sectors = positions[5] | std::uint64_t{positions[6]} << 32,
                          .block_size = positions[2],
                          .piece_bytes = positions[3],
                          .queue_size = static_cast<std::uint16_t>(positions[4])};
  if ((geometry.block_size != 512 && geometry.block_size != 4096) || geometry.piece_bytes == 0 ||
      geometry.queue_size > kQueueSize) {
    return Fail(EINVAL, "virtio: Attach(): the saved geometry is none");
  }
  const auto not_as_saved = [] {
    return Fail(EIO,
                "virtio: Attach(): the device is not as it was saved: it was reset or used "
                "since");
  };
  if (transport_->status() != (running ? Status::kRunning : 0)) return not_as_saved();
  UseRings(rings, geometry.queue_size);
  vector_ = positions[7];
  copies_.ResumeAt(static_cast<std::uint16_t>(positions[0]));
  interrupts_.ResumeAt(static_cast<std::uint16_t>(positions[1]));
  if (running &&
      (transport_->PlaceOf(kCopyQueue) != copies_.place() ||
       transport_->PlaceOf(kInterruptQueue) != interrupts_.place() || !copies_.IsIdle())) {
    return not_as_saved();
  }
  return UseGeometry(geometry);
}

}  // namespace

const DriverEntry& Entry() {
  static constexpr DriverEntry kEntry{
      .name = kTraits.name,
      .probe = [](const PciKind& kind) { return kind.id == kBlock; },
      .make = [](PciDevice& device, const DriverOptions& options) -> std::unique_ptr<Driver> {
        return std::make_unique<ContractDriver>(device,
                                                std::make_unique<VirtioEngine>(device, options));
      }};
  return kEntry;
}

}  // namespace carryover::virtio
