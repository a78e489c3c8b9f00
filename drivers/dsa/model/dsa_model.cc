// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/dsa/model/dsa_model.h"

#include <fmt/format.h>

#include <bit>
#include <span>
#include <utility>

namespace carryover::dsa {
namespace {

constexpr std::size_t kGroups = 0x400;
constexpr std::size_t kQueueTable = 0x500;
constexpr std::size_t kPermissions = 0x800;
constexpr std::size_t kQueueEntry = 64;
constexpr std::size_t kPortalsSize = 131072;

// Of commands (9.2.13).
constexpr std::uint32_t kSuccess = 0x00;
constexpr std::uint32_t kInvalidCommand = 0x01;
constexpr std::uint32_t kInvalidQueue = 0x02;
constexpr std::uint32_t kDeviceEnabled = 0x10;
constexpr std::uint32_t kGroupConfig = 0x15;
constexpr std::uint32_t kDeviceNotEnabled = 0x20;
constexpr std::uint32_t kQueueEnabled = 0x21;
constexpr std::uint32_t kQueueSize = 0x22;
constexpr std::uint32_t kInvalidIndex = 0x41;

}  // namespace

ModelIdentity DsaModel::Identity(const DsaFlavour& /*flavour*/) {
  return {.id = {.vendor = 0x8086, .device = 0x0b25},
          .class_code = 0x088000,
          .subsystem = {.vendor = 0x8086, .device = 0x0000},
          .bars = {{.index = 0, .size = 65536, .wide = true},
                   {.index = 2, .size = kPortalsSize, .wide = true}},
          .msix_vectors = kVectors,
          .msix_bar = 0,
          .msix_offset = 0x2000};
}

std::uint64_t DsaModel::Read(unsigned bar, std::size_t offset, std::size_t size) {
  if (bar == 0 && (size == 4 || size == 8)) return ReadRegister(offset, size);
  Violation(fmt::format("read of {} bytes at {:#x} of BAR {}", size, offset, bar));
  return 0;
}

std::uint64_t DsaModel::ReadRegister(std::size_t offset, std::size_t size) {
  if (offset >= kQueueTable && offset < kQueueTable + kQueues * kQueueEntry && size == 4) {
    const WorkQueue& queue = queues_[(offset - kQueueTable) / kQueueEntry];
    const std::size_t word = (offset - kQueueTable) % kQueueEntry;
    if (word == WqCfg::kState) {
      return queue.enabled ? WqCfg::kEnabled << WqCfg::kStateShift : 0;
    }
    return queue.config[word / 4];
  }
  switch (offset) {
    case GenCap::kOffset:
      return std::uint64_t{flavour_.transfer_shift} << 16 |
             std::uint64_t{flavour_.batch_shift} << 21 | std::uint64_t{1} << 31 |
             (flavour_.interrupt_handles ? 0x10U : 0U);
    case WqCap::kOffset:
      // Entries of 64 bytes; dedicated mode; operations can be chosen.
      return flavour_.total_size | std::uint64_t{kQueues} << 16 | std::uint64_t{1} << 24 |
             std::uint64_t{1} << 49 | std::uint64_t{1} << 54;
    case GrpCap::kOffset:
    case EngCap::kOffset:
      return 4;
    case Offsets::kOffset:
      return kGroups / Offsets::kUnit | kQueueTable / Offsets::kUnit << 16 |
             std::uint64_t{kPermissions / Offsets::kUnit} << 32;
    case Offsets::kOffset + 8:
      return 0;
    case GenSts::kOffset:
      return state_;
    case CmdSts::kOffset:
      EndCommand();
      return command_status_;
    case CmdCap::kOffset:
      return flavour_.interrupt_handles ? 1U << Cmd::kRequestInterruptHandle : 0;
    case SwErr::kOffset:
    case SwErr::kOffset + 8:
    case SwErr::kOffset + 16:
    case SwErr::kOffset + 24:
      return software_error_[(offset - SwErr::kOffset) / 8];
    default:
      Violation(fmt::format("read of {} bytes at {:#x}", size, offset));
      return 0;
  }
}

void DsaModel::Write(unsigned bar, std::size_t offset, std::size_t size, std::uint64_t value) {
  if (bar == 2) return WritePortal(offset, size, value);
  if (size == 4 || size == 8) return WriteRegister(offset, size, value);
  Violation(fmt::format("write of {} bytes at {:#x}", size, offset));
}

void DsaModel::WriteRegister(std::size_t offset, std::size_t size, std::uint64_t value) {
  const auto word = static_cast<std::uint32_t>(value);
  if (offset == Cmd::kOffset && size == 4) return Command(word);
  if (offset == SwErr::kOffset && size == 8) {
    if ((value & SwErr::kValid) != 0) software_error_ = {};
    return;
  }
  if (IsEnabled()) {
    return Violation(fmt::format("write of {:#x} while the device is enabled", offset));
  }
  if (offset >= kQueueTable && offset < kQueueTable + kQueues * kQueueEntry && size == 4) {
    return WriteQueueConfig(offset - kQueueTable, word);
  }
  if (offset == kGroups + GrpCfg::kQueues && size == 8) {
    group_queues_ = value;
  } else if (offset == kGroups + GrpCfg::kEngines && size == 8) {
    group_engines_ = value;
  } else if (offset >= kPermissions && offset < kPermissions + std::size_t{8} * kVectors) {
    if (value != 0) Violation(fmt::format("MSIXPERM {:#x}: there is no PASID here", value));
  } else if (offset != GenCtrl::kOffset || value != 0) {
    Violation(fmt::format("write of {:#x} at {:#x}", value, offset));
  }
}

void DsaModel::WriteQueueConfig(std::size_t offset, std::uint32_t value) {
  WorkQueue& queue = queues_[offset / kQueueEntry];
  const std::size_t word = offset % kQueueEntry;
  if (word == WqCfg::kState) return Violation("WQ state written");
  if (word == WqCfg::kLimits && ((value & 0x1f) > flavour_.transfer_shift ||
                                 (value >> WqCfg::kBatchShift & 0xf) > flavour_.batch_shift)) {
    return Violation(fmt::format("WQCFG limits {:#x}", value));
  }
  queue.config[word / 4] = value;
}

// 9.2.12
void DsaModel::Command(std::uint32_t value) {
  EndCommand();
  if ((command_status_ & CmdSts::kActive) != 0) return Violation("a command while one is active");
  const std::uint32_t command = value >> Cmd::kCommandShift & 0x1f;
  const std::uint32_t operand = value & 0xfffff;
  const std::uint32_t status = DoCommand(command, operand);
  command_status_ = status | CmdSts::kActive;
}

// Not before the DMA that is under way.
void DsaModel::EndCommand() {
  if (!reset_stuck() && !busy_) command_status_ &= ~CmdSts::kActive;
}

std::uint32_t DsaModel::DoCommand(std::uint32_t command, std::uint32_t operand) {
  switch (command) {
    case Cmd::kResetDevice:
      CountReset();
      ResetDevice();
      return kSuccess;
    case Cmd::kEnableDevice:
      return EnableDevice();
    case Cmd::kEnableWq:
      return EnableQueue(operand);
    case Cmd::kRequestInterruptHandle:
      if (!flavour_.interrupt_handles || !IsEnabled()) return kInvalidCommand;
      if (operand >= kVectors) return kInvalidIndex;
      return (kFirstHandle + operand) << CmdSts::kResultShift;
    default:
      Violation(fmt::format("command {}", command));
      return kInvalidCommand;
  }
}

std::uint32_t DsaModel::EnableDevice() {
  if (IsEnabled()) return kDeviceEnabled;
  std::uint32_t sum = 0;
  for (unsigned i = 0; i < kQueues; ++i) {
    sum += queues_[i].size();
    if (queues_[i].size() != 0 && (group_queues_ >> i & 1) == 0) return kGroupConfig;
  }
  if (sum > flavour_.total_size) return kQueueSize;
  if (group_queues_ != 0 && group_engines_ == 0) return kGroupConfig;
  state_ = GenSts::kEnabled;
  return kSuccess;
}

std::uint32_t DsaModel::EnableQueue(std::uint32_t number) {
  if (number >= kQueues) return kInvalidQueue;
  if (!IsEnabled()) return kDeviceNotEnabled;
  WorkQueue& queue = queues_[number];
  if (queue.enabled) return kQueueEnabled;
  if (queue.size() == 0 || (queue.config[WqCfg::kMode / 4] & WqCfg::kDedicated) == 0) {
    return kQueueSize;
  }
  queue.enabled = true;
  return kSuccess;
}

void DsaModel::ResetDevice() {
  ++epoch_;
  state_ = GenSts::kDisabled;
  command_status_ = 0;
  software_error_ = {};
  group_queues_ = group_engines_ = 0;
  queues_ = {};
}

void DsaModel::WritePortal(std::size_t offset, std::size_t size, std::uint64_t value) {
  const std::size_t number = offset / kPortals;
  // The first of a queue's four pages; each 64 bytes of it are the same.
  if (number >= kQueues || offset % kPortals >= 4096 || size != 8) {
    return Violation(fmt::format("write of {} bytes at {:#x} of the portals", size, offset));
  }
  WorkQueue& queue = queues_[number];
  const std::size_t word = offset % 64 / 8;
  if (word != queue.written) {
    queue.written = 0;
    return Violation(fmt::format("word {} of a descriptor written", word));
  }
  queue.portal[queue.written++] = value;
  if (queue.written < queue.portal.size()) return;
  queue.written = 0;
  const auto descriptor = std::bit_cast<Descriptor>(queue.portal);
  if (!queue.enabled || queue.entries.size() >= queue.size()) {
    // 3.6: it is lost, and told of by SWERR.
    Violation(fmt::format("descriptor submitted to work queue {}, which is {}", number,
                          queue.enabled ? "full" : "not enabled"));
    return SoftwareError(0x01, 0);
  }
  queue.entries.push_back(descriptor);
  if (number == 0) CountDoorbell();
}

void DsaModel::SoftwareError(std::uint8_t code, std::uint64_t address) {
  if ((software_error_[0] & SwErr::kValid) != 0) {
    software_error_[0] |= 0x2;  // overflow
    return;
  }
  software_error_[0] = SwErr::kValid | std::uint64_t{code} << 8 | std::uint64_t{working_on_} << 16;
  software_error_[2] = address;
}

void DsaModel::Work() {
  for (unsigned queue = 0; queue < kQueues; ++queue) WorkOn(queue);
}

void DsaModel::WorkOn(unsigned number) {
  const std::uint64_t epoch = epoch_;
  WorkQueue& queue = queues_[number];
  while (epoch == epoch_ && queue.enabled && !queue.entries.empty() &&
         (number != 0 || TakeUnit())) {
    const Descriptor descriptor = queue.entries.front();
    queue.entries.pop_front();
    working_on_ = number;
    busy_ = true;
    moved_ = 0;
    Outcome outcome = Do(descriptor, false);
    busy_ = false;
    if (epoch != epoch_) return;
    Spend(moved_);
    if (number == 0 && outcome.status == CompletionRecord::kSuccess && TakeFailure()) {
      outcome.status = CompletionRecord::kHardware;
    }
    Finish(descriptor, outcome);
  }
}

// 5.2: what is common to descriptors.
DsaModel::Outcome DsaModel::Check(const Descriptor& descriptor, bool in_batch) {
  const auto refuse = [this](std::uint8_t status, std::string what) {
    Violation(std::move(what));
    return Outcome{.status = status};
  };
  constexpr std::uint32_t kFlags = Descriptor::kCompletionAddressValid |
                                   Descriptor::kRequestCompletion | Descriptor::kRequestInterrupt;
  if ((descriptor.operation & 0xffffff & ~kFlags) != 0 ||
      (descriptor.has(Descriptor::kRequestCompletion) &&
       !descriptor.has(Descriptor::kCompletionAddressValid))) {
    return refuse(CompletionRecord::kInvalidFlags,
                  fmt::format("descriptor flags {:#x}", descriptor.operation));
  }
  if (descriptor.reserved != 0 || (descriptor.pasid & 0x7fffffff) != 0) {
    return refuse(CompletionRecord::kReservedSet, "a reserved field of a descriptor is set");
  }
  if (descriptor.has(Descriptor::kCompletionAddressValid) &&
      descriptor.completion % sizeof(CompletionRecord) != 0) {
    return refuse(CompletionRecord::kCompletionAlignment,
                  fmt::format("completion record at {:#x}", descriptor.completion));
  }
  const std::uint16_t first = flavour_.interrupt_handles ? kFirstHandle : 0;
  if (descriptor.has(Descriptor::kRequestInterrupt) &&
      (descriptor.interrupt_handle <= first || descriptor.interrupt_handle >= first + kVectors)) {
    return refuse(CompletionRecord::kInterruptHandle,
                  fmt::format("interrupt handle {:#x}", descriptor.interrupt_handle));
  }
  if (in_batch && descriptor.code() == Descriptor::kBatch) {
    return refuse(CompletionRecord::kBadOperation, "a batch in a batch");
  }
  return {};
}

DsaModel::Outcome DsaModel::Do(const Descriptor& descriptor, bool in_batch) {
  if (const Outcome checked = Check(descriptor, in_batch);
      checked.status != CompletionRecord::kSuccess) {
    return checked;
  }
  switch (descriptor.code()) {
    case Descriptor::kNoop:
      return {};
    case Descriptor::kMove:
      return Move(descriptor);
    case Descriptor::kBatch:
      return DoBatch(descriptor);
    default:
      Violation(fmt::format("operation {:#x}", descriptor.code()));
      return {.status = CompletionRecord::kBadOperation};
  }
}

DsaModel::Outcome DsaModel::Move(const Descriptor& descriptor) {
  const std::uint32_t limit = queues_[working_on_].config[WqCfg::kLimits / 4] & 0x1f;
  if (descriptor.size == 0 || descriptor.size > std::uint64_t{1} << limit) {
    Violation(fmt::format("a transfer of {} bytes", descriptor.size));
    return {.status = CompletionRecord::kTransferSize};
  }
  const std::uint64_t epoch = epoch_;
  std::vector<std::byte> bytes(descriptor.size);
  if (!host().DmaRead(descriptor.source, bytes)) {
    return {.status = CompletionRecord::kPageFault, .fault_address = descriptor.source};
  }
  if (epoch != epoch_) return {};
  if (!host().DmaWrite(descriptor.destination, bytes)) {
    return {.status = CompletionRecord::kPageFault, .fault_address = descriptor.destination};
  }
  moved_ += bytes.size();
  return {};
}

// 3.8
DsaModel::Outcome DsaModel::DoBatch(const Descriptor& descriptor) {
  const std::uint32_t limit =
      queues_[working_on_].config[WqCfg::kLimits / 4] >> WqCfg::kBatchShift & 0xf;
  if (descriptor.size < 2 || descriptor.size > 1U << limit) {
    Violation(fmt::format("a batch of {}", descriptor.size));
    return {.status = CompletionRecord::kDescriptorCount};
  }
  if (descriptor.source % sizeof(Descriptor) != 0) {
    Violation(fmt::format("a batch's descriptors at {:#x}", descriptor.source));
    return {.status = CompletionRecord::kListAlignment};
  }
  const std::uint64_t epoch = epoch_;
  std::vector<Descriptor> list(descriptor.size);
  if (!host().DmaRead(descriptor.source, std::as_writable_bytes(std::span(list)))) {
    return {.status = CompletionRecord::kBatchPageFault, .fault_address = descriptor.source};
  }
  Outcome outcome;
  for (const Descriptor& one : list) {
    if (epoch != epoch_) return {};
    const Outcome done = Do(one, true);
    if (epoch != epoch_) return {};
    if (done.status != CompletionRecord::kSuccess) outcome.status = CompletionRecord::kBatchError;
    Finish(one, done);
  }
  return outcome;
}

// 3.9: a record is written if it was asked for, and always for an error.
void DsaModel::Finish(const Descriptor& descriptor, const Outcome& outcome) {
  const bool failed = outcome.status != CompletionRecord::kSuccess;
  const std::uint64_t epoch = epoch_;
  if (failed || descriptor.has(Descriptor::kRequestCompletion)) {
    CompletionRecord record{.status = outcome.status, .fault_address = outcome.fault_address};
    const bool written = descriptor.has(Descriptor::kCompletionAddressValid) &&
                         host().DmaWrite(descriptor.completion, BytesOf(record));
    if (epoch != epoch_) return;
    if (!written) SoftwareError(outcome.status, descriptor.completion);
  }
  if (descriptor.has(Descriptor::kRequestInterrupt) &&
      outcome.status != CompletionRecord::kInterruptHandle) {
    const std::uint16_t first = flavour_.interrupt_handles ? kFirstHandle : 0;
    host().Raise(InterruptKind::kMsix, descriptor.interrupt_handle - first);
  }
}

}  // namespace carryover::dsa
