// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/dmac/model/dmac_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace carryover::dmac {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr milliseconds kRoguePeriod{1};
constexpr milliseconds kLate{50};

std::size_t SizeOf(std::size_t offset) {
  switch (offset) {
    case RingBase::kOffset:
    case WriteBack::kOffset:
    case StreamBase::kOffset:
    case StreamCount::kOffset:
    case FaultAddress::kOffset:
    case FaultCount::kOffset:
      return 8;
    default:
      return 4;
  }
}

}  // namespace

ModelIdentity DmacModel::Identity() {
  return {.id = {.vendor = 0x1234, .device = 0x0dac},
          .class_code = 0x088000,
          .revision = 1,
          .subsystem = {.vendor = 0x1234, .device = 0x0dac},
          .bars = {{.index = 0, .size = kBarSize}, {.index = 1, .size = 8192}},
          .msix_vectors = kVectors,
          .msix_bar = 1};
}

std::uint64_t DmacModel::Read(unsigned /*bar*/, std::size_t offset, std::size_t size) {
  if (Has(Faults::kAllOnes)) return ~std::uint64_t{0};
  if (size != SizeOf(offset)) {
    Violation(fmt::format("read of {} bytes at {:#x}", size, offset));
    return 0;
  }
  return ReadRegister(offset);
}

std::uint64_t DmacModel::ReadRegister(std::size_t offset) {
  switch (offset) {
    case Id::kOffset:
      return Has(Faults::kWrongIdentity) ? ~Id::kDmac & 0x7fff'ffffU : Id::kDmac;
    case Version::kOffset:
      return Version::kCurrent;
    case Control::kOffset:
      EndReset();
      return registers_.control;
    case Status::kOffset:
      return (busy_ || must_write_back_ || Has(Faults::kStuckBusy) ? 0 : Status::kIdle) |
             (registers_.error != ErrorCode::kNone ? Status::kError : 0);
    case RingBase::kOffset:
      return registers_.ring_base;
    case RingSize::kOffset:
      return registers_.ring_size;
    case Head::kOffset:
      return registers_.head;
    case Tail::kOffset:
      return registers_.tail;
    case ErrorCode::kOffset:
      return registers_.error;
    case WriteBack::kOffset:
      return registers_.write_back;
    case MaxLength::kOffset:
      return MaxLength::kBytes;
    case Features::kOffset:
      return Features::kFaults;
    case StreamBase::kOffset:
      return stream_.base;
    case StreamSize::kOffset:
      return stream_.size;
    case StreamPeriod::kOffset:
      return stream_.period;
    case StreamControl::kOffset:
      // Until the record that is being written is there: whoever sees the stream stopped may take
      // the memory away.
      return stream_.enabled || writing_record_ ? StreamControl::kEnable : 0;
    case StreamCount::kOffset:
      return stream_.count;
    case Faults::kOffset:
      return faults_;
    case FaultAddress::kOffset:
      return fault_address_;
    case FaultCount::kOffset:
      return fault_count_;
    default:
      Violation(fmt::format("read of {:#x}, where nothing can be read", offset));
      return 0;
  }
}

