// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/ioat/model/ioat_model.h"

#include <fmt/format.h>

#include <span>
#include <vector>

#include "drivers/ioat/region.h"

namespace carryover::ioat {
namespace {

constexpr std::string_view kStates[] = {"active", "done", "suspended", "halted", "armed"};

// CHANCTRL's bits that keep what is written.
constexpr std::uint16_t kControlKept =
    static_cast<std::uint16_t>(~(ChanCtrl::kReserved | ChanCtrl::kInterruptDisabled));

constexpr std::uint32_t kControlAllowed =
    Descriptor::kInterrupt | Descriptor::kNoSourceSnoop | Descriptor::kNoDestinationSnoop |
    Descriptor::kCompletion | Descriptor::kFence | Descriptor::kNull;

// A register's width; 0 where there is none.
std::size_t SizeOf(std::size_t offset) {
  switch (offset) {
    case ChanCnt::kOffset:
    case XferCap::kOffset:
    case GenCtrl::kOffset:
    case IntrCtrl::kOffset:
    case CbVer::kOffset:
    case ChanCmd::kOffset:
      return 1;
    case IntrDelay::kOffset:
    case CsStatus::kOffset:
    case ChanCtrl::kOffset:
    case DmaComp::kOffset:
    case DmaCount::kOffset:
      return 2;
    case AttnStatus::kOffset:
    case DmaCapability::kOffset:
    case ChanErr::kOffset:
    case ChanErrMsk::kOffset:
    case DcaCtrl::kOffset:
      return 4;
    case ChanSts::kOffset:
    case ChainAddr::kOffset:
    case ChanCmp::kOffset:
      return 8;
    default:
      return 0;
  }
}

// The 64-bit register that this is a half of, or the register itself.
std::size_t WholeOf(std::size_t offset, std::size_t size) {
  const std::size_t whole = offset & ~std::size_t{7};
  return size == 4 && SizeOf(whole) == 8 ? whole : offset;
}

bool Fits(std::size_t whole, std::size_t size) {
  return size == SizeOf(whole) || (size == 4 && SizeOf(whole) == 8);
}

}  // namespace

ModelIdentity IoatModel::Identity(ChannelKind kind) {
  return {.id = kind.id,
          .class_code = 0x088000,
          .revision = 4,
          .subsystem = {.vendor = 0x8086, .device = kind.id.device},
          .bars = {{.index = 0, .size = kBarSize, .wide = true}},
          .msix_vectors = 1,
          .intx = true,
          .msix_bar = 0,
          .msix_offset = kMsixTableOffset};
}

std::uint64_t IoatModel::Read(unsigned /*bar*/, std::size_t offset, std::size_t size) {
  const std::size_t whole = WholeOf(offset, size);
  if (!Fits(whole, size)) {
    Violation(fmt::format("read of {} bytes at {:#x}", size, offset));
    return 0;
  }
  const std::uint64_t value = ReadRegister(whole) >> (8 * (offset - whole));
  return size == 4 ? value & 0xffff'ffff : value;
}

std::uint64_t IoatModel::ReadRegister(std::size_t offset) {
  Registers& r = registers_;
  switch (offset) {
    case ChanCnt::kOffset:
      return kind_.channels;
    case XferCap::kOffset:
      return kind_.xfercap;
    case GenCtrl::kOffset:
      return r.general;
    case IntrCtrl::kOffset: {
      const std::uint8_t status =
          r.attention
              ? IntrCtrl::kStatus |
                    ((r.interrupts & IntrCtrl::kMasterEnable) != 0 ? IntrCtrl::kInterrupt : 0)
              : 0;
      const std::uint8_t value = r.interrupts | status;
      r.interrupts &= static_cast<std::uint8_t>(~IntrCtrl::kMasterEnable);
      return value;
    }
    case AttnStatus::kOffset:
      return std::exchange(r.attention, false) ? 1 : 0;
    case CbVer::kOffset:
      return kind_.version;
    case IntrDelay::kOffset:
      return r.delay | IntrDelay::kCoalescing;
    case CsStatus::kOffset:
      return CsStatus::kAddressRemapping;
    case DmaCapability::kOffset:
      return DmaCapability::kExtendedApicId;
    case ChanCtrl::kOffset: {
      const std::uint16_t value =
          r.setup.control | (r.interrupt_disabled ? ChanCtrl::kInterruptDisabled : 0);
      r.setup.control |= ChanCtrl::kInUse;
      return value;
    }
    case DmaComp::kOffset:
      return DmaComp::kVersion2 | DmaComp::kVersion3;
    case ChanCmd::kOffset:
      EndReset();
      return (r.resetting ? ChanCmd::kReset : 0) | (r.suspending ? ChanCmd::kSuspend : 0);
    case DmaCount::kOffset:
      return r.count;
    case ChanSts::kOffset:
      if (r.arming != 0) {
        --r.arming;
        if (r.arming == 0) r.state = ChanSts::kArmed;
      }
      return Status();
    case ChainAddr::kOffset:
      return r.setup.chain;
    case ChanCmp::kOffset:
      return r.setup.completion;
    case ChanErr::kOffset:
      return r.errors;
    case ChanErrMsk::kOffset:
      return r.setup.error_mask;
    case DcaCtrl::kOffset:
      return r.dca;
    default:
      return 0;
  }
}

void IoatModel::Write(unsigned /*bar*/, std::size_t offset, std::size_t size, std::uint64_t value) {
  const std::size_t whole = WholeOf(offset, size);
  if (!Fits(whole, size)) {
    return Violation(fmt::format("write of {} bytes at {:#x}", size, offset));
  }
  if (SizeOf(whole) == 8 && size == 4) {
    const std::uint64_t old =
        whole == ChainAddr::kOffset ? registers_.setup.chain : registers_.setup.completion;
    const unsigned shift = offset == whole ? 0 : 32;
    value = (old & ~(std::uint64_t{0xffff'ffff} << shift)) | (value & 0xffff'ffff) << shift;
  }
  const auto byte = static_cast<std::uint8_t>(value);
  const auto half = static_cast<std::uint16_t>(value);
  const auto word = static_cast<std::uint32_t>(value);
  switch (whole) {
    case GenCtrl::kOffset:
      if ((byte & ~GenCtrl::kDebug) != 0) return Violation(fmt::format("GENCTRL {:#x}", byte));
      registers_.general = byte;
      return;
    case IntrCtrl::kOffset:
      if (byte > 0xf) return Violation(fmt::format("INTRCTRL {:#x}", byte));
      registers_.interrupts = byte & (IntrCtrl::kMasterEnable | IntrCtrl::kMsixVectors);
      return;
    case IntrDelay::kOffset:
      if ((half & ~(IntrDelay::kMask | IntrDelay::kCoalescing)) != 0) {
        return Violation(fmt::format("INTRDELAY {:#x}", half));
      }
      registers_.delay = half & IntrDelay::kMask;
      return;
    case ChanCtrl::kOffset:
      return WriteControl(half);
    case ChanCmd::kOffset:
      return WriteCommand(byte);
    case DmaCount::kOffset:
      return WriteCount(half);
    case ChainAddr::kOffset:
      return WriteChain(value);
    case ChanCmp::kOffset:
      return WriteCompletion(value);
    case ChanErr::kOffset:
      registers_.errors &= ~word;
      return;
    case ChanErrMsk::kOffset:
      registers_.setup.error_mask = word;
      return;
    case DcaCtrl::kOffset:
      registers_.dca = word;
      return;
    default:
      Violation(fmt::format("write of {:#x}, where nothing can be written", offset));
  }
}

void IoatModel::WriteControl(std::uint16_t value) {
  if ((value & ChanCtrl::kReserved) != 0) {
    return Violation(fmt::format("CHANCTRL {:#x}: reserved bits", value));
  }
  registers_.setup.control = value & kControlKept;
  if ((value & ChanCtrl::kInterruptDisabled) != 0) registers_.interrupt_disabled = false;
}

void IoatModel::WriteCommand(std::uint8_t value) {
  Registers& r = registers_;
  EndReset();
  if (r.resetting) return;
  switch (value) {
    case 0:
      return;
    case ChanCmd::kReset:
      // CF5 of E7 v2's specification update, and what all drivers do.
      if (r.state == ChanSts::kActive && !r.suspending)
        Violation("RESET while active: suspend first");
      CountReset();
      ++epoch_;
      r.resetting = true;
      r.suspending = false;
      r.arming = 0;
      r.state = ChanSts::kHalted;
      r.completed = 0;
      r.count = r.counter = 0;
      if (kind_.reset_clears_registers) r.setup = {};
      return;
    case ChanCmd::kSuspend:
      if (r.state == ChanSts::kHalted && r.errors != 0) return;  // the driver cannot know yet
      if (r.state != ChanSts::kActive && r.state != ChanSts::kDone) {
        return Violation(fmt::format("SUSPEND while {}", kStates[r.state]));
      }
      if (busy_ || (r.state == ChanSts::kActive && !kind_.hung_channel_suspends)) {
        r.suspending = true;
      } else {
        r.state = ChanSts::kSuspended;
      }
      return;
    default:
      Violation(fmt::format("CHANCMD {:#x}: reserved bits, or more than one command", value));
      HaltWith(ChanErr::kCommand);
  }
}

void IoatModel::EndReset() {
  if (!reset_stuck() && !busy_) registers_.resetting = false;
}

void IoatModel::WriteCount(std::uint16_t value) {
  Registers& r = registers_;
  if (r.state == ChanSts::kHalted && r.errors != 0) {
    CountDoorbell();  // the driver cannot know yet
    return;
  }
  if (r.resetting || r.state == ChanSts::kHalted || r.state == ChanSts::kSuspended) {
    return Violation(fmt::format("DMACOUNT written while {}", kStates[r.state]));
  }
  const auto added = static_cast<std::uint16_t>(value - r.count);
  const auto left = static_cast<std::uint16_t>(r.count - r.counter);
  if (added >= 0x8000 || left + added > 0xffff) {
    return Violation(fmt::format("DMACOUNT {} after {}, with {} done: less, or too much", value,
                                 r.count, r.counter));
  }
  r.count = value;
  CountDoorbell();
  if (r.count != r.counter) r.state = ChanSts::kActive;
}

void IoatModel::WriteChain(std::uint64_t value) {
  Registers& r = registers_;
  if (r.state == ChanSts::kActive || r.resetting) {
    return Violation("CHAINADDR written while the channel is active, or in reset");
  }
  if (value % ChainAddr::kAlignment != 0) {
    Violation(fmt::format("CHAINADDR {:#x} is not aligned", value));
    return HaltWith(ChanErr::kChainAddress);
  }
  r.setup.chain = value;
  r.next = value;
  r.count = r.counter = 0;
  if (r.errors != 0) {
    r.state = ChanSts::kHalted;
  } else if (kind_.slow_to_arm != 0) {
    r.arming = kind_.slow_to_arm;
  } else {
    r.state = ChanSts::kArmed;
  }
}

void IoatModel::WriteCompletion(std::uint64_t value) {
  Registers& r = registers_;
  if (r.state == ChanSts::kActive || r.resetting) {
    return Violation("CHANCMP written while the channel is active, or in reset");
  }
  if (value % ChanCmp::kAlignment != 0) {
    Violation(fmt::format("CHANCMP {:#x} is not aligned", value));
    return HaltWith(ChanErr::kCompletionAddress);
  }
  r.setup.completion = value;
}

void IoatModel::ResetFunction() {
  ++epoch_;
  registers_ = {};
}

void IoatModel::Work() {
  while (!busy_ && registers_.state == ChanSts::kActive && TakeUnit()) {
    busy_ = true;
    const std::uint64_t epoch = epoch_;
    const bool goes_on = DoDescriptor();
    busy_ = false;
    if (epoch != epoch_ || !goes_on) continue;
    if (std::exchange(registers_.suspending, false)) registers_.state = ChanSts::kSuspended;
  }
}

bool IoatModel::DoDescriptor() {
  const std::uint64_t epoch = epoch_;
  Registers& r = registers_;
  Descriptor d;
  const bool fetched = host().DmaRead(r.next, BytesOf(d));
  if (epoch != epoch_) return false;
  if (!fetched) {
    HaltWith(ChanErr::kNextDescriptor);
    return false;
  }
  std::uint32_t error = 0;
  if (d.next % ChainAddr::kAlignment != 0) {
    Violation(fmt::format("a descriptor's next {:#x} is not aligned", d.next));
    error = ChanErr::kDescriptor;
  } else if ((d.control & ~kControlAllowed) != 0 || d.reserved[0] != 0 || d.reserved[1] != 0) {
    Violation(fmt::format("a descriptor's control {:#x} or reserved words {:#x}, {:#x}", d.control,
                          d.reserved[0], d.reserved[1]));
    error = ChanErr::kControl;
  } else if (d.size == 0 || (kind_.xfercap != 0 && d.size > std::uint64_t{1} << kind_.xfercap)) {
    Violation(fmt::format("a descriptor's size {}", d.size));
    error = ChanErr::kLength;
  } else if (TakeFailure()) {
    error = ChanErr::kDmaDataParity;
  } else {
    error = Transfer(d.size, d.control, d.source, d.destination);
    if (epoch != epoch_) return false;
  }
  if (error != 0) {
    HaltWith(error);
    return false;
  }
  Spend(d.size);
  r.completed = r.next;
  r.next = d.next;
  ++r.counter;
  if (r.counter == r.count) r.state = ChanSts::kDone;
  if ((d.control & Descriptor::kCompletion) != 0) {
    const bool written = WriteStatus();
    if (epoch != epoch_) return false;
    if (!written) {
      HaltWith(ChanErr::kCompletionAddress);
      return false;
    }
    // DMACOUNT may have been written meanwhile.
    if (r.state == ChanSts::kDone && r.counter != r.count) r.state = ChanSts::kActive;
  }
  if ((d.control & Descriptor::kInterrupt) != 0) Interrupt();
  return true;
}

std::uint32_t IoatModel::Transfer(std::uint32_t size, std::uint32_t control, std::uint64_t source,
                                  std::uint64_t destination) {
  if ((control & Descriptor::kNull) != 0) return 0;
  const std::uint64_t epoch = epoch_;
  std::vector<std::byte> bytes(size);
  if (!host().DmaRead(source, bytes)) return ChanErr::kSource;
  if (epoch != epoch_) return 0;
  return host().DmaWrite(destination, bytes) ? 0 : ChanErr::kDestination;
}

void IoatModel::HaltWith(std::uint32_t error) {
  Registers& r = registers_;
  r.errors |= error;
  r.state = ChanSts::kHalted;
  r.suspending = false;
  r.arming = 0;
  if ((r.setup.control & ChanCtrl::kErrorCompletion) != 0 && error != ChanErr::kCompletionAddress) {
    const std::uint64_t epoch = epoch_;
    const bool written = busy_ && WriteStatus();
    if (epoch == epoch_ && busy_ && !written) r.errors |= ChanErr::kCompletionAddress;
  }
  if ((r.setup.control & ChanCtrl::kErrorInterrupt) != 0 && busy_) Interrupt();
}

bool IoatModel::WriteStatus() {
  std::uint64_t status = Status();
  return host().DmaWrite(registers_.setup.completion, BytesOf(status));
}

// 8.5.12: an interrupt while it is disabled is none.
void IoatModel::Interrupt() {
  if (std::exchange(registers_.interrupt_disabled, true)) return;
  registers_.attention = true;
  host().Raise(InterruptKind::kMsix, 0);
}

}  // namespace carryover::ioat
