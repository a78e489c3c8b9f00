// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/edu/model/edu_model.h"

#include <fmt/format.h>

#include <span>
#include <utility>

namespace carryover::edu {

ModelIdentity EduModel::Identity() {
  return {.id = {.vendor = 0x1234, .device = 0x11e8},
          .class_code = 0xff0000,
          .revision = 0x10,
          .subsystem = {.vendor = 0x1af4, .device = 0x1100},
          .bars = {{.index = 0, .size = kBarSize}},
          .msi_vectors = 1,
          .intx = true};
}

bool EduModel::CheckAccess(std::size_t offset, std::size_t size, const char* what) {
  const bool dma = offset >= DmaSource::kOffset;
  if (size == 4 || (dma && size == 8)) return true;
  Violation(fmt::format("{} of {} bytes at {:#x}", what, size, offset));
  return false;
}

std::uint64_t EduModel::Read(unsigned /*bar*/, std::size_t offset, std::size_t size) {
  if (!CheckAccess(offset, size, "read")) return 0;
  switch (offset) {
    case Identification::kOffset:
      return 0x0100'00ed;
    case Liveness::kOffset:
      return liveness_;
    case Factorial::kOffset:
      return factorial_;
    case Status::kOffset:
      return 0;
    case InterruptStatus::kOffset:
      return causes_;
    case DmaSource::kOffset:
      return source_;
    case DmaDestination::kOffset:
      return destination_;
    case DmaCount::kOffset:
      return count_;
    case DmaCommand::kOffset:
      // Stuck: a transfer that nothing ends.
      return reset_stuck() ? command_ | DmaCommand::kStart : command_;
    default:
      Violation(fmt::format("read of {:#x}, where nothing can be read", offset));
      return 0;
  }
}

void EduModel::Write(unsigned /*bar*/, std::size_t offset, std::size_t size, std::uint64_t value) {
  if (!CheckAccess(offset, size, "write")) return;
  switch (offset) {
    case Liveness::kOffset:
      liveness_ = ~static_cast<std::uint32_t>(value);
      return;
    case InterruptRaise::kOffset:
      causes_ |= static_cast<std::uint32_t>(value);
      raise_ = causes_ != 0;
      return;
    case InterruptAcknowledge::kOffset:
      causes_ &= ~static_cast<std::uint32_t>(value);
      // There is no reset but to acknowledge everything.
      if (value == 0xffff'ffff) CountReset();
      return;
    case DmaSource::kOffset:
      return SetDma(source_, size, value);
    case DmaDestination::kOffset:
      return SetDma(destination_, size, value);
    case DmaCount::kOffset:
      return SetDma(count_, size, value);
    case DmaCommand::kOffset:
      return StartTransfer(value);
    default:
      Violation(fmt::format("write of {:#x}, where nothing can be written", offset));
  }
}

void EduModel::SetDma(std::uint64_t& dma_register, std::size_t size, std::uint64_t value) {
  if (size != 8) Violation("half of a DMA register written");
  if ((command_ & DmaCommand::kStart) != 0) {
    Violation("DMA register written during a transfer");
    return;
  }
  dma_register = value;
}

bool EduModel::InBuffer(std::uint64_t address) const {
  return address >= kBuffer && count_ <= kBufferSize && address - kBuffer <= kBufferSize - count_;
}

void EduModel::StartTransfer(std::uint64_t command) {
  if ((command & DmaCommand::kStart) == 0 || (command_ & DmaCommand::kStart) != 0) {
    Violation(fmt::format("command {:#x} written, {:#x} being executed", command, command_));
    return;
  }
  const bool out = (command & DmaCommand::kToMemory) != 0;
  if (count_ == 0 || !InBuffer(out ? source_ : destination_)) {
    Violation(fmt::format("transfer of {} bytes from {:#x} to {:#x}: outside of the buffer", count_,
                          source_, destination_));
    return;
  }
  command_ = command;
  CountDoorbell();
}

void EduModel::Work() {
  if (std::exchange(raise_, false)) host().Raise(InterruptKind::kMsi, 0);
  if ((command_ & DmaCommand::kStart) == 0 || !TakeUnit()) return;
  const std::span<std::byte> buffer(buffer_);
  // What is refused is lost: the device cannot tell.
  if ((command_ & DmaCommand::kToMemory) != 0) {
    (void)host().DmaWrite(destination_, buffer.subspan(source_ - kBuffer, count_));
  } else {
    (void)host().DmaRead(source_, buffer.subspan(destination_ - kBuffer, count_));
  }
  command_ &= ~DmaCommand::kStart;
  if ((command_ & DmaCommand::kInterrupt) != 0) {
    causes_ |= 0x100;
    host().Raise(InterruptKind::kMsi, 0);
  }
}

void EduModel::ResetFunction() {
  liveness_ = 0;
  factorial_ = 0;
  causes_ = 0;
  raise_ = false;
  source_ = destination_ = count_ = command_ = 0;
  buffer_.fill(std::byte{0});
}

}  // namespace carryover::edu