void DmacModel::Write(unsigned /*bar*/, std::size_t offset, std::size_t size, std::uint64_t value) {
  const auto word = static_cast<std::uint32_t>(value);
  if (offset == Faults::kOffset && size == 4) return WriteFaults(word);
  if (Has(Faults::kAllOnes)) return;
  if (size != SizeOf(offset)) {
    Violation(fmt::format("write of {} bytes at {:#x}", size, offset));
    return;
  }
  switch (offset) {
    case Control::kOffset:
      return WriteControl(word);
    case RingBase::kOffset:
      if (value % RingBase::kAlignment != 0) return Violation("RING_BASE is not aligned");
      if (RingDisabled("RING_BASE")) registers_.ring_base = value;
      return;
    case RingSize::kOffset:
      if (!std::has_single_bit(word) || word < 2 || word > RingSize::kMax) {
        return Violation(fmt::format("RING_SIZE {}", word));
      }
      if (RingDisabled("RING_SIZE")) registers_.ring_size = word;
      return;
    case Tail::kOffset:
      return WriteTail(word);
    case WriteBack::kOffset:
      if (value % WriteBack::kAlignment != 0) return Violation("WRITE_BACK is not aligned");
      if (RingDisabled("WRITE_BACK")) registers_.write_back = value;
      return;
    case Raise::kOffset:
      if (word >= kVectors) return Violation(fmt::format("RAISE {}", word));
      return Interrupt(word);
    case StreamBase::kOffset:
      if (value % sizeof(StreamRecord) != 0) return Violation("STREAM_BASE is not aligned");
      if (StreamDisabled("STREAM_BASE")) stream_.base = value;
      return;
    case StreamSize::kOffset:
      if (word == 0 || word % sizeof(StreamRecord) != 0) {
        return Violation(fmt::format("STREAM_SIZE {}", word));
      }
      if (StreamDisabled("STREAM_SIZE")) stream_.size = word;
      return;
    case StreamPeriod::kOffset:
      if (word == 0) return Violation("STREAM_PERIOD 0");
      if (StreamDisabled("STREAM_PERIOD")) stream_.period = word;
      return;
    case StreamControl::kOffset:
      return WriteStreamControl(word);
    case FaultAddress::kOffset:
      fault_address_ = value;
      return;
    default:
      Violation(fmt::format("write of {:#x}, where nothing can be written", offset));
  }
}

bool DmacModel::RingDisabled(const char* name) {
  if (Enabled()) Violation(fmt::format("{} written while the ring is enabled", name));
  return !Enabled();
}

bool DmacModel::StreamDisabled(const char* name) {
  if (stream_.enabled) Violation(fmt::format("{} written while the stream is enabled", name));
  return !stream_.enabled;
}

void DmacModel::WriteFaults(std::uint32_t value) {
  if ((value & ~faults_ & Faults::kRogue) != 0) rogue_due_ = Clock::now();
  faults_ = value;
}

void DmacModel::WriteControl(std::uint32_t value) {
  if ((value & ~(Control::kEnable | Control::kReset)) != 0 ||
      value == (Control::kEnable | Control::kReset)) {
    return Violation(fmt::format("CONTROL {:#x}", value));
  }
  EndReset();
  if ((registers_.control & Control::kReset) != 0) return;
  if (value == Control::kReset) {
    CountReset();
    ResetRegisters();
    registers_.control = Control::kReset;
    return;
  }
  if (value == Control::kEnable &&
      (registers_.ring_size == 0 || registers_.error != ErrorCode::kNone)) {
    return Violation("the ring is enabled without a size, or after an error");
  }
  if (Enabled() && value == 0) must_write_back_ = true;
  registers_.control = value;
}

void DmacModel::EndReset() {
  if (!reset_stuck() && !busy_) registers_.control &= ~Control::kReset;
}

void DmacModel::WriteTail(std::uint32_t value) {
  if (!Enabled()) {
    // After an error the driver cannot know yet that the ring has stopped.
    if (registers_.error == ErrorCode::kNone) Violation("TAIL written while the ring is disabled");
    return;
  }
  if (value >= registers_.ring_size) return Violation(fmt::format("TAIL {}", value));
  registers_.tail = value;
  CountDoorbell();
}

void DmacModel::WriteStreamControl(std::uint32_t value) {
  if ((value & ~StreamControl::kEnable) != 0) {
    return Violation(fmt::format("STREAM_CONTROL {:#x}", value));
  }
  const bool enable = value != 0;
  if (enable && (stream_.size == 0 || stream_.period == 0)) {
    return Violation("the stream is enabled without a size or a period");
  }
  if (enable && !stream_.enabled) {
    stream_.count = 0;
    stream_.due = Clock::now();
  }
  stream_.enabled = enable;
}

void DmacModel::ResetRegisters() {
  ++epoch_;
  registers_ = {};
  must_write_back_ = false;
  interrupts_.clear();
  if (!Has(Faults::kResetKeepsStream)) stream_ = {};
}

void DmacModel::Work() {
  WorkOnRing();
  const Clock::time_point now = Clock::now();
  WorkOnStream(now);
  WorkOnRogueWrites(now);
  while (!interrupts_.empty() && interrupts_.begin()->first <= now) {
    const unsigned vector = interrupts_.begin()->second;
    interrupts_.erase(interrupts_.begin());
    host().Raise(InterruptKind::kMsix, vector);
  }
}

