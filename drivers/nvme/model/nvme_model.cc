// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/nvme/model/nvme_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "drivers/nvme/registers.h"

namespace carryover::nvme {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr unsigned kCopyQueue = 1;
constexpr unsigned kSecondQueue = 2;

// Generic command status.
constexpr std::uint16_t kSuccess = 0x00;
constexpr std::uint16_t kInvalidOpcode = 0x01;
constexpr std::uint16_t kInvalidField = 0x02;
constexpr std::uint16_t kTransferError = 0x04;
constexpr std::uint16_t kInternalError = 0x06;
constexpr std::uint16_t kInvalidNamespace = 0x0b;
constexpr std::uint16_t kSglCountInvalid = 0x0e;
constexpr std::uint16_t kSglLengthInvalid = 0x0f;
constexpr std::uint16_t kSglTypeInvalid = 0x11;
constexpr std::uint16_t kPrpOffsetInvalid = 0x13;
constexpr std::uint16_t kLbaOutOfRange = 0x80;
// Command specific status, type 1: of creating queues.
constexpr std::uint16_t kCompletionQueueInvalid = 0x100;
constexpr std::uint16_t kInvalidQueueIdentifier = 0x101;
constexpr std::uint16_t kInvalidQueueSize = 0x102;
constexpr std::uint16_t kInvalidInterruptVector = 0x108;
constexpr std::uint16_t kInvalidQueueDeletion = 0x10c;

template <typename T>
void Store(std::span<std::byte> bytes, std::size_t offset, T value) {
  std::memcpy(bytes.data() + offset, &value, sizeof(value));
}

}  // namespace

ModelIdentity NvmeModel::Identity(const NvmeFlavour& flavour) {
  return {.id = {.vendor = 0x1b36, .device = 0x0010},
          .class_code = 0x010802,
          .revision = 2,
          .subsystem = {.vendor = 0x1af4, .device = 0x1100},
          .bars = {{.index = 0, .size = 16384, .wide = true}},
          .msix_vectors = flavour.vectors,
          .msix_bar = 0,
          .msix_offset = 8192};
}

std::uint64_t NvmeModel::Capabilities() const {
  // Contiguous queues; ready within 1 s; pages up to 128 MiB.
  return (flavour_.max_entries - 1) | 1U << 16 | std::uint64_t{2} << 24 |
         std::uint64_t{flavour_.doorbell_stride} << 32 |
         (flavour_.nvm_command_set ? std::uint64_t{1} << 37 : std::uint64_t{1} << 44) |
         std::uint64_t{flavour_.min_page_shift - 12} << 48 | std::uint64_t{15} << 52;
}

bool NvmeModel::Enabled() const { return (cc_ & Cc::kEnable) != 0; }

void NvmeModel::Settle() {
  if (ready_ == Enabled() || reset_stuck()) return;
  if (polls_left_ != 0) {
    --polls_left_;
    return;
  }
  if (Enabled() && flavour_.fails_to_enable) {
    fatal_ = true;
    return;
  }
  ready_ = Enabled();
  if (!ready_) ForgetQueues();
}

void NvmeModel::SetQueueHung(unsigned id, bool hung) {
  if (hung) {
    hung_queues_.insert(id);
  } else {
    hung_queues_.erase(id);
  }
  Work();
}

void NvmeModel::Reformat(unsigned block_shift, std::uint64_t blocks) {
  flavour_.block_shift = block_shift;
  flavour_.blocks = blocks;
  disk_.clear();
}

std::uint64_t NvmeModel::Read(unsigned /*bar*/, std::size_t offset, std::size_t size) {
  if (size < 4 || offset >= Doorbells::kOffset) {
    Violation(fmt::format("read of {} bytes at {:#x}", size, offset));
    return 0;
  }
  const auto part = [&](std::uint64_t value, std::size_t base) {
    return offset == base ? value : value >> 32;
  };
  switch (offset) {
    case Cap::kOffset:
    case Cap::kOffset + 4:
      return part(Capabilities(), Cap::kOffset);
    case 0x08:
      return 0x00020000;  // VS: 2.0
    case Cc::kOffset:
      return cc_;
    case Csts::kOffset:
      Settle();
      return (ready_ ? Csts::kReady : 0) | (fatal_ ? Csts::kFatal : 0);
    case Aqa::kOffset:
      return aqa_;
    case Asq::kOffset:
    case Asq::kOffset + 4:
      return part(asq_, Asq::kOffset);
    case Acq::kOffset:
    case Acq::kOffset + 4:
      return part(acq_, Acq::kOffset);
    default:
      Violation(fmt::format("read of {:#x}", offset));
      return 0;
  }
}

