// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/dsa/dsa.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <deque>
#include <optional>
#include <vector>

#include "drivers/contract/contract_driver.h"
#include "drivers/dsa/device.h"

namespace carryover::dsa {
namespace {

// What is handed over at once, and copies of each.
constexpr std::uint32_t kSubmissions = 32;
constexpr std::uint32_t kCopiesEach = 64;
constexpr std::uint32_t kInterrupts = 16;
constexpr Device::Sizes kSizes{.copies = kSubmissions, .interrupts = kInterrupts};

// For the command that asks for a handle when an interrupt is asked for.
constexpr std::chrono::seconds kCommandPatience{1};

constexpr unsigned kCopyShift = 18;
constexpr std::size_t kMaxCopy = std::size_t{1} << kCopyShift;

struct Submission {
  std::array<Descriptor, kCopiesEach> moves;
  // Of each move, written if it fails; and of the batch.
  std::array<CompletionRecord, kCopiesEach> records;
  CompletionRecord batch;
  // For whoever goes on with it: the device does not look at it.
  alignas(sizeof(CompletionRecord)) std::uint32_t copies;
};
static_assert(sizeof(Submission) % sizeof(Descriptor) == 0);

struct RegionLayout {
  alignas(4096) std::array<Submission, kSubmissions> submissions;
  alignas(4096) std::uint64_t submitted;  // so far, by whoever drives the device
};

constexpr DriverTraits kTraits{.name = "dsa",
                               .region_size = ContractDriver::kStateSize + sizeof(RegionLayout),
                               .max_copy_bytes = kMaxCopy,
                               .max_in_flight = kSubmissions,
                               .interrupt = InterruptKind::kMsix,
                               .vector = kVector,
                               .hands_over_posted = true};

std::string_view NameOf(std::uint8_t status) {
  switch (status & CompletionRecord::kStatusMask) {
    case CompletionRecord::kPageFault:
      return "page fault";
    case CompletionRecord::kBatchError:
      return "a descriptor of the batch failed";
    case CompletionRecord::kBatchPageFault:
      return "page fault on the batch's descriptors";
    case CompletionRecord::kBadOperation:
      return "unsupported operation";
    case CompletionRecord::kInvalidFlags:
      return "invalid flags";
    case CompletionRecord::kReservedSet:
      return "reserved field set";
    case CompletionRecord::kTransferSize:
      return "transfer size out of range";
    case CompletionRecord::kDescriptorCount:
      return "descriptor count out of range";
    case CompletionRecord::kListAlignment:
      return "descriptor list not aligned";
    case CompletionRecord::kInterruptHandle:
      return "invalid interrupt handle";
    case CompletionRecord::kCompletionAlignment:
      return "completion record not aligned";
    case CompletionRecord::kHardware:
      return "hardware error";
    default:
      return "another error";
  }
}

std::uint8_t StatusOf(CompletionRecord& record) {
  return std::atomic_ref(record.status).load(std::memory_order_acquire);
}

class DsaEngine final : public Engine {
 public:
  explicit DsaEngine(PciDevice& device) : device_(device) {}

  [[nodiscard]] const DriverTraits& traits() const override { return kTraits; }
  [[nodiscard]] Result<void> Open() override;
  [[nodiscard]] Result<void> CheckPresent(std::string_view during) override {
    return dsa_->CheckPresent(during);
  }
  [[nodiscard]] Result<void> Reset(Deadline deadline) override;
  [[nodiscard]] Result<void> BringUp(DmaRegion rings, Deadline deadline) override;
  [[nodiscard]] bool HasRoom(std::span<const DmaCopy> copies) const override {
    return posted_.size() + (copies.size() + kCopiesEach - 1) / kCopiesEach <= kSubmissions;
  }
  void Post(std::span<const DmaCopy> copies) override;
  [[nodiscard]] Result<bool> Reap() override;
  [[nodiscard]] std::size_t Outstanding() const override { return posted_.size(); }
  [[nodiscard]] Result<void> RaiseInterrupt(unsigned vector) override;
  [[nodiscard]] Result<void> Halt(Deadline deadline) override;
  [[nodiscard]] Result<void> Continue(Deadline deadline) override;
  [[nodiscard]] RingPositions Positions() const override {
    return {static_cast<std::uint32_t>(memory_->submitted), dsa_->interrupt().vector,
            dsa_->interrupt().handle, static_cast<std::uint32_t>(posted_.size())};
  }
  [[nodiscard]] Result<void> TakeOver(DmaRegion rings, const RingPositions& positions,
                                      bool running) override;