void DmacModel::WorkOnRing() {
  Registers& r = registers_;
  while (Enabled() && r.head != r.tail && !Has(Faults::kHung) && TakeUnit()) {
    must_write_back_ = true;
    busy_ = true;
    const auto error = DoDescriptor();
    busy_ = false;
    if (!error) return;
    r.error = *error;
    if (r.error != ErrorCode::kNone) {
      r.control = 0;
      break;
    }
    r.head = (r.head + 1) % r.ring_size;
  }
  if (!must_write_back_) return;
  // Idle only after it: whoever sees that may take the memory away.
  WrittenBack back{.head = r.head, .error = r.error};
  const std::uint64_t epoch = epoch_;
  busy_ = true;
  (void)host().DmaWrite(r.write_back, BytesOf(back));
  busy_ = false;
  if (epoch == epoch_) must_write_back_ = false;
}

std::optional<std::uint32_t> DmacModel::DoDescriptor() {
  const std::uint64_t epoch = epoch_;
  Descriptor descriptor;
  const std::uint64_t at = registers_.ring_base + registers_.head * sizeof(Descriptor);
  const bool fetched = host().DmaRead(at, BytesOf(descriptor));
  if (epoch != epoch_) return std::nullopt;
  if (!fetched) return ErrorCode::kDescriptor;
  const unsigned vector = descriptor.flags >> Descriptor::kVectorShift;
  const bool interrupt = (descriptor.flags & Descriptor::kInterrupt) != 0;
  if (descriptor.length == 0 || descriptor.length > MaxLength::kBytes || descriptor.reserved != 0 ||
      vector >= kVectors || (descriptor.flags & 0xfe) != 0) {
    Violation("malformed descriptor");
    return ErrorCode::kMalformed;
  }
  if (TakeFailure()) return ErrorCode::kFailure;
  std::vector<std::byte> bytes(descriptor.length);
  const bool read = host().DmaRead(descriptor.source, bytes);
  if (epoch != epoch_) return std::nullopt;
  if (!read) return ErrorCode::kSource;
  const bool written = host().DmaWrite(descriptor.destination, bytes);
  if (epoch != epoch_) return std::nullopt;
  if (!written) return ErrorCode::kDestination;
  if (interrupt) Interrupt(vector);
  return ErrorCode::kNone;
}

void DmacModel::WorkOnStream(Clock::time_point now) {
  while (stream_.enabled && stream_.due <= now) {
    const auto time = std::chrono::nanoseconds(Clock::now().time_since_epoch()).count();
    StreamRecord record{.number = stream_.count, .time = static_cast<std::uint64_t>(time)};
    record.complement = record.Complement();
    const std::uint64_t at = stream_.base + stream_.count * sizeof(record) % stream_.size;
    ++stream_.count;
    stream_.due += microseconds(stream_.period);
    writing_record_ = true;
    (void)host().DmaWrite(at, BytesOf(record));
    writing_record_ = false;
  }
}

void DmacModel::WorkOnRogueWrites(Clock::time_point now) {
  while (Has(Faults::kRogue) && rogue_due_ <= now) {
    std::uint64_t count = fault_count_++;
    rogue_due_ += kRoguePeriod;
    (void)host().DmaWrite(fault_address_, BytesOf(count));
  }
}

void DmacModel::Interrupt(unsigned vector) {
  if (Has(Faults::kLostInterrupt)) return;
  const auto delay = Has(Faults::kLateInterrupt) ? kLate : milliseconds(0);
  interrupts_.emplace(Clock::now() + delay, vector);
}

std::optional<DeviceModel::Clock::time_point> DmacModel::NextDue() const {
  std::optional<Clock::time_point> next;
  const auto consider = [&next](Clock::time_point when) {
    next = std::min(next.value_or(when), when);
  };
  if (stream_.enabled) consider(stream_.due);
  if (Has(Faults::kRogue)) consider(rogue_due_);
  if (!interrupts_.empty()) consider(interrupts_.begin()->first);
  return next;
}

}  // namespace carryover::dmac
