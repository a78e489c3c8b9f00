// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/igb/fake/fake_igb.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "drivers/igb/registers.h"

namespace carryover::igb {
namespace {

constexpr std::size_t kBarBytes = 0x20000;  // 9.3.6.1: BAR 0 is 128 KiB
constexpr std::size_t kMinFrame = 60;       // without CRC
constexpr std::size_t kMaxFrame = 9728;     // with CRC
constexpr std::size_t kCrc = 4;

std::span<std::byte> BytesOf(auto& object) { return std::as_writable_bytes(std::span(&object, 1)); }

}  // namespace

FakeIgb::FakeIgb(Flavour flavour, unsigned port)
    : flavour_(flavour), port_(port), function_(*this), registers_(kBarBytes / 4) {
  const std::uint16_t subsystem = flavour == Flavour::kQemu ? 0x1af4 : 0x8086;
  function_.config()[0x2c] = static_cast<std::uint8_t>(subsystem);
  function_.config()[0x2d] = static_cast<std::uint8_t>(subsystem >> 8);
  ResetRegisters();
  eeprom_polls_ = kPhyConfigured;
}

std::uint32_t FakeIgb::MyPhy() const { return port_ == 0 ? SwFwSync::kPhy0 : SwFwSync::kPhy1; }

void FakeIgb::ResetRegisters() {
  // Shared with the firmware and the other port, so that no function's reset clears them.
  const std::uint32_t swsm = Reg(Swsm::kOffset);
  const std::uint32_t owners = Reg(SwFwSync::kOffset);
  std::ranges::fill(registers_, 0);
  Reg(Swsm::kOffset) = swsm;
  Reg(SwFwSync::kOffset) = owners;
  Reg(Ctrl::kOffset) = Ctrl::kFullDuplex | Ctrl::kSpeed1000;
  Reg(Status::kOffset) = port_ << Status::kLanIdShift;
  Reg(Eecd::kOffset) = Eecd::kPresent;
  Reg(Gcr::kOffset) = Gcr::kCompletionTimeoutResend;
  Reg(Rxdctl::kOffset) = Bit(16);
  Reg(Rlpml::kOffset) = kMaxFrame;
  frame_.clear();
  frame_unread_ = false;
  held_reports_.clear();
  peer_took_descriptor_ = false;
  eeprom_polls_ = 0;
  link_polls_ = 0;
  wedged_ = false;
  if (!Hardware()) phy_control_ = PhyControl::kAutoNegotiation;
}

void FakeIgb::SoftwareReset() {
  ++resets_;
  // With a request that never ends, STATUS never says so: then the reset may come nevertheless.
  if ((Reg(Ctrl::kOffset) & Ctrl::kGioMasterDisable) == 0) {
    Violation("CTRL.RST without GIO master disable before (5.2.3.3)");
  }
  ResetRegisters();
  if (reset_stuck_) Reg(Ctrl::kOffset) |= Ctrl::kReset;
  quiet_until_ = std::chrono::steady_clock::now() + std::chrono::milliseconds(1);
}

void FakeIgb::SetHung(bool hung) {
  hung_ = hung;
  budget_ = SIZE_MAX;
  if (!hung) Transmit();
}

void FakeIgb::LetThrough(std::size_t units) {
  hung_ = false;
  budget_ = units;
  Transmit();
}

void FakeIgb::CheckAccess(std::size_t offset) {
  if (offset % 4 != 0) Violation(fmt::format("access to {:#x}: not aligned", offset));
  if (std::chrono::steady_clock::now() < quiet_until_) {
    Violation(fmt::format("access to {:#x} within 1 ms of CTRL.RST (4.2.1.6.1)", offset));
  }
}

void FakeIgb::CheckWrite(std::size_t offset, std::uint32_t value) {
  const bool safe = offset == Imc::kOffset || offset == Eimc::kOffset || offset == Ctrl::kOffset ||
                    offset == Rctl::kOffset || offset == Tctl::kOffset;
  if (Hardware() && eeprom_polls_ < kEepromRead && !safe) {
    Violation(fmt::format("write to {:#x} before the EEPROM was read (EECD.AUTO_RD)", offset));
  }
  switch (offset) {
    case Tdbal::kOffset:
    case Rdbal::kOffset:
      if (value % kRingAlignment != 0) Violation("ring base is not 128-byte aligned");
      break;
    case Tdlen::kOffset:
    case Rdlen::kOffset:
      if (value % kRingAlignment != 0 ||
          value > (Hardware() ? kRingMaxBytes : kEmulatedRingMaxBytes)) {
        Violation("bad ring length");
      }
      break;
    case Swsm::kOffset:
      if ((Reg(Swsm::kOffset) & Swsm::kSoftware) == 0) Violation("SWSM written, not taken (4.7)");
      break;
    case SwFwSync::kOffset:
      if ((Reg(Swsm::kOffset) & Swsm::kFirmware) == 0) {
        Violation("SW_FW_SYNC written without SWSM.SWESMBI (4.7)");
      }
      if (((value ^ Reg(offset)) & ~MyPhy()) != 0) Violation("SW_FW_SYNC: another's bit changed");
      break;
    case Rctl::kOffset:
      if (Hardware() && (value & Rctl::kLoopbackMask) != 0) {
        Violation("RCTL.LBM is not 00b with the internal PHY (8.10.1)");
      }
      break;
    default:
      break;
  }
  const bool tx = offset == Tdbal::kOffset || offset == Tdbah::kOffset ||
                  offset == Tdlen::kOffset || offset == Tdh::kOffset;
  const bool rx = offset == Rdbal::kOffset || offset == Rdbah::kOffset ||
                  offset == Rdlen::kOffset || offset == Rdh::kOffset || offset == Srrctl::kOffset;
  if ((tx && QueueOn(Txdctl::kOffset, Tctl::kOffset)) ||
      (rx && QueueOn(Rxdctl::kOffset, Rctl::kOffset))) {
    Violation(fmt::format("write to {:#x} while its queue is on", offset));
  }
}

bool FakeIgb::QueueOn(std::size_t control, std::size_t unit) const {
  return (registers_[control / 4] & Rxdctl::kEnable) != 0 && (registers_[unit / 4] & Bit(1)) != 0;
}

bool FakeIgb::MasterEnabled() {
  return !Hardware() || (Reg(Ctrl::kOffset) & Ctrl::kGioMasterDisable) == 0;
}

bool FakeIgb::LoopsBack() const {
  if (!Hardware()) return (Register(Rctl::kOffset) & Rctl::kLoopbackMac) != 0;
  constexpr std::uint32_t kForced = Ctrl::kForceSpeed | Ctrl::kForceDuplex | Ctrl::kSpeed1000 |
                                    Ctrl::kFullDuplex | Ctrl::kSetLinkUp;
  constexpr std::uint16_t kPhy =
      PhyControl::kLoopback | PhyControl::kSpeed1000 | PhyControl::kFullDuplex;
  return phy_control_ == kPhy && (Register(Ctrl::kOffset) & kForced) == kForced &&
         (Register(CtrlExt::kOffset) & CtrlExt::kLinkModeMask) == 0;
}

std::uint32_t FakeIgb::ReadStatus() {
  std::uint32_t status = Reg(Status::kOffset);
  if (Hardware() && LoopsBack()) status |= Status::kLinkUp;
  // A request that was refused is never completed.
  const bool disabled = (Reg(Ctrl::kOffset) & Ctrl::kGioMasterDisable) != 0;
  if (!disabled || (Hardware() && wedged_)) status |= Status::kGioMasterEnable;
  return status;
}

std::uint32_t FakeIgb::Read32(std::size_t offset) {
  if (gone_) return kAllOnes;
  CheckAccess(offset);
  read_.push_back(offset);
  std::uint32_t value = Reg(offset);
  switch (offset) {
    case Status::kOffset:
      // Auto-negotiation takes its time.
      if (link_polls_ > 0) ++link_polls_;
      if (link_polls_ > 4) Reg(offset) |= Status::kLinkUp;
      return ReadStatus();
    case Eecd::kOffset:  // AUTO_RD rises some time after the reset
      if (!Hardware() || eeprom_stuck_) return value;
      if (eeprom_polls_ < kEepromRead) ++eeprom_polls_;
      if (eeprom_missing_) value &= ~Eecd::kPresent;
      return eeprom_polls_ >= kEepromRead ? value | Eecd::kAutoReadDone : value;
    case Eemngctl::kOffset:
      if (!Hardware() || eeprom_missing_) return value;
      if (eeprom_polls_ >= kEepromRead && eeprom_polls_ < kPhyConfigured) ++eeprom_polls_;
      return eeprom_polls_ >= kPhyConfigured ? value | Bit(Eemngctl::kConfigDoneShift + port_)
                                             : value;
    case Swsm::kOffset:
      Reg(offset) |= Swsm::kSoftware;  // whoever reads 0 has it
      return value;
    case SwFwSync::kOffset:
      return firmware_holds_phy_ ? value | MyPhy() << SwFwSync::kFirmwareShift : value;
    case Txdctl::kOffset:
      return QueueOn(Txdctl::kOffset, Tctl::kOffset) ? value : value & ~Txdctl::kEnable;
    case Rxdctl::kOffset:
      return QueueOn(Rxdctl::kOffset, Rctl::kOffset) ? value : value & ~Rxdctl::kEnable;
    case Icr::kOffset:
      Reg(offset) = 0;
      return value;
    case Eicr::kOffset:
      if (Reg(Eiac::kOffset) != 0) Violation("EICR read with EIAC set (8.8.5)");
      return value;
    default:
      return value;
  }
}

void FakeIgb::Write32(std::size_t offset, std::uint32_t value) {
  if (gone_) return;
  CheckAccess(offset);
  CheckWrite(offset, value);
  written_.push_back(offset);
  switch (offset) {
    case Ctrl::kOffset:
      if ((value & Ctrl::kReset) != 0) return SoftwareReset();
      if (reset_stuck_) value |= Reg(offset) & Ctrl::kReset;
      break;
    case Status::kOffset:
      return;
    case Mdic::kOffset:
      return WriteMdic(value);
    case Swsm::kOffset:
      if (firmware_holds_semaphore_) value &= ~Swsm::kFirmware;
      break;
    case Txdctl::kOffset:
    case Rxdctl::kOffset:
      if ((value & Txdctl::kEnable) == 0 && queues_stuck_) return;
      if ((value & ~Reg(offset) & Txdctl::kEnable) != 0) {  // 8.12.13: initialises the queue
        Reg(offset == Txdctl::kOffset ? Tdh::kOffset : Rdh::kOffset) = 0;
        if (offset == Txdctl::kOffset) frame_.clear();
        if (Reg(offset == Txdctl::kOffset ? Tdlen::kOffset : Rdlen::kOffset) == 0) {
          Violation("queue enabled without a ring");
        }
      }
      break;
    case Tdt::kOffset:
    case Rdt::kOffset:
      return WriteTail(offset, value);
    case Eims::kOffset:
      Reg(Eims::kOffset) |= value;
      return RaisePending();
    case Eimc::kOffset:
      Reg(Eims::kOffset) &= ~value;
      return;
    case Eiac::kOffset:
      // QEMU takes it in multiple MSI-X mode only.
      if (!Hardware() && (Reg(Gpie::kOffset) & Gpie::kMultipleMsix) == 0) return;
      break;
    case Eicr::kOffset:
      Reg(Eicr::kOffset) &= ~value;
      return;
    case Eics::kOffset:
      Reg(Eicr::kOffset) |= value;
      return RaisePending();
    case Imc::kOffset:
      return;
    default:
      break;
  }
  Reg(offset) = value;
}

void FakeIgb::RaisePending() {
  const std::uint32_t pending = Reg(Eicr::kOffset) & Reg(Eims::kOffset);
  if ((Reg(Gpie::kOffset) & Gpie::kMultipleMsix) == 0 || !MasterEnabled()) return;
  for (unsigned vector = 0; vector < 10; ++vector) {
    if ((pending & Bit(vector)) != 0) function_.Raise(InterruptKind::kMsix, vector);
  }
  Reg(Eicr::kOffset) &= ~(pending & Reg(Eiac::kOffset));
}

void FakeIgb::WriteMdic(std::uint32_t value) {
  if ((Reg(SwFwSync::kOffset) & MyPhy()) == 0) Violation("PHY used without SW_FW_SYNC (4.7)");
  if (firmware_holds_phy_) Violation("PHY used while the firmware has it (4.7)");
  if (Hardware() && !eeprom_missing_ && eeprom_polls_ < kPhyConfigured) {
    Violation("PHY used before its configuration was done (EEMNGCTL.CFG_DONE)");
  }
  if ((value & (std::uint32_t{Mdic::kRegisterMask} << 21)) != Mdic::kPhyAddress) {
    Violation("MDIC: the internal PHY has address 1 (8.2.4)");
  }
  const unsigned phy_register = (value >> Mdic::kRegisterShift) & Mdic::kRegisterMask;
  if (!phy_refuses_ && (value & Mdic::kWrite) != 0 && phy_register == PhyControl::kRegister) {
    phy_control_ = static_cast<std::uint16_t>(value & Mdic::kDataMask);
    const bool negotiates = (phy_control_ & PhyControl::kRestartAutoNegotiation) != 0;
    if ((cable_ || !Hardware()) && negotiates) {
      Reg(Status::kOffset) &= ~Status::kLinkUp;
      link_polls_ = 1;
    }
  }
  Reg(Mdic::kOffset) = value | Mdic::kReady | (phy_refuses_ ? Mdic::kError : 0);
}

void FakeIgb::WriteTail(std::size_t offset, std::uint32_t value) {
  const bool transmit = offset == Tdt::kOffset;
  const std::uint32_t bytes = Reg(transmit ? Tdlen::kOffset : Rdlen::kOffset);
  const bool on =
      transmit ? QueueOn(Txdctl::kOffset, Tctl::kOffset) : QueueOn(Rxdctl::kOffset, Rctl::kOffset);
  if (value != 0 || on) {  // the initial zero is written before the queue is on
    if (value * sizeof(TxDescriptor) >= bytes) return Violation("tail outside of the ring");
    if (!on) Violation("tail moved while the queue is off");
  }
  Reg(offset) = value;
  if (transmit && on) {
    ++doorbells_;
    Transmit();
  }
}

// Adds what the descriptor says to the frame. False if its DMA was refused.
bool FakeIgb::Gather(const TxDescriptor& descriptor) {
  constexpr std::uint32_t kWanted = TxDescriptor::kTypeData | TxDescriptor::kExtension;
  if ((descriptor.command & (TxDescriptor::kTypeMask | TxDescriptor::kExtension)) != kWanted) {
    Violation(fmt::format("not an advanced data descriptor: {:#010x}", descriptor.command));
  }
  const std::size_t before = frame_.size();
  frame_.resize(before + (descriptor.command & TxDescriptor::kLengthMask));
  return function_.DmaRead(descriptor.address, std::span(frame_).subspan(before));
}

void FakeIgb::AdvanceTransmitHead() {
  const std::uint32_t next = Reg(Tdh::kOffset) + 1;
  Reg(Tdh::kOffset) = next * sizeof(TxDescriptor) >= Reg(Tdlen::kOffset) ? 0 : next;
}

bool FakeIgb::Wedge() {
  wedged_ = Hardware();
  return wedged_;
}

bool FakeIgb::Report(Iova descriptor) {
  if (reports_held_) {
    held_reports_.push_back(descriptor);
    return true;
  }
  TxDescriptor done;
  done.status = TxDescriptor::kDone;
  return function_.DmaWrite(descriptor, BytesOf(done));
}

void FakeIgb::SetReportsHeld(bool held) {
  reports_held_ = held;
  if (held) return;
  for (const Iova descriptor : std::exchange(held_reports_, {})) {
    if (!Report(descriptor) && Wedge()) return;
  }
}

void FakeIgb::Transmit() {
  while (!hung_ && !gone_ && !wedged_ && MasterEnabled() &&
         QueueOn(Txdctl::kOffset, Tctl::kOffset) && Reg(Tdh::kOffset) != Reg(Tdt::kOffset)) {
    const std::uint32_t head = Reg(Tdh::kOffset);
    const Iova at =
        (Iova{Reg(Tdbah::kOffset)} << 32 | Reg(Tdbal::kOffset)) + head * sizeof(TxDescriptor);
    TxDescriptor descriptor;
    const bool known = function_.DmaRead(at, BytesOf(descriptor));
    if (!known && Wedge()) return;
    if (!known) {
      AdvanceTransmitHead();
      continue;
    }
    if (frame_.empty()) frame_payload_ = descriptor.status >> TxDescriptor::kPayloadShift;
    if (!Gather(descriptor)) {
      if (Wedge()) return;
      frame_unread_ = true;
    }
    AdvanceTransmitHead();
    if ((descriptor.command & TxDescriptor::kEndOfPacket) != 0) {
      if ((descriptor.command & TxDescriptor::kInsertCrc) == 0) Violation("frame without IFCS");
      SendFrame();
    }
    if (wedged_) return;
    if ((descriptor.command & TxDescriptor::kReportStatus) != 0 && !Report(at) && Wedge()) return;
  }
}

void FakeIgb::SendFrame() {
  auto frame = std::exchange(frame_, {});
  if (frame_payload_ != frame.size()) Violation("PAYLEN is not the frame's length (7.2.2.3.11)");
  if (frame.size() < kMinFrame && (Reg(Tctl::kOffset) & Tctl::kPadShortPackets) != 0) {
    frame.resize(kMinFrame);
  }
  if (frame.size() + kCrc > kMaxFrame) Violation("frame above 9.5 KB");
  if (std::exchange(frame_unread_, false)) {
    // dropped
  } else if (!LoopsBack()) {
    ++frames_to_cable_;
  } else if (!std::exchange(lose_next_, false)) {
    if (Reg(Rdh::kOffset) == Reg(Rdt::kOffset) && !peer_took_descriptor_) {
      Violation("frame looped back, no descriptor for it");
    }
    Receive(std::move(frame));
  }
  if (--budget_ == 0) hung_ = true;
}

void FakeIgb::Arrive(std::vector<std::byte> frame) {
  if (Hardware() && (phy_control_ & PhyControl::kLoopback) != 0) return;
  const std::uint32_t head = Reg(Rdh::kOffset);
  Receive(std::move(frame));
  if (Reg(Rdh::kOffset) != head) peer_took_descriptor_ = true;
}

bool FakeIgb::Accepts(const std::vector<std::byte>& frame) {
  const auto byte = [&frame](std::size_t i) { return std::to_integer<std::uint32_t>(frame[i]); };
  if ((ReadStatus() & Status::kLinkUp) == 0 || !QueueOn(Rxdctl::kOffset, Rctl::kOffset)) {
    return false;
  }
  if (frame.size() + kCrc > Reg(Rlpml::kOffset)) return false;
  if (frame.size() > 1514 && (Reg(Rctl::kOffset) & Rctl::kLongPackets) == 0) return false;
  if ((byte(12) << 8 | byte(13)) == 0x8808) return false;  // MAC control is for the MAC
  const std::uint32_t low = byte(0) | byte(1) << 8 | byte(2) << 16 | byte(3) << 24;
  const std::uint32_t high = byte(4) | byte(5) << 8;
  return (Reg(Rctl::kOffset) & Bit(3)) != 0 ||  // UPE
         (low == Reg(Ral0::kOffset) && (high | Rah0::kValid) == Reg(Rah0::kOffset));
}

void FakeIgb::Receive(std::vector<std::byte> frame) {
  if (!MasterEnabled() || !Accepts(frame)) return;
  const std::uint32_t head = Reg(Rdh::kOffset);
  if (head == Reg(Rdt::kOffset)) return;
  const Iova at =
      (Iova{Reg(Rdbah::kOffset)} << 32 | Reg(Rdbal::kOffset)) + head * sizeof(RxDescriptor);
  RxDescriptor descriptor;
  if (!function_.DmaRead(at, BytesOf(descriptor)) && Wedge()) return;
  if ((Reg(Rctl::kOffset) & Rctl::kStripCrc) == 0) frame.resize(frame.size() + kCrc);
  const std::uint32_t type = Reg(Srrctl::kOffset) & Srrctl::kTypeMask;
  const bool stored =
      type == Srrctl::kOneBuffer ? Store(frame, descriptor) : StoreSplit(frame, descriptor);
  if (!stored) return;
  if (std::exchange(fail_next_, false)) descriptor.header |= RxDescriptor::kReceiveError;
  if (!function_.DmaWrite(at, BytesOf(descriptor)) && Wedge()) return;
  Reg(Rdh::kOffset) = (head + 1) * 16 >= Reg(Rdlen::kOffset) ? 0 : head + 1;
}

// 7.1.5, one buffer a descriptor. Makes of the descriptor what is written back; false if nothing
// is.
bool FakeIgb::Store(const std::vector<std::byte>& frame, RxDescriptor& descriptor) {
  const std::size_t buffer =
      (Reg(Srrctl::kOffset) & Srrctl::kPacketKilobytesMask) * std::size_t{1024};
  if (descriptor.packet == 0 || buffer == 0) {
    Violation("null receive buffer (7.1.5)");
    return false;
  }
  if (frame.size() > buffer) {
    Violation("frame in several descriptors: not modelled");
    return false;
  }
  if (!function_.DmaWrite(descriptor.packet, frame) && Wedge()) return false;
  descriptor.packet = 0;
  descriptor.header =
      std::uint64_t{frame.size()} << 32 | RxDescriptor::kDone | RxDescriptor::kEndOfPacket;
  return true;
}

// The same, split.
bool FakeIgb::StoreSplit(const std::vector<std::byte>& frame, RxDescriptor& descriptor) {
  const std::uint32_t srrctl = Reg(Srrctl::kOffset);
  const std::size_t header =
      ((srrctl >> Srrctl::kHeaderShift) & Srrctl::kHeaderMask) * std::size_t{Srrctl::kHeaderUnit};
  const std::size_t buffer = (srrctl & Srrctl::kPacketKilobytesMask) * std::size_t{1024};
  if ((srrctl & Srrctl::kTypeMask) != Srrctl::kSplitAlwaysUseHeader || header == 0) {
    Violation("SRRCTL: only one buffer, and 'split, always use header buffer' are modelled");
    return false;
  }
  if (descriptor.packet == 0 || descriptor.header == 0 || descriptor.header % 2 != 0) {
    Violation("null or odd receive buffer (7.1.5)");
    return false;
  }
  // 7.1.6, a header that is not recognised: BSIZEHEADER bytes into the one, the rest to the other.
  const std::size_t split = std::min(header, frame.size());
  const std::size_t rest = frame.size() - split;
  if (rest > buffer) {
    Violation("frame in several descriptors: not modelled");
    return false;
  }
  const auto bytes = std::span(frame);
  const bool header_written = function_.DmaWrite(descriptor.header, bytes.first(split));
  const bool rest_written = function_.DmaWrite(descriptor.packet, bytes.subspan(split));
  if (!(header_written && rest_written) && Wedge()) return false;
  descriptor.packet = static_cast<std::uint64_t>(split) << 21;  // HDR_LEN
  descriptor.header = std::uint64_t{rest} << 32 | RxDescriptor::kDone | RxDescriptor::kEndOfPacket;
  return true;
}

std::uint8_t FakeIgb::Read8(std::size_t offset) {
  Violation("8-bit access");
  return static_cast<std::uint8_t>(Read32(offset & ~std::size_t{3}));
}
std::uint16_t FakeIgb::Read16(std::size_t offset) {
  Violation("16-bit access");
  return static_cast<std::uint16_t>(Read32(offset & ~std::size_t{3}));
}
std::uint64_t FakeIgb::Read64(std::size_t offset) {
  Violation("64-bit access");
  return Read32(offset);
}
void FakeIgb::Write8(std::size_t, std::uint8_t) { Violation("8-bit access"); }
void FakeIgb::Write16(std::size_t, std::uint16_t) { Violation("16-bit access"); }
void FakeIgb::Write64(std::size_t, std::uint64_t) { Violation("64-bit access"); }

}  // namespace carryover::igb