void NvmeModel::Write(unsigned /*bar*/, std::size_t offset, std::size_t size, std::uint64_t value) {
  if (offset >= Doorbells::kOffset) {
    return WriteDoorbell(offset, size, static_cast<std::uint32_t>(value));
  }
  if (size < 4) return Violation(fmt::format("write of {} bytes at {:#x}", size, offset));
  WriteRegister(offset, static_cast<std::uint32_t>(value));
  if (size == 8) WriteRegister(offset + 4, static_cast<std::uint32_t>(value >> 32));
}

void NvmeModel::WriteRegister(std::size_t offset, std::uint32_t value) {
  const auto high = [value](std::uint64_t& whole) {
    whole = (whole & 0xffff'ffff) | std::uint64_t{value} << 32;
  };
  const auto low = [&](std::uint64_t& whole) {
    if (value % kPage != 0) Violation(fmt::format("admin queue at {:#x}", value));
    whole = (whole & ~std::uint64_t{0xffff'ffff}) | value;
  };
  if (offset == Cc::kOffset) return WriteControl(value);
  if (Enabled() || ready_) {
    return Violation(fmt::format("write of {:#x} while the controller is enabled", offset));
  }
  switch (offset) {
    case Aqa::kOffset:
      if ((value & 0xf000f000) != 0) Violation(fmt::format("AQA {:#x}", value));
      aqa_ = value;
      return;
    case Asq::kOffset:
      return low(asq_);
    case Asq::kOffset + 4:
      return high(asq_);
    case Acq::kOffset:
      return low(acq_);
    case Acq::kOffset + 4:
      return high(acq_);
    default:
      Violation(fmt::format("write of {:#x}", offset));
  }
}

// Base 3.1.3.5
void NvmeModel::WriteControl(std::uint32_t value) {
  const bool was = Enabled();
  const bool enable = (value & Cc::kEnable) != 0;
  if (was && ((value ^ cc_) & ~(Cc::kEnable | Cc::kShutdown)) != 0) {
    Violation(fmt::format("CC becomes {:#x} while the controller is enabled", value));
  }
  if (!was && enable && ready_) Violation("enabled before CSTS.RDY is 0");
  if (was && !enable && !ready_ && !fatal_) Violation("disabled before CSTS.RDY is 1");
  cc_ = value;
  if (!enable) {
    CountReset();
    fatal_ = false;
  }
  if (was == enable) return;
  if (enable) Enable();
  polls_left_ = flavour_.polls;
  if (polls_left_ == 0) Settle();
}

void NvmeModel::Enable() {
  if (((cc_ >> 16 & 0xf) != 6) || ((cc_ >> 20 & 0xf) != 4) || (cc_ & 0x3ff0) != 0) {
    Violation(fmt::format("CC {:#x}: entry sizes, page size or command set", cc_));
  }
  ForgetQueues();
  submission_queues_[0] = {.address = asq_, .entries = (aqa_ & 0xfff) + 1};
  completion_queues_[0] = {
      .address = acq_, .entries = (aqa_ >> 16 & 0xfff) + 1, .interrupts = true};
}

void NvmeModel::ForgetQueues() {
  ++epoch_;
  submission_queues_.clear();
  completion_queues_.clear();
}

void NvmeModel::ResetFunction() {
  cc_ = aqa_ = 0;
  asq_ = acq_ = 0;
  ready_ = fatal_ = false;
  ForgetQueues();
}

void NvmeModel::WriteDoorbell(std::size_t offset, std::size_t size, std::uint32_t value) {
  const std::size_t stride = std::size_t{4} << flavour_.doorbell_stride;
  const std::size_t index = (offset - Doorbells::kOffset) / stride;
  auto& queues = index % 2 == 0 ? submission_queues_ : completion_queues_;
  const auto id = static_cast<unsigned>(index / 2);
  const auto found = queues.find(id);
  if (size != 4 || (offset - Doorbells::kOffset) % stride != 0 || found == queues.end()) {
    return Violation(fmt::format("doorbell at {:#x}", offset));
  }
  Queue& queue = found->second;
  if (!IsSound(id, index % 2 == 0, queue, value)) return;
  if (index % 2 == 0) {
    queue.tail = value;
    if (id == kCopyQueue) CountDoorbell();
  } else {
    queue.head = value;
  }
}

// Base, Asynchronous Event Request, Invalid Doorbell Write Value: out of range, the same as before,
// more commands than there is room for, more completions than there are.
bool NvmeModel::IsSound(unsigned id, bool submission, const Queue& queue, std::uint32_t value) {
  if (!Enabled() || !ready_) {
    Violation(fmt::format("doorbell of queue {} of a controller that is not ready", id));
    return false;
  }
  const auto distance = [&queue](std::uint32_t from, std::uint32_t to) {
    return (to + queue.entries - from) % queue.entries;
  };
  const std::uint32_t used = distance(queue.head, queue.tail);
  const std::uint32_t room = submission ? queue.entries - 1 - used : used;
  const std::uint32_t moves = distance(submission ? queue.tail : queue.head, value);
  if (value < queue.entries && moves != 0 && moves <= room) return true;
  Violation(fmt::format("{} doorbell of queue {}: {} of {} entries, it has {} to {}",
                        submission ? "tail" : "head", id, value, queue.entries, queue.head,
                        queue.tail));
  return false;
}

// A controller that is being disabled goes on until it is not ready any more.
void NvmeModel::Work() {
  const std::uint64_t epoch = epoch_;
  bool any = true;
  while (any && epoch == epoch_ && ready_ && !fatal_) {
    any = false;
    for (const unsigned id : {0U, kCopyQueue, kSecondQueue}) {
      if (!submission_queues_.contains(id)) continue;
      any |= DoCommand(id);
      if (epoch != epoch_) return;
    }
  }
}

bool NvmeModel::DoCommand(unsigned id) {
  Queue& queue = submission_queues_.at(id);
  if (queue.fetched.empty() && queue.head == queue.tail) return false;
  const Queue& completions = completion_queues_.at(queue.completion_queue);
  if ((completions.tail + 1) % completions.entries == completions.head) return false;  // full
  if (hung_queues_.contains(id)) return false;
  if (id == kCopyQueue && !TakeUnit()) return false;
  if (!Fetch(id)) return false;
  const auto next = flavour_.reorders && id != 0 ? queue.fetched.end() - 1 : queue.fetched.begin();
  const Command command = *next;
  queue.fetched.erase(next);
  const std::uint64_t epoch = epoch_;
  std::uint32_t result = 0;
  Status status = kInternalError;
  if (id != kCopyQueue || !TakeFailure()) {
    status = id == 0 ? DoAdmin(command, result) : DoIo(command);
  }
  if (epoch != epoch_) return false;
  Complete(id, command, status, result);
  return true;
}

bool NvmeModel::Fetch(unsigned id) {
  Queue& queue = submission_queues_.at(id);
  const std::uint64_t epoch = epoch_;
  while (queue.head != queue.tail) {
    Command command;
    const bool fetched =
        host().DmaRead(queue.address + queue.head * sizeof(command), BytesOf(command));
    if (epoch != epoch_) return false;
    if (!fetched) {
      fatal_ = true;  // Base 9.5: the controller cannot go on
      return false;
    }
    queue.head = (queue.head + 1) % queue.entries;
    CheckReserved(id, command);
    if (std::ranges::find(queue.fetched, command.id, &Command::id) != queue.fetched.end()) {
      Violation(fmt::format("queue {}: two commands have the identifier {}", id, command.id));
    }
    queue.fetched.push_back(command);
  }
  return !queue.fetched.empty();
}

void NvmeModel::Complete(unsigned sq, const Command& command, Status status, std::uint32_t result) {
  const Queue& submissions = submission_queues_.at(sq);
  Queue& queue = completion_queues_.at(submissions.completion_queue);
  Completion completion{
      .result = result,
      .sq_head = static_cast<std::uint16_t>(submissions.head),
      .sq_id = static_cast<std::uint16_t>(sq),
      .command_id = command.id,
      .status = static_cast<std::uint16_t>(status << 1 | (queue.phase ? Completion::kPhase : 0))};
  // What was wrong with the command is wrong the next time, too.
  if (status != kSuccess && status != kTransferError && status != kInternalError) {
    completion.status |= Completion::kDoNotRetry;
  }
  const std::uint64_t address = queue.address + queue.tail * sizeof(completion);
  queue.tail = (queue.tail + 1) % queue.entries;
  if (queue.tail == 0) queue.phase = !queue.phase;
  const bool interrupts = queue.interrupts;
  const unsigned vector = queue.vector;
  const std::uint64_t epoch = epoch_;
  const bool written = host().DmaWrite(address, BytesOf(completion));
  if (epoch != epoch_) return;
  if (!written) {
    fatal_ = true;
  } else if (interrupts) {
    host().Raise(InterruptKind::kMsix, vector);
  }
}

// No command is fused; admin commands have PRPs (Base 3.3.3.1).
void NvmeModel::CheckReserved(unsigned queue, const Command& command) {
  const unsigned allowed = queue == 0 ? 0 : 0xc0;
  if (command.reserved != 0 || command.metadata != 0 || (command.flags & ~allowed) != 0 ||
      (queue != 0 && command.cdw12 >> 16 != 0) || command.cdw13 != 0 || command.cdw14 != 0 ||
      command.cdw15 != 0) {
    Violation(fmt::format("command {:#x}: reserved or unused fields are set", command.opcode));
  }
}

NvmeModel::Status NvmeModel::DoAdmin(const Command& command, std::uint32_t& result) {
  switch (command.opcode) {
    case kIdentify:
      return Identify(command);
    case kSetFeatures:
      if (command.cdw10 != kNumberOfQueues) return kInvalidField;
      result = (flavour_.io_queues - 1) << 16 | (flavour_.io_queues - 1);
      return kSuccess;
    case kCreateCq:
    case kCreateSq:
      return CreateQueue(command);
    case kDeleteCq:
    case kDeleteSq:
      return DeleteQueue(command);
    default:
      Violation(fmt::format("admin command {:#x}", command.opcode));
      return kInvalidOpcode;
  }
}

NvmeModel::Status NvmeModel::Identify(const Command& command) {
  std::vector<std::byte> data(kPage);
  if (command.cdw10 == kIdentifyController) {
    Store(data, kMdts, static_cast<std::uint8_t>(flavour_.mdts));
    Store(data, kSgls, flavour_.sgl ? std::uint32_t{0x1} : std::uint32_t{0});
  } else if (command.cdw10 == kIdentifyNamespace) {
    if (command.namespace_id != 1) return kInvalidNamespace;
    Store(data, kNamespaceSize, flavour_.blocks);
    // Two formats, and the second is used. The index's high bits count only if there are more than
    // 16 formats (NVM 4.1.5.1).
    Store(data, kFormats, std::uint8_t{1});
    Store(data, kFlbas, std::uint8_t{0x61});
    Store(data, kLbaFormats + 4, static_cast<std::uint16_t>(flavour_.metadata));
    Store(data, kLbaFormats + 4 + 2, static_cast<std::uint8_t>(flavour_.block_shift));
  } else {
    return kInvalidField;
  }
  std::vector<Piece> pieces;
  if (const Status status = FindByPrp(command, kPage, pieces); status != kSuccess) return status;
  std::size_t done = 0;
  for (const Piece& piece : pieces) {
    if (!host().DmaWrite(piece.address, std::span(data).subspan(done, piece.length))) {
      return kTransferError;
    }
    done += piece.length;
  }
  return kSuccess;
}

NvmeModel::Status NvmeModel::CreateQueue(const Command& command) {
  const unsigned id = command.cdw10 & 0xffff;
  const std::uint32_t entries = (command.cdw10 >> 16) + 1;
  const bool completion = command.opcode == kCreateCq;
  auto& queues = completion ? completion_queues_ : submission_queues_;
  const auto refuse = [&](Status status, std::string_view why) {
    Violation(fmt::format("create queue {} with {} entries at {:#x}: {}", id, entries,
                          command.data[0], why));
    return status;
  };
  if (id == 0 || id > flavour_.io_queues || queues.contains(id)) {
    return refuse(kInvalidQueueIdentifier, "no such queue, or a second time");
  }
  if (entries < 2 || entries > flavour_.max_entries) return refuse(kInvalidQueueSize, "size");
  if ((command.cdw11 & kContiguous) == 0) return refuse(kInvalidField, "not contiguous");
  if (command.data[0] % kPage != 0) return refuse(kPrpOffsetInvalid, "begins within a page");
  Queue queue{.address = command.data[0], .entries = entries};
  if (completion) {
    queue.interrupts = (command.cdw11 & kInterruptsEnabled) != 0;
    queue.vector = command.cdw11 >> 16;
    if (queue.vector >= flavour_.vectors) return refuse(kInvalidInterruptVector, "vector");
  } else {
    queue.completion_queue = command.cdw11 >> 16;
    if (!completion_queues_.contains(queue.completion_queue) || queue.completion_queue == 0) {
      return refuse(kCompletionQueueInvalid, "no completion queue");
    }
  }
  queues[id] = queue;
  return kSuccess;
}

// Base 5.6, 5.7.
NvmeModel::Status NvmeModel::DeleteQueue(const Command& command) {
  const unsigned id = command.cdw10 & 0xffff;
  const auto refuse = [&](Status status, std::string_view why) {
    Violation(fmt::format("delete queue {}: {}", id, why));
    return status;
  };
  const bool completion = command.opcode == kDeleteCq;
  auto& queues = completion ? completion_queues_ : submission_queues_;
  if (id == 0 || !queues.contains(id)) return refuse(kInvalidQueueIdentifier, "no such queue");
  if (completion && std::ranges::any_of(submission_queues_, [id](const auto& one) {
        return one.second.completion_queue == id;
      })) {
    return refuse(kInvalidQueueDeletion, "a submission queue uses it");
  }
  if (!completion) {
    // As QEMU's controller does.
    const Queue& told = completion_queues_.at(queues.at(id).completion_queue);
    if (told.interrupts && told.head != told.tail) {
      host().Raise(InterruptKind::kMsix, told.vector);
    }
  }
  queues.erase(id);
  return kSuccess;
}

NvmeModel::Status NvmeModel::DoIo(const Command& command) {
  if (command.opcode != IoOpcode::kRead && command.opcode != IoOpcode::kWrite) {
    Violation(fmt::format("I/O command {:#x}", command.opcode));
    return kInvalidOpcode;
  }
  if (command.namespace_id != 1) return kInvalidNamespace;
  const std::uint64_t first = command.cdw10 | std::uint64_t{command.cdw11} << 32;
  const std::uint32_t blocks = (command.cdw12 & 0xffff) + 1;
  if (first >= flavour_.blocks || blocks > flavour_.blocks - first) return kLbaOutOfRange;
  return Transfer(command, first, blocks);
}

NvmeModel::Status NvmeModel::Transfer(const Command& command, std::uint64_t first,
                                      std::uint32_t blocks) {
  const std::size_t block_size = std::size_t{1} << flavour_.block_shift;
  const std::uint64_t bytes = blocks * block_size;
  if (flavour_.mdts != 0 && bytes >> flavour_.min_page_shift > std::uint64_t{1} << flavour_.mdts) {
    Violation(fmt::format("a command of {} bytes", bytes));
    return kInvalidField;
  }
  std::vector<Piece> pieces;
  if (const Status status = FindData(command, bytes, pieces); status != kSuccess) return status;
  std::vector<std::byte> data(bytes);
  for (std::uint32_t i = 0; i < blocks; ++i) touched_.insert(first + i);
  if (command.opcode == IoOpcode::kRead) {
    for (std::uint32_t i = 0; i < blocks; ++i) {
      const auto found = disk_.find(first + i);
      if (found != disk_.end()) {
        std::ranges::copy(found->second,
                          data.begin() + static_cast<std::ptrdiff_t>(i * block_size));
      }
    }
  }
  std::size_t done = 0;
  const std::uint64_t epoch = epoch_;
  for (const Piece& piece : pieces) {
    const auto part = std::span(data).subspan(done, piece.length);
    const bool moved = command.opcode == IoOpcode::kRead ? host().DmaWrite(piece.address, part)
                                                         : host().DmaRead(piece.address, part);
    if (epoch != epoch_) return kInternalError;  // nobody hears of it
    if (!moved) return kTransferError;
    done += piece.length;
  }
  if (command.opcode == IoOpcode::kWrite) {
    CountWrites(first, blocks);
    for (std::uint32_t i = 0; i < blocks; ++i) {
      const auto begin = data.begin() + static_cast<std::ptrdiff_t>(i * block_size);
      disk_[first + i].assign(begin, begin + static_cast<std::ptrdiff_t>(block_size));
    }
  }
  return kSuccess;
}

void NvmeModel::CountWrites(std::uint64_t first, std::uint32_t blocks) {
  for (std::uint64_t block = first; block < first + blocks; ++block) {
    ++writes_[block];
    if (!flavour_.scratch) continue;
    if (block < flavour_.scratch->first ||
        block - flavour_.scratch->first >= flavour_.scratch->count) {
      Violation(fmt::format("block {} was written, which is not a scratch block", block));
    }
  }
}

NvmeModel::Status NvmeModel::FindData(const Command& command, std::uint64_t bytes,
                                      std::vector<Piece>& pieces) {
  if ((command.flags & 0xc0) == 0) return FindByPrp(command, bytes, pieces);
  if (!flavour_.sgl || (command.flags & 0xc0) != Command::kSgl) {
    Violation(fmt::format("PSDT {:#x}", command.flags));
    return kInvalidField;
  }
  return FindBySgl(command, bytes, pieces);
}

// Base 4.1.1
NvmeModel::Status NvmeModel::FindByPrp(const Command& command, std::uint64_t bytes,
                                       std::vector<Piece>& pieces) {
  if (command.data[0] % 4 != 0) {
    Violation(fmt::format("PRP 1 {:#x}", command.data[0]));
    return kPrpOffsetInvalid;
  }
  const std::uint64_t first = std::min(bytes, kPage - command.data[0] % kPage);
  pieces.push_back({command.data[0], static_cast<std::uint32_t>(first)});
  std::uint64_t left = bytes - first;
  if (left == 0) {
    if (command.data[1] != 0)
      Violation(fmt::format("PRP 2 {:#x} of a single page", command.data[1]));
    return kSuccess;
  }
  std::vector<std::uint64_t> entries((left + kPage - 1) / kPage, command.data[1]);
  if (left > kPage) {
    if (command.data[1] % 8 != 0 ||
        command.data[1] % kPage + entries.size() * sizeof(std::uint64_t) > kPage) {
      Violation(fmt::format("PRP list {:#x} of {} entries", command.data[1], entries.size()));
      return kPrpOffsetInvalid;
    }
    if (!host().DmaRead(command.data[1], std::as_writable_bytes(std::span(entries)))) {
      return kTransferError;
    }
  }
  for (const std::uint64_t entry : entries) {
    if (entry % kPage != 0) {
      Violation(fmt::format("PRP entry {:#x}", entry));
      return kPrpOffsetInvalid;
    }
    const std::uint64_t length = std::min(left, kPage);
    pieces.push_back({entry, static_cast<std::uint32_t>(length)});
    left -= length;
  }
  return kSuccess;
}

// Base 4.1.2: one data block, or one last segment of data blocks.
NvmeModel::Status NvmeModel::FindBySgl(const Command& command, std::uint64_t bytes,
                                       std::vector<Piece>& pieces) {
  SglDescriptor first;
  std::memcpy(&first, command.data, sizeof(first));
  std::vector<SglDescriptor> list{first};
  if (first.type == SglDescriptor::kLastSegment) {
    if (first.length == 0 || first.length % sizeof(SglDescriptor) != 0 || first.address % 8 != 0 ||
        first.reserved[0] != 0 || first.reserved[1] != 0 || first.reserved[2] != 0) {
      Violation(fmt::format("SGL segment of {} bytes at {:#x}", first.length, first.address));
      return kSglCountInvalid;
    }
    list.resize(first.length / sizeof(SglDescriptor));
    if (!host().DmaRead(first.address, std::as_writable_bytes(std::span(list)))) {
      return kTransferError;
    }
  }
  std::uint64_t sum = 0;
  for (const SglDescriptor& descriptor : list) {
    if (descriptor.type != SglDescriptor::kDataBlock || descriptor.reserved[0] != 0 ||
        descriptor.reserved[1] != 0 || descriptor.reserved[2] != 0) {
      Violation(fmt::format("SGL descriptor of type {:#x}", descriptor.type));
      return kSglTypeInvalid;
    }
    sum += descriptor.length;
    pieces.push_back({descriptor.address, descriptor.length});
  }
  if (sum == bytes) return kSuccess;
  Violation(fmt::format("an SGL of {} bytes for {}", sum, bytes));
  return kSglLengthInvalid;
}

}  // namespace carryover::nvme
