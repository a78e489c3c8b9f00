// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/nvme/nvme.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "drivers/contract/contract_driver.h"
#include "drivers/media/media_copies.h"
#include "drivers/nvme/controller.h"

namespace carryover::nvme {
namespace {

constexpr std::uint32_t kPage = 4096;
constexpr std::uint32_t kPieceBytes = kListEntries * kPage;
constexpr std::size_t kMaxCopy = std::size_t{256} * 1024;

constexpr unsigned kCopyQueue = 1;
constexpr unsigned kInterruptQueue = 2;
constexpr unsigned kVector = 1;
// For the commands that create and delete a queue when an interrupt is asked for.
constexpr std::chrono::seconds kAdminPatience{1};

constexpr DriverTraits kTraits{.name = "nvme",
                               .region_size = ContractDriver::kStateSize + sizeof(RegionLayout),
                               .max_copy_bytes = kMaxCopy,
                               .max_in_flight = kSlots / (kMaxCopy / kPieceBytes),
                               .interrupt = InterruptKind::kMsix,
                               .vector = kVector,
                               .hands_over_posted = true};

class NvmeEngine final : public Engine {
 public:
  NvmeEngine(PciDevice& device, const DriverOptions& options)
      : device_(device), options_(options) {}

  [[nodiscard]] const DriverTraits& traits() const override { return traits_; }
  [[nodiscard]] Result<void> Open() override;
  [[nodiscard]] Result<void> CheckPresent(std::string_view during) override {
    return controller_->CheckPresent(during);
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
  void StorePosted() override;
  [[nodiscard]] RingPositions Positions() const override;
  [[nodiscard]] Result<void> TakeOver(DmaRegion rings, const RingPositions& positions,
                                      bool running) override;

 private:
  void UseRings(DmaRegion rings);
  [[nodiscard]] Result<void> UseGeometry(const Geometry& geometry);
  [[nodiscard]] Result<void> StartQueues(Deadline deadline);
  [[nodiscard]] Result<void> CreateInterruptQueue(unsigned vector);
  [[nodiscard]] Result<void> InterruptBy(unsigned vector);
  void ReleaseInterrupts();
  void StoreLivePositions();
  [[nodiscard]] Iova At(std::size_t offset) const { return rings_.iova + offset; }
  [[nodiscard]] Iova ListOf(std::uint32_t slot) const {
    return At(offsetof(RegionLayout, lists) + slot * sizeof(DataList));
  }
  [[nodiscard]] Command CommandFor(std::uint32_t slot, IoOpcode opcode);
  void PointBySgl(Command& command, std::uint32_t slot, Iova data, Iova rest);
  void PointByPrp(Command& command, std::uint32_t slot, Iova data);
  // True if any command was put.
  bool PutWrites();
  bool PutReads();
  [[nodiscard]] Result<bool> TakeCompletions();
  [[nodiscard]] Result<void> Complete(const Completion& completion);
  // Entries of the copy queues.
  [[nodiscard]] std::uint32_t CopyEntries() {
    return std::min(kCopyEntries, controller_->cap().max_queue_entries());
  }

  PciDevice& device_;
  DriverOptions options_;
  DriverTraits traits_ = kTraits;
  std::optional<Controller> controller_;  // after Open()
  Mmio* bar_ = nullptr;
  DmaRegion rings_;
  RegionLayout* memory_ = nullptr;
  Geometry geometry_;
  std::optional<MediaCopies> media_;  // once the geometry is known
  QueuePair copy_queue_;
  std::optional<QueuePair> interrupt_queue_;  // once an interrupt was asked for,
  unsigned interrupt_vector_ = 0;             // by this vector
};

Result<void> NvmeEngine::Open() {
  if (controller_) return {};
  const auto bar = device_.Bar(0);
  if (!bar) return std::unexpected(bar.error());
  bar_ = *bar;
  controller_.emplace(*bar_);
  return {};
}

Result<void> NvmeEngine::Reset(Deadline deadline) {
  if (media_) media_->Forget();
  return controller_->Disable(deadline);
}

void NvmeEngine::UseRings(DmaRegion rings) {
  rings_ = rings;
  memory_ = reinterpret_cast<RegionLayout*>(rings.memory.data());
}

Result<void> NvmeEngine::UseGeometry(const Geometry& geometry) {
  geometry_ = geometry;
  if (!options_.scratch) {
    return Fail(EINVAL,
                "nvme: no scratch blocks are named, and none is written without: give "
                "scratch=FIRST+COUNT with the device");
  }
  // A ring whose tail meets its head is empty: one entry stays unused.
  const std::uint32_t slots = std::min(kSlots, CopyEntries() - 1);
  const std::uint32_t piece = std::min(kPieceBytes, geometry.max_transfer);
  traits_.max_in_flight = slots / (kMaxCopy / piece);
  if (traits_.max_in_flight == 0) {
    return Fail(ENOTSUP, fmt::format("nvme: {} commands of {} bytes are too few for a copy of {}",
                                     slots, piece, kMaxCopy));
  }
  traits_.alignment = geometry.any_sgl ? 1 : geometry.block_size;
  auto media = MediaCopies::Create({.scratch = *options_.scratch,
                                    .block_size = geometry.block_size,
                                    .piece_bytes = piece,
                                    .slots = slots},
                                   geometry.blocks);
  if (!media) return Fail(media.error().code, "nvme: " + media.error().message);
  media_ = std::move(*media);
  return {};
}

Result<void> NvmeEngine::StartQueues(Deadline deadline) {
  if (auto enabled = controller_->Enable(*memory_, rings_.iova, deadline); !enabled) return enabled;
  const auto geometry = controller_->Identify(deadline);
  if (!geometry) return std::unexpected(geometry.error());
  if (!media_) {
    if (auto used = UseGeometry(*geometry); !used) return used;
  } else if (*geometry != geometry_) {
    return Fail(EIO, fmt::format("nvme: namespace 1 has changed: {} blocks of {} bytes, it had {} "
                                 "of {}",
                                 geometry->blocks, geometry->block_size, geometry_.blocks,
                                 geometry_.block_size));
  }
  if (auto granted = controller_->AskForQueues(deadline); !granted) return granted;
  const std::size_t stride = controller_->cap().doorbell_stride();
  const std::uint32_t entries = CopyEntries();
  copy_queue_ = QueuePair(kCopyQueue, std::span(memory_->copy_sq).first(entries),
                          std::span(memory_->copy_cq).first(entries), *bar_, stride);
  interrupt_queue_.reset();
  auto created = controller_->CreateQueues(kCopyQueue, At(offsetof(RegionLayout, copy_sq)),
                                           At(offsetof(RegionLayout, copy_cq)), entries,
                                           std::nullopt, deadline);
  StoreLivePositions();
  return created;
}

void NvmeEngine::StoreLivePositions() {
  memory_->live = {.admin = controller_->admin().position().Pack(),
                   .interrupt = interrupt_queue_ ? interrupt_queue_->position().Pack() : 0,
                   .interrupt_vector = interrupt_queue_ ? interrupt_vector_ : 0};
}

// Base 5.4.1: a queue can have a vector other than 0 only while MSI-X is enabled, which it need not
// be before an interrupt is asked for.
Result<void> NvmeEngine::CreateInterruptQueue(unsigned vector) {
  const std::uint32_t entries = std::min(kInterruptEntries, controller_->cap().max_queue_entries());
  interrupt_queue_ = QueuePair(kInterruptQueue, std::span(memory_->interrupt_sq).first(entries),
                               std::span(memory_->interrupt_cq).first(entries), *bar_,
                               controller_->cap().doorbell_stride());
  auto created = controller_->CreateQueues(
      kInterruptQueue, At(offsetof(RegionLayout, interrupt_sq)),
      At(offsetof(RegionLayout, interrupt_cq)), entries, vector, Deadline::After(kAdminPatience));
  if (!created) interrupt_queue_.reset();
  interrupt_vector_ = vector;
  return created;
}

// QEMU's controller raises a vector once more when it deletes queues with completions that were not
// released.
void NvmeEngine::ReleaseInterrupts() {
  if (!interrupt_queue_) return;
  bool any = false;
  while (interrupt_queue_->Take()) any = true;
  if (any) interrupt_queue_->Release();
}

// A completion queue keeps the vector that it was created with.
Result<void> NvmeEngine::InterruptBy(unsigned vector) {
  if (interrupt_queue_ && interrupt_vector_ == vector) return {};
  if (interrupt_queue_) {
    auto deleted = controller_->DeleteQueues(kInterruptQueue, Deadline::After(kAdminPatience));
    if (!deleted) return deleted;
  }
  return CreateInterruptQueue(vector);
}

Result<void> NvmeEngine::BringUp(DmaRegion rings, Deadline deadline) {
  const auto vectors = device_.InterruptVectors(InterruptKind::kMsix);
  if (!vectors) return std::unexpected(vectors.error());
  if (*vectors <= kVector) {
    return Fail(ENOTSUP, fmt::format("nvme: {} MSI-X vectors, two are needed", *vectors));
  }
  UseRings(rings);
  std::ranges::fill(memory_->filler, std::byte{0});
  media_.reset();
  return StartQueues(deadline);
}

void NvmeEngine::PointBySgl(Command& command, std::uint32_t slot, Iova data, Iova rest) {
  const MediaPiece& piece = media_->piece(slot);
  const SglDescriptor whole{.address = data, .length = piece.bytes};
  SglDescriptor first = whole;
  if (const std::uint32_t left = piece.blocks * geometry_.block_size - piece.bytes; left != 0) {
    memory_->lists[slot].sgl = {whole, SglDescriptor{.address = rest, .length = left}};
    first = {.address = ListOf(slot),
             .length = 2 * sizeof(SglDescriptor),
             .type = SglDescriptor::kLastSegment};
  }
  command.flags = Command::kSgl;
  static_assert(sizeof(first) == sizeof(command.data));
  std::memcpy(command.data, &first, sizeof(first));
}

// Base 4.1.1: the first entry may begin within a page, the others begin pages; more than two are in
// a list.
void NvmeEngine::PointByPrp(Command& command, std::uint32_t slot, Iova data) {
  const std::uint64_t bytes = media_->piece(slot).bytes;
  const std::uint64_t in_first = std::min(bytes, kPage - data % kPage);
  const std::uint64_t pages = (bytes - in_first + kPage - 1) / kPage;
  command.data[0] = data;
  if (pages == 0) return;
  command.data[1] = data + in_first;
  if (pages == 1) return;
  for (std::uint64_t i = 0; i < pages; ++i) {
    memory_->lists[slot].prp.at(i) = command.data[1] + i * kPage;
  }
  command.data[1] = ListOf(slot);
}

Command NvmeEngine::CommandFor(std::uint32_t slot, IoOpcode opcode) {
  const MediaPiece& piece = media_->piece(slot);
  const bool write = opcode == kWrite;
  const Iova data = write ? piece.source : piece.destination;
  Command command{.opcode = opcode,
                  .id = static_cast<std::uint16_t>(write ? slot : kReadIds + slot),
                  .namespace_id = 1,
                  .cdw10 = static_cast<std::uint32_t>(piece.first_block),
                  .cdw11 = static_cast<std::uint32_t>(piece.first_block >> 32),
                  .cdw12 = piece.blocks - 1};
  if (geometry_.any_sgl) {
    PointBySgl(command, slot, data,
               At(write ? offsetof(RegionLayout, filler) : offsetof(RegionLayout, leftover)));
  } else {
    PointByPrp(command, slot, data);
  }
  return command;
}

bool NvmeEngine::PutWrites() {
  bool any = false;
  while (const auto slot = media_->NextToWrite()) {
    copy_queue_.Put(CommandFor(*slot, kWrite));
    any = true;
  }
  return any;
}

bool NvmeEngine::PutReads() {
  bool any = false;
  while (const auto slot = media_->NextToRead()) {
    copy_queue_.Put(CommandFor(*slot, kRead));
    any = true;
  }
  return any;
}

void NvmeEngine::Post(std::span<const DmaCopy> copies) {
  media_->Add(copies);
  if (PutWrites()) copy_queue_.Ring();
}

// A completion is of a command that is outstanding, and comes once.
Result<void> NvmeEngine::Complete(const Completion& completion) {
  using State = MediaCopies::State;
  const std::uint32_t id = completion.command_id;
  const std::uint32_t slot = id % kReadIds;
  const bool read = id >= kReadIds;
  if (completion.sq_id != kCopyQueue || completion.sq_head >= copy_queue_.entries() ||
      id >= 2 * kReadIds || !media_->Is(read ? State::kReading : State::kWriting, slot)) {
    return Fail(EIO, fmt::format("nvme: command {} of queue {} was completed, which is not "
                                 "outstanding: it was never posted, or is completed already",
                                 id, completion.sq_id));
  }
  if (completion.failed()) {
    return Fail(EIO, fmt::format("nvme: the {} of slot {} failed: {}", read ? "read" : "write",
                                 slot, StatusOf(completion)));
  }
  (void)media_->Completed(slot);
  return {};
}

Result<bool> NvmeEngine::TakeCompletions() {
  bool any = false;
  while (const auto completion = copy_queue_.Take()) {
    any = true;
    if (auto known = Complete(*completion); !known) return std::unexpected(known.error());
  }
  if (any) copy_queue_.Release();
  return any;
}

Result<bool> NvmeEngine::Reap() {
  auto any = TakeCompletions();
  if (any && PutReads()) copy_queue_.Ring();
  return any;
}

// A read of a block that is ours, into memory that is not looked at: unlike a flush it changes
// nothing on the disk, and unlike a compare it does not depend on what is there.
Result<void> NvmeEngine::RaiseInterrupt(unsigned vector) {
  ReleaseInterrupts();
  auto ready = InterruptBy(vector);
  StoreLivePositions();
  if (!ready) return ready;
  if (interrupt_queue_->full()) {
    return Fail(ENOSPC, fmt::format("nvme: {} interrupts were asked for, and have not come",
                                    interrupt_queue_->outstanding()));
  }
  const std::uint64_t block = options_.scratch->first;
  interrupt_queue_->Put({.opcode = kRead,
                         .id = interrupt_queue_->position().tail,
                         .namespace_id = 1,
                         .data = {At(offsetof(RegionLayout, leftover)), 0},
                         .cdw10 = static_cast<std::uint32_t>(block),
                         .cdw11 = static_cast<std::uint32_t>(block >> 32)});
  StoreLivePositions();
  interrupt_queue_->Ring();
  return {};
}

// Disabled, a controller does nothing, whatever it was at; it forgets its queues, too. To delete
// the queues would not do: a controller that hangs need not answer that, and if it does, only after
// the commands that it has begun (Base 5.7).
Result<void> NvmeEngine::Halt(Deadline deadline) {
  if (auto present = CheckPresent("Quiesce()"); !present) return present;
  if (const auto taken = TakeCompletions(); !taken) return std::unexpected(taken.error());
  return controller_->Disable(deadline);
}

Result<void> NvmeEngine::Continue(Deadline deadline) {
  if (auto present = CheckPresent("Resume()"); !present) return present;
  if (auto started = StartQueues(deadline); !started) return started;
  media_->BeginAgain();
  if (PutWrites()) copy_queue_.Ring();
  return {};
}

void NvmeEngine::StorePosted() {
  std::ranges::fill(memory_->posted, MediaCopies::Slot{});
  std::ranges::copy(media_->slots(), memory_->posted.begin());
}

RingPositions NvmeEngine::Positions() const {
  return {copy_queue_.position().Pack(),
          geometry_.block_size,
          geometry_.max_transfer,
          geometry_.any_sgl ? 1U : 0U,
          static_cast<std::uint32_t>(geometry_.blocks),
          static_cast<std::uint32_t>(geometry_.blocks >> 32),
          static_cast<std::uint32_t>(media_->outstanding()),
          0};
}

Result<void> NvmeEngine::TakeOver(DmaRegion rings, const RingPositions& positions, bool running) {
  UseRings(rings);
  const auto not_as_saved = [] {
    return Fail(EIO,
                "nvme: Attach(): the controller is not as it was saved: it was reset or used "
                "since");
  };
  if (!controller_->IsAsLeft(rings_.iova, running)) return not_as_saved();
  if (auto used = UseGeometry({.blocks = positions[4] | std::uint64_t{positions[5]} << 32,
                               .block_size = positions[1],
                               .max_transfer = positions[2],
                               .any_sgl = positions[3] != 0});
      !used) {
    return used;
  }
  controller_->UseMemory(*memory_, rings_.iova);
  if (!running) return {};
  const std::size_t stride = controller_->cap().doorbell_stride();
  const std::uint32_t entries = CopyEntries();
  copy_queue_ = QueuePair::At(kCopyQueue, std::span(memory_->copy_sq).first(entries),
                              std::span(memory_->copy_cq).first(entries), *bar_, stride,
                              QueuePair::Position::Unpack(positions[0]));
  const LivePositions live = memory_->live;
  controller_->admin() = QueuePair::At(0, memory_->admin_sq, memory_->admin_cq, *bar_, stride,
                                       QueuePair::Position::Unpack(live.admin));
  if (positions[6] != 0) {
    if (auto going = media_->GoOnWith(memory_->posted); !going) {
      return Fail(EINVAL, "nvme: Attach(): " + going.error().message);
    }
  }
  if (media_->outstanding() != positions[6] || copy_queue_.outstanding() != media_->commands() ||
      !copy_queue_.IsAsLeft() || controller_->admin().outstanding() != 0 ||
      !controller_->admin().IsAsLeft()) {
    media_->Forget();
    return not_as_saved();
  }
  if (live.interrupt_vector == 0) return {};
  interrupt_vector_ = live.interrupt_vector;
  const std::uint32_t few = std::min(kInterruptEntries, entries);
  interrupt_queue_ = QueuePair::At(kInterruptQueue, std::span(memory_->interrupt_sq).first(few),
                                   std::span(memory_->interrupt_cq).first(few), *bar_, stride,
                                   QueuePair::Position::Unpack(live.interrupt));
  return interrupt_queue_->IsWithin() ? Result<void>() : not_as_saved();
}

}  // namespace

const DriverEntry& Entry() {
  static constexpr DriverEntry kEntry{
      .name = kTraits.name,
      .probe = [](const PciKind& kind) { return kind.class_code == kClassCode; },
      .make = [](PciDevice& device, const DriverOptions& options) -> std::unique_ptr<Driver> {
        return std::make_unique<ContractDriver>(device,
                                                std::make_unique<NvmeEngine>(device, options));
      }};
  return kEntry;
}

}  // namespace carryover::nvme