 private:
  void UseRings(DmaRegion rings);
  [[nodiscard]] Result<void> FindPosted(std::uint32_t submissions, bool running);
  [[nodiscard]] Iova At(std::uint32_t slot, std::size_t offset) const {
    return rings_.iova + offsetof(RegionLayout, submissions) + slot * sizeof(Submission) + offset;
  }
  [[nodiscard]] Result<void> BringUpDevice(Deadline deadline);
  void Submit(std::span<const DmaCopy> copies);
  [[nodiscard]] Descriptor MoveOf(std::uint32_t slot, std::size_t index, const DmaCopy& copy) const;

  PciDevice& device_;
  std::optional<Device> dsa_;  // after Open()
  DmaRegion rings_;
  RegionLayout* memory_ = nullptr;
  std::uint32_t next_ = 0;  // submission's slot
  // What is not done, in the order of slots, which ends before next_.
  std::deque<std::vector<DmaCopy>> posted_;
};

Result<void> DsaEngine::Open() {
  if (dsa_) return {};
  const auto registers = device_.Bar(0);
  if (!registers) return std::unexpected(registers.error());
  const auto portals = device_.Bar(2);
  if (!portals) return std::unexpected(portals.error());
  dsa_.emplace(**registers, **portals);
  return {};
}

Result<void> DsaEngine::Reset(Deadline deadline) {
  posted_.clear();
  return dsa_->Reset(deadline);
}

void DsaEngine::UseRings(DmaRegion rings) {
  rings_ = rings;
  memory_ = reinterpret_cast<RegionLayout*>(rings.memory.data());
}

Result<void> DsaEngine::BringUp(DmaRegion rings, Deadline deadline) {
  const GenCap cap = dsa_->capabilities();
  if (cap.max_transfer_shift() < kCopyShift || (1U << cap.max_batch_shift()) < kCopiesEach) {
    return Fail(ENOTSUP, fmt::format("dsa: transfers of 2^{} bytes in batches of 2^{}: 2^{} and {} "
                                     "are needed",
                                     cap.max_transfer_shift(), cap.max_batch_shift(), kCopyShift,
                                     kCopiesEach));
  }
  UseRings(rings);
  next_ = 0;
  memory_->submitted = 0;
  return BringUpDevice(deadline);
}

Result<void> DsaEngine::BringUpDevice(Deadline deadline) {
  const auto vectors = device_.InterruptVectors(InterruptKind::kMsix);
  if (!vectors) return std::unexpected(vectors.error());
  return dsa_->BringUp(kSizes, *vectors, deadline);
}

Descriptor DsaEngine::MoveOf(std::uint32_t slot, std::size_t index, const DmaCopy& copy) const {
  return {.pasid = Descriptor::kPrivileged,
          .operation =
              Descriptor::kMove << Descriptor::kCodeShift | Descriptor::kCompletionAddressValid,
          .completion = At(slot, offsetof(Submission, records) + index * sizeof(CompletionRecord)),
          .source = copy.source,
          .destination = copy.destination,
          .size = static_cast<std::uint32_t>(copy.length)};
}

// A batch has two descriptors at least (3.8): a single one goes by itself.
void DsaEngine::Submit(std::span<const DmaCopy> copies) {
  const std::uint32_t slot = next_;
  next_ = (next_ + 1) % kSubmissions;
  Submission& submission = memory_->submissions[slot];
  submission.batch = {};
  submission.copies = static_cast<std::uint32_t>(copies.size());
  for (std::size_t i = 0; i < copies.size(); ++i) {
    submission.records[i] = {};
    submission.moves[i] = MoveOf(slot, i, copies[i]);
  }
  Descriptor descriptor = submission.moves[0];
  if (copies.size() > 1) {
    descriptor = {.pasid = Descriptor::kPrivileged,
                  .operation = Descriptor::kBatch << Descriptor::kCodeShift |
                               Descriptor::kCompletionAddressValid,
                  .source = At(slot, offsetof(Submission, moves)),
                  .size = static_cast<std::uint32_t>(copies.size())};
  }
  descriptor.operation |= Descriptor::kRequestCompletion;
  descriptor.completion = At(slot, offsetof(Submission, batch));
  ++memory_->submitted;
  DmaWriteBarrier();
  dsa_->Submit(kCopyQueue, descriptor);
}

void DsaEngine::Post(std::span<const DmaCopy> copies) {
  while (!copies.empty()) {
    const auto some = copies.first(std::min<std::size_t>(copies.size(), kCopiesEach));
    posted_.emplace_back(some.begin(), some.end());
    Submit(some);
    copies = copies.subspan(some.size());
  }
}

Result<bool> DsaEngine::Reap() {
  bool any = false;
  while (!posted_.empty()) {
    const auto slot =
        static_cast<std::uint32_t>((next_ + kSubmissions - posted_.size()) % kSubmissions);
    Submission& submission = memory_->submissions[slot];
    const std::uint8_t status = StatusOf(submission.batch);
    if (status == 0) break;
    DmaReadBarrier();
    if (status != CompletionRecord::kSuccess) {
      const auto records = std::span(submission.records).first(posted_.front().size());
      const auto failed =
          std::ranges::find_if(records, [](CompletionRecord& one) { return StatusOf(one) != 0; });
      const CompletionRecord& record = failed != records.end() ? *failed : submission.batch;
      return Fail(EIO, fmt::format("dsa: status {:#04x} ({}), fault address {:#x}", record.status,
                                   NameOf(record.status), record.fault_address));
    }
    posted_.pop_front();
    any = true;
  }
  return any;
}

Result<void> DsaEngine::RaiseInterrupt(unsigned vector) {
  const auto handle = dsa_->HandleOf(vector, Deadline::After(kCommandPatience));
  if (!handle) return std::unexpected(handle.error());
  dsa_->Submit(kInterruptQueue, {.pasid = Descriptor::kPrivileged,
                                 .operation = Descriptor::kNoop << Descriptor::kCodeShift |
                                              Descriptor::kRequestInterrupt,
                                 .interrupt_handle = *handle});
  return {};
}

// A reset ends what will not end by itself; to disable the device would wait for it.
Result<void> DsaEngine::Halt(Deadline deadline) {
  if (auto present = CheckPresent("Quiesce()"); !present) return present;
  if (const auto reaped = Reap(); !reaped) return std::unexpected(reaped.error());
  return dsa_->Reset(deadline);
}

Result<void> DsaEngine::Continue(Deadline deadline) {
  if (auto present = CheckPresent("Resume()"); !present) return present;
  if (auto up = BringUpDevice(deadline); !up) return up;
  for (const std::vector<DmaCopy>& copies : posted_) Submit(copies);
  return {};
}

// From the descriptors that the device has, and may be at.
Result<void> DsaEngine::FindPosted(std::uint32_t submissions, bool running) {
  if (submissions > kSubmissions || submissions > memory_->submitted ||
      (submissions != 0 && !running)) {
    return Fail(EINVAL,
                fmt::format("dsa: Attach(): {} submissions cannot be outstanding", submissions));
  }
  posted_.clear();
  for (std::uint32_t i = 0; i < submissions; ++i) {
    const Submission& one =
        memory_->submissions[(next_ + kSubmissions - submissions + i) % kSubmissions];
    if (one.copies == 0 || one.copies > kCopiesEach) {
      posted_.clear();
      return Fail(EINVAL, fmt::format("dsa: Attach(): a submission of {} copies", one.copies));
    }
    std::vector<DmaCopy>& copies = posted_.emplace_back();
    for (const Descriptor& move : std::span(one.moves).first(one.copies)) {
      copies.push_back(
          {.source = move.source, .destination = move.destination, .length = move.size});
    }
  }
  return {};
}

Result<void> DsaEngine::TakeOver(DmaRegion rings, const RingPositions& positions, bool running) {
  UseRings(rings);
  if (!dsa_->IsAsLeft(kSizes, running) ||
      static_cast<std::uint32_t>(memory_->submitted) != positions[0]) {
    return Fail(EIO,
                "dsa: Attach(): the device is not as it was saved: it was reset or used since");
  }
  next_ = static_cast<std::uint32_t>(memory_->submitted % kSubmissions);
  if (auto found = FindPosted(positions[3], running); !found) return found;
  dsa_->set_interrupt({.vector = positions[1], .handle = static_cast<std::uint16_t>(positions[2])});
  return {};
}

}  // namespace

const DriverEntry& Entry() {
  static constexpr DriverEntry kEntry{
      .name = kTraits.name,
      .probe = [](const PciKind& kind) { return kind.id == kDsa; },
      .make = [](PciDevice& device, const DriverOptions&) -> std::unique_ptr<Driver> {
        return std::make_unique<ContractDriver>(device, std::make_unique<DsaEngine>(device));
      }};
  return kEntry;
}

}  // namespace carryover::dsa
