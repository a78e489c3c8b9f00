// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/ioat/model/ioat_model.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

namespace carryover::ioat {
namespace {

template <typename T>
std::span<std::byte> BytesOf(T& object) {
  return std::as_writable_bytes(std::span(&object, 1));
}

}  // namespace

ModelIdentity IoatModel::Identity(const IoatFlavour& /*flavour*/) {
  return {.id = {.vendor = 0x8086, .device = 0x2021},
          .class_code = 0x088000,
          .revision = 4,
          .subsystem = {.vendor = 0x8086, .device = 0x0000},
          .bars = {{.index = 0, .size = 16384, .wide = true}},
          .msix_vectors = 1,
          .msix_bar = 0,
          .msix_offset = 0x2000};
}

std::size_t IoatModel::WidthOf(std::size_t offset) {
  switch (offset) {
    case ChannelCount::kOffset:
    case TransferCapacity::kOffset:
    case InterruptControl::kOffset:
    case Version::kOffset:
    case ChannelCommand::kOffset:
      return 1;
    case InterruptDelay::kOffset:
    case ChannelControl::kOffset:
    case DescriptorCount::kOffset:
      return 2;
    case ChannelError::kOffset:
      return 4;
    case ChannelStatus::kOffset:
    case ChainAddress::kOffset:
    case CompletionAddress::kOffset:
      return 8;
    default:
      return 0;
  }
}

std::uint64_t IoatModel::Read(unsigned /*bar*/, std::size_t offset, std::size_t size) {
  if (size != WidthOf(offset)) {
    Violation(fmt::format("read of {} bytes at {:#x}", size, offset));
    return 0;
  }
  switch (offset) {
    case ChannelCount::kOffset:
      return 1;
    case TransferCapacity::kOffset:
      return flavour_.capacity_log;
    case InterruptControl::kOffset:
      return interrupt_control_;
    case Version::kOffset:
      return flavour_.version;
    case InterruptDelay::kOffset:
      return interrupt_delay_;
    case ChannelControl::kOffset:
      return control_;
    case ChannelCommand::kOffset:
      EndReset();
      return command_;
    case DescriptorCount::kOffset:
      return count_;
    case ChannelStatus::kOffset:
      return busy_ ? completed_ | ChannelStatus::kActive : StatusWord();
    case ChainAddress::kOffset:
      return chain_;
    case CompletionAddress::kOffset:
      return completion_;
    default:
      return errors_;
  }
}

void IoatModel::Write(unsigned /*bar*/, std::size_t offset, std::size_t size, std::uint64_t value) {
  if (size != WidthOf(offset)) {
    return Violation(fmt::format("write of {} bytes at {:#x}", size, offset));
  }
  switch (offset) {
    case InterruptControl::kOffset:
      interrupt_control_ = static_cast<std::uint8_t>(value);
      return;
    case InterruptDelay::kOffset:
      interrupt_delay_ = static_cast<std::uint16_t>(value);
      return;
    case ChannelControl::kOffset:
      control_ =
          static_cast<std::uint16_t>(value & ~std::uint64_t{ChannelControl::kInterruptRearm});
      if ((value & ChannelControl::kInterruptRearm) != 0) interrupt_armed_ = true;
      return;
    case ChannelCommand::kOffset:
      return Command(static_cast<std::uint8_t>(value));
    case DescriptorCount::kOffset:
      return WriteCount(static_cast<std::uint16_t>(value));
    case ChainAddress::kOffset:
      if (!IsArmed() || value % sizeof(Descriptor) != 0) {
        return Violation(fmt::format("CHAINADDR {:#x} in state {}", value, state_));
      }
      chain_ = next_ = value;
      return;
    case CompletionAddress::kOffset:
      if (!IsArmed() || value % 8 != 0) {
        return Violation(fmt::format("CHANCMP {:#x} in state {}", value, state_));
      }
      completion_ = value;
      return;
    case ChannelError::kOffset:
      errors_ &= ~static_cast<std::uint32_t>(value);
      return;
    default:
      Violation(fmt::format("write of {:#x}, which is read-only", offset));
  }
}

void IoatModel::Command(std::uint8_t command) {
  EndReset();
  if ((command_ & ChannelCommand::kReset) != 0) return;  // one is under way
  if (command == ChannelCommand::kSuspend) {
    if (state_ == ChannelStatus::kActive || state_ == ChannelStatus::kDone) {
      state_ = ChannelStatus::kSuspended;
    }
  } else if (command == ChannelCommand::kReset) {
    CountReset();
    ResetChannel();
    command_ = ChannelCommand::kReset;
  } else {
    Violation(fmt::format("CHANCMD {:#x}", command));
  }
}

void IoatModel::EndReset() {
  if (!reset_stuck() && !busy_) command_ = 0;
}

void IoatModel::ResetChannel() {
  ++epoch_;
  control_ = 0;
  count_ = done_ = 0;
  state_ = ChannelStatus::kArmed;
  completed_ = chain_ = next_ = completion_ = 0;
  errors_ = 0;
  interrupt_armed_ = false;
}

void IoatModel::ResetFunction() {
  ResetChannel();
  interrupt_control_ = 0;
  interrupt_delay_ = 0;
  command_ = 0;
}

void IoatModel::WriteCount(std::uint16_t count) {
  if (chain_ == 0 || completion_ == 0) return Violation("DMACOUNT written without a chain");
  // More than half around is backwards.
  if (static_cast<std::uint16_t>(count - count_) >= 0x8000) {
    return Violation(fmt::format("DMACOUNT {} after {}", count, count_));
  }
  count_ = count;
  CountDoorbell();
  if (IsArmed() || state_ == ChannelStatus::kDone) state_ = ChannelStatus::kActive;
}

void IoatModel::Halt(std::uint32_t errors) {
  errors_ |= errors;
  state_ = ChannelStatus::kHalted;
  if ((control_ & ChannelControl::kErrorCompletion) != 0) WriteCompletion();
}

void IoatModel::WriteCompletion() {
  std::uint64_t status = StatusWord();
  const std::uint64_t epoch = epoch_;
  const bool written = host().DmaWrite(completion_, BytesOf(status));
  if (written || epoch != epoch_) return;
  errors_ |= ChannelError::kCompletionAddress;
  state_ = ChannelStatus::kHalted;
}

void IoatModel::Work() {
  const std::uint64_t epoch = epoch_;
  while (epoch == epoch_ && state_ == ChannelStatus::kActive && done_ != count_ && TakeUnit()) {
    busy_ = true;
    const bool goes_on = DoDescriptor();
    busy_ = false;
    if (!goes_on) return;
  }
}

// False if the channel halted, or was reset meanwhile.
bool IoatModel::DoDescriptor() {
  const std::uint64_t epoch = epoch_;
  const auto halts = [&](std::uint32_t errors) {
    if (epoch == epoch_) Halt(errors);
    return false;
  };
  Descriptor descriptor;
  if (!host().DmaRead(next_, BytesOf(descriptor))) return halts(ChannelError::kNext);
  if (epoch != epoch_) return false;
  if ((descriptor.control & ~Descriptor::kKnown) != 0) {
    Violation(fmt::format("descriptor control {:#x}", descriptor.control));
    return halts(ChannelError::kControl);
  }
  const std::size_t capacity = std::size_t{1} << flavour_.capacity_log;
  if (descriptor.size == 0 || descriptor.size > capacity) {
    Violation(fmt::format("a descriptor of {} bytes", descriptor.size));
    return halts(ChannelError::kLength);
  }
  if (descriptor.next % sizeof(Descriptor) != 0) {
    Violation(fmt::format("next descriptor {:#x}", descriptor.next));
    return halts(ChannelError::kNext);
  }
  if ((descriptor.control & Descriptor::kNull) == 0) {
    if (TakeFailure()) return halts(ChannelError::kReadData);
    std::vector<std::byte> bytes(descriptor.size);
    if (!host().DmaRead(descriptor.source, bytes)) return halts(ChannelError::kSource);
    if (epoch != epoch_) return false;
    if (!host().DmaWrite(descriptor.destination, bytes)) return halts(ChannelError::kDestination);
    if (epoch != epoch_) return false;
  }
  completed_ = next_;
  next_ = descriptor.next;
  ++done_;
  if (done_ == count_ && state_ == ChannelStatus::kActive) state_ = ChannelStatus::kDone;
  if ((descriptor.control & Descriptor::kWriteCompletion) != 0) WriteCompletion();
  if (epoch != epoch_) return false;
  if ((descriptor.control & Descriptor::kInterrupt) != 0 &&
      (interrupt_control_ & InterruptControl::kMasterEnable) != 0 &&
      std::exchange(interrupt_armed_, false)) {
    host().Raise(InterruptKind::kMsix, 0);
  }
  return state_ != ChannelStatus::kHalted;
}

}  // namespace carryover::ioat
