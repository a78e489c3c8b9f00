// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/e1000e/model/e1000e_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace carryover::e1000e {
namespace {

constexpr std::size_t kMinFrame = 60;    // without CRC
constexpr std::size_t kMaxFrame = 9018;  // with CRC
constexpr std::size_t kCrc = 4;
constexpr std::uint32_t kSizes = Bit(16) | Bit(17) | Bit(25);  // RCTL.BSIZE, BSEX
constexpr unsigned kEepromPolls = 3;
constexpr unsigned kMdioPolls = 2;
constexpr unsigned kPhyResetPolls = 2;

std::uint16_t EtherType(const std::vector<std::byte>& frame) {
  return static_cast<std::uint16_t>(std::to_integer<unsigned>(frame[12]) << 8 |
                                    std::to_integer<unsigned>(frame[13]));
}

}  // namespace

ModelIdentity E1000eModel::Identity(Flavour /*flavour*/) {
  return {.id = {.vendor = 0x8086, .device = 0x10d3},
          .class_code = 0x020000,
          .subsystem = {.vendor = 0x8086, .device = 0x0000},
          .bars = {{.index = 0, .size = kBarSize}, {.index = 3, .size = 16384}},
          .msix_vectors = 5,
          .msi_vectors = 1,
          .intx = true,
          .msix_bar = 3};
}

E1000eModel::E1000eModel(ModelHost& host, Flavour flavour)
    : DeviceModel(host), flavour_(flavour), identity_(Identity(flavour)), registers_(kBarSize / 4) {
  ResetFunction();
  eeprom_polls_ = kEepromPolls;
  mdio_polls_ = 0;
}

void E1000eModel::ResetRegisters() {
  ++epoch_;
  const std::uint32_t pba = Register(Pba::kOffset);
  std::ranges::fill(registers_, 0);
  Reg(Pba::kOffset) = pba;
  Reg(Ctrl::kOffset) = Ctrl::kFullDuplex | Ctrl::kSpeed1000;
  fifo_.clear();
  held_reports_.clear();
  wedged_ = false;
  signalled_ = 0;
  throttle_.reset();
  eeprom_polls_ = 0;
  mdio_polls_ = kMdioPolls;
  if (!Hardware()) phy_control_ = PhyControl::kAutoNegotiation;
}

void E1000eModel::ResetFunction() {
  ResetRegisters();
  Reg(Pba::kOffset) = 20;
  phy_page_ = 0;
  phy_control_ = PhyControl::kAutoNegotiation;
  phy_mac_control_ = 0;
  phy_at_1000_ = false;
}

bool E1000eModel::LoopsBack() const {
  constexpr std::uint16_t kPhy =
      PhyControl::kLoopback | PhyControl::kSpeed1000 | PhyControl::kFullDuplex;
  constexpr std::uint32_t kForced = Ctrl::kForceSpeed | Ctrl::kForceDuplex | Ctrl::kSpeed1000 |
                                    Ctrl::kFullDuplex | Ctrl::kSetLinkUp;
  if (!Hardware()) return (phy_control_ & PhyControl::kLoopback) != 0;
  return phy_control_ == kPhy && phy_at_1000_ && Has(Ctrl::kOffset, kForced);
}

bool E1000eModel::Negotiated() const {
  return cable_ && (phy_control_ & PhyControl::kAutoNegotiation) != 0 &&
         (phy_control_ & PhyControl::kLoopback) == 0 && Has(Ctrl::kOffset, Ctrl::kSetLinkUp) &&
         !Has(Ctrl::kOffset, Ctrl::kForceSpeed);
}

bool E1000eModel::LinkUp() const { return !Hardware() || LoopsBack() || Negotiated(); }

std::uint64_t E1000eModel::Read(unsigned bar, std::size_t offset, std::size_t size) {
  if (bar != 0 || size != 4) {
    Violation(fmt::format("read of {} bytes at {:#x} of BAR {}", size, offset, bar));
    return 0;
  }
  ++reads_;
  const std::uint32_t value = Register(offset);
  switch (offset) {
    case Ctrl::kOffset:
      if (!reset_stuck()) Reg(offset) &= ~Ctrl::kReset;
      return Register(offset);
    case Status::kOffset:
      // A request that was refused is never completed.
      return (LinkUp() ? Status::kLinkUp : 0) |
             (MasterEnabled() || wedged_ ? Status::kGioMasterEnable : 0);
    case Eecd::kOffset:
      if (!eeprom_stuck_ && eeprom_polls_ < kEepromPolls) ++eeprom_polls_;
      return eeprom_polls_ < kEepromPolls ? value : value | Eecd::kAutoReadDone;
    case Mdic::kOffset:
      return value | Mdic::kReady;
    case Icr::kOffset:
      if (Register(Ims::kOffset) == 0) Reg(offset) = 0;
      return value;
    case Ics::kOffset:
    case Imc::kOffset:
      Violation(fmt::format("read of {:#x}, which is for writing", offset));
      return 0;
    default:
      return value;
  }
}

void E1000eModel::Write(unsigned bar, std::size_t offset, std::size_t size, std::uint64_t value) {
  if (bar != 0 || size != 4) {
    return Violation(fmt::format("write of {} bytes at {:#x} of BAR {}", size, offset, bar));
  }
  writes_.push_back(offset);
  CheckWrite(offset, static_cast<std::uint32_t>(value));
  WriteRegister(offset, static_cast<std::uint32_t>(value));
}

void E1000eModel::CheckWrite(std::size_t offset, std::uint32_t value) {
  const bool rx_on = Has(Rctl::kOffset, Rctl::kEnable);
  const bool tx_on = Has(Tctl::kOffset, Tctl::kEnable);
  const bool early = offset == Imc::kOffset || offset == Ctrl::kOffset || offset == Rctl::kOffset ||
                     offset == Tctl::kOffset || offset == ExtcnfCtrl::kOffset ||
                     offset == Pba::kOffset;
  if (eeprom_polls_ < kEepromPolls && !early) {
    Violation(fmt::format("write to {:#x} before the EEPROM was read (EECD.AUTO_RD)", offset));
  }
  switch (offset) {
    case Tdbal::kOffset:
    case Rdbal::kOffset:
      if (value % kRingAlignment != 0) Violation("a ring's base is not 16-byte aligned");
      [[fallthrough]];
    case Tdbah::kOffset:
    case Rdbah::kOffset:
    case Tdlen::kOffset:
    case Rdlen::kOffset:
    case Tdh::kOffset:
    case Rdh::kOffset:
      if (offset < Tdbal::kOffset ? rx_on : tx_on) {
        Violation(fmt::format("write to {:#x} while its queue is on", offset));
      }
      if ((offset == Tdlen::kOffset || offset == Rdlen::kOffset) &&
          (value == 0 || value % kRingLengthUnit != 0 || value > kRingMaxBytes)) {
        Violation(fmt::format("a ring of {} bytes", value));
      }
      break;
    case Psrctl::kOffset:
    case Rfctl::kOffset:
      if (rx_on) Violation(fmt::format("write to {:#x} while receive is on", offset));
      break;
    case Rctl::kOffset:
      if ((value & Rctl::kLoopbackMask) != 0) {
        Violation("RCTL.LBM is not 00b with the internal PHY");
      }
      if ((value & Rctl::kEnable) == 0) break;
      if (Register(Rdlen::kOffset) == 0) Violation("receive enabled without a ring");
      if (!Has(Rfctl::kOffset, Rfctl::kExtendedStatus) ||
          ((value & Rctl::kTypeMask) != Rctl::kPacketSplit &&
           ((value & Rctl::kTypeMask) != 0 || (value & kSizes) != Rctl::kBuffers256))) {
        Violation("only packet split, and buffers of 256 bytes are modelled, with RFCTL.EXSTEN");
      }
      if ((value & Rctl::kTypeMask) == 0) break;
      if ((Register(Psrctl::kOffset) & Psrctl::kHeaderMask) == 0 ||
          (Register(Psrctl::kOffset) >> Psrctl::kData1Shift & Psrctl::kDataMask) == 0) {
        Violation("packet split without sizes of the first two buffers (PSRCTL)");
      }
      break;
    case Tctl::kOffset:
      if ((value & Tctl::kEnable) == 0) break;
      if (Register(Tdlen::kOffset) == 0) Violation("transmit enabled without a ring");
      if (!Has(Txdctl::kOffset, Txdctl::kMustBeSet)) Violation("TXDCTL bit 22 is not set");
      if (!Has(Gcr::kOffset, Gcr::kMustBeSet)) Violation("GCR bit 22 is not set");
      break;
    case Mdic::kOffset:
      if (!Has(ExtcnfCtrl::kOffset, ExtcnfCtrl::kSoftwareOwnsMdio)) {
        Violation("MDIC written without owning it (EXTCNF_CTRL)");
      }
      if ((value >> Mdic::kPhyShift & Mdic::kPhyMask) != Mdic::kPhy) {
        Violation("MDIC: the internal PHY has address 1");
      }
      break;
    default:
      break;
  }
}

void E1000eModel::WriteRegister(std::size_t offset, std::uint32_t value) {
  switch (offset) {
    case Ctrl::kOffset:
      return WriteControl(value);
    case Status::kOffset:
      return;
    case ExtcnfCtrl::kOffset:
      if ((value & ExtcnfCtrl::kSoftwareOwnsMdio) == 0) break;
      if (firmware_holds_phy_ || mdio_polls_ > 0) value &= ~ExtcnfCtrl::kSoftwareOwnsMdio;
      if (mdio_polls_ > 0) --mdio_polls_;
      break;
    case Mdic::kOffset:
      return WriteMdic(value);
    case Icr::kOffset:
      Reg(Icr::kOffset) &= ~value;
      return;
    case Ics::kOffset:
      return SetCause(value);
    case Ims::kOffset:
      Reg(Ims::kOffset) |= value;
      return;
    case Imc::kOffset:
      Reg(Ims::kOffset) &= ~value;
      return;
    case Rdt::kOffset:
    case Tdt::kOffset:
      return WriteTail(offset, value);
    default:
      break;
  }
  Reg(offset) = value;
}

void E1000eModel::WriteControl(std::uint32_t value) {
  if ((value & Ctrl::kReset) == 0) {
    const std::uint32_t resetting = reset_stuck() ? Register(Ctrl::kOffset) & Ctrl::kReset : 0;
    Reg(Ctrl::kOffset) = value | resetting;
    return;
  }
  CountReset();
  if (MasterEnabled()) Violation("CTRL.RST without GIO master disable before");
  if (!Has(ExtcnfCtrl::kOffset, ExtcnfCtrl::kSoftwareOwnsMdio) && !firmware_holds_phy_) {
    Violation("CTRL.RST without owning the PHY (EXTCNF_CTRL)");
  }
  if ((Register(Pba::kOffset) & Pba::kKilobytesMask) != 20) {
    Violation("a frame of 9018 bytes does not fit in the packet buffer (PBA)");
  }
  ResetRegisters();
  Reg(Ctrl::kOffset) |= Ctrl::kReset;
}

void E1000eModel::WriteMdic(std::uint32_t value) {
  const unsigned phy_register = value >> Mdic::kRegisterShift & Mdic::kRegisterMask;
  if (phy_refuses_) {
    value |= Mdic::kError;
  } else if ((value & Mdic::kWrite) != 0) {
    WritePhy(phy_register, static_cast<std::uint16_t>(value & Mdic::kDataMask));
  } else {
    if (phy_register == PhyControl::kRegister) {
      if (phy_reset_polls_ > 0) --phy_reset_polls_;
      if (phy_reset_polls_ == 0) phy_control_ &= static_cast<std::uint16_t>(~PhyControl::kReset);
    }
    value = (value & ~Mdic::kDataMask) | ReadPhy(phy_register);
  }
  Reg(Mdic::kOffset) = value & ~Mdic::kReady;
  if ((value & Mdic::kInterrupt) != 0) SetCause(Cause::kMdioAccess);
}

void E1000eModel::WritePhy(unsigned phy_register, std::uint16_t value) {
  if (phy_register == PhyPage::kRegister) {
    phy_page_ = value;
  } else if (phy_register == PhyControl::kRegister && phy_page_ == 0) {
    if ((phy_control_ & PhyControl::kReset) != 0) Violation("PHY written before its reset ended");
    if ((value & PhyControl::kReset) != 0) {
      phy_reset_polls_ = kPhyResetPolls;
      phy_at_1000_ =
          (phy_mac_control_ & PhyMacControl::kDefaultSpeedMask) == PhyMacControl::kDefaultSpeed1000;
    }
    phy_control_ = value & static_cast<std::uint16_t>(~PhyControl::kRestartAutoNegotiation);
  } else if (phy_register == PhyMacControl::kRegister && phy_page_ == PhyMacControl::kPage) {
    phy_mac_control_ = value;
  } else {
    Violation(fmt::format("PHY register {} of page {} is not modelled", phy_register, phy_page_));
  }
}

std::uint16_t E1000eModel::ReadPhy(unsigned phy_register) const {
  if (phy_register == PhyPage::kRegister) return phy_page_;
  if (phy_register == PhyMacControl::kRegister && phy_page_ == PhyMacControl::kPage) {
    return phy_mac_control_;
  }
  return phy_register == PhyControl::kRegister ? phy_control_ : 0;
}

void E1000eModel::WriteTail(std::size_t offset, std::uint32_t value) {
  const bool transmit = offset == Tdt::kOffset;
  const bool on = transmit ? Has(Tctl::kOffset, Tctl::kEnable) : Has(Rctl::kOffset, Rctl::kEnable);
  const std::uint32_t bytes = Register(transmit ? Tdlen::kOffset : Rdlen::kOffset);
  if (value * kTailUnit >= bytes) return Violation("a tail outside of the ring");
  if (!transmit && Splits() && value % (sizeof(RxDescriptor) / kTailUnit) != 0) {
    return Violation("a receive tail within a descriptor");
  }
  if (value != 0 && !on) Violation("a tail moved while its queue is off");
  Reg(offset) = value;
  if (transmit && on) CountDoorbell();
}

void E1000eModel::SetFifoHeld(bool held) {
  fifo_held_ = held;
  Work();
}

void E1000eModel::SetReportsHeld(bool held) {
  reports_held_ = held;
  if (held) return;
  for (const Iova descriptor : std::exchange(held_reports_, {})) (void)Report(descriptor);
}

void E1000eModel::Arrive(std::vector<std::byte> frame) {
  fifo_.push_back(std::move(frame));
  Work();
}

void E1000eModel::ForgetAccesses() {
  writes_.clear();
  reads_ = 0;
}

void E1000eModel::Work() {
  DrainFifo();
  while (MasterEnabled() && !wedged_ && Has(Tctl::kOffset, Tctl::kEnable) &&
         Register(Tdh::kOffset) != Register(Tdt::kOffset) && TakeUnit()) {
    if (!TransmitFrame()) break;
    DrainFifo();
  }
  RaisePending();
}

bool E1000eModel::Wedge() {
  wedged_ = Hardware();
  return wedged_;
}

bool E1000eModel::TransmitFrame() {
  const std::uint64_t epoch = epoch_;
  std::vector<std::byte> frame;
  bool whole = true;
  while (true) {
    const std::uint32_t head = Register(Tdh::kOffset);
    if (head == Register(Tdt::kOffset)) {
      Violation("a tail within a frame: not modelled");
      return false;
    }
    const Iova at = RingBase(Tdbal::kOffset) + head * sizeof(TxDescriptor);
    TxDescriptor descriptor;
    const bool known = host().DmaRead(at, BytesOf(descriptor));
    if (epoch != epoch_ || (!known && Wedge())) return false;
    if (known && !Gather(descriptor, frame)) {
      if (epoch != epoch_ || Wedge()) return false;
      whole = false;
    }
    if (epoch != epoch_) return false;
    const std::uint32_t size = Register(Tdlen::kOffset) / std::uint32_t{sizeof(TxDescriptor)};
    Reg(Tdh::kOffset) = (head + 1) % size;
    const bool end = (descriptor.command & TxDescriptor::kEndOfPacket) != 0;
    if (end && whole) fifo_.push_back(std::exchange(frame, {}));
    if ((descriptor.command & TxDescriptor::kReportStatus) != 0 && !Report(at) && Wedge()) {
      return false;
    }
    if (epoch != epoch_) return false;
    if (end || !known) return true;
  }
}

// Adds what the descriptor says to the frame. False if its DMA was refused.
bool E1000eModel::Gather(const TxDescriptor& descriptor, std::vector<std::byte>& frame) {
  const std::uint32_t length = descriptor.command & TxDescriptor::kLengthMask;
  if ((descriptor.command & TxDescriptor::kExtension) != 0) {
    Violation("only legacy transmit descriptors are modelled");
  }
  if (length == 0 || length > TxDescriptor::kMaxLength) {
    Violation(fmt::format("a transmit descriptor of {} bytes", length));
  }
  if ((descriptor.command & TxDescriptor::kEndOfPacket) != 0) {
    if ((descriptor.command & TxDescriptor::kInsertCrc) == 0) Violation("a frame without CRC");
    if (frame.size() + length + kCrc > kMaxFrame) Violation("a frame above 9018 bytes");
  }
  const std::size_t before = frame.size();
  frame.resize(before + length);
  return host().DmaRead(descriptor.address, std::span(frame).subspan(before));
}

bool E1000eModel::Report(Iova descriptor) {
  SetCause(Cause::kTxWrittenBack);
  if (reports_held_) {
    held_reports_.push_back(descriptor);
    return true;
  }
  std::uint32_t done = TxDescriptor::kDone;
  return host().DmaWrite(descriptor + offsetof(TxDescriptor, status), BytesOf(done));
}

// A frame waits for a descriptor.
void E1000eModel::DrainFifo() {
  while (!fifo_held_ && !fifo_.empty() && !wedged_ && MasterEnabled() &&
         Has(Rctl::kOffset, Rctl::kEnable) && Register(Rdh::kOffset) != Register(Rdt::kOffset)) {
    auto frame = std::move(fifo_.front());
    fifo_.pop_front();
    if (frame.size() < kMinFrame) frame.resize(kMinFrame);
    if (!std::exchange(lose_next_, false) && !Receive(std::move(frame))) return;
  }
}

bool E1000eModel::Accepts(const std::vector<std::byte>& frame) const {
  if (!LinkUp() || (!LoopsBack() && !Negotiated())) return false;
  if (frame.size() + kCrc > (Has(Rctl::kOffset, Rctl::kLongPackets) ? kMaxFrame : 1522)) {
    return false;
  }
  if (EtherType(frame) == 0x8808) return false;  // MAC control is for the MAC
  const auto byte = [&frame](std::size_t i) { return std::to_integer<std::uint32_t>(frame[i]); };
  const std::uint32_t low = byte(0) | byte(1) << 8 | byte(2) << 16 | byte(3) << 24;
  const std::uint32_t high = byte(4) | byte(5) << 8;
  return Has(Rctl::kOffset, Rctl::kUnicastPromiscuous) ||
         (low == Register(Ral0::kOffset) && (high | Rah0::kValid) == Register(Rah0::kOffset));
}

bool E1000eModel::Receive(std::vector<std::byte> frame) {
  if (!Accepts(frame)) return true;
  const bool bad = TakeFailure();
  if (bad && !Has(Rctl::kOffset, Rctl::kStoreBadPackets)) return true;
  if (EtherType(frame) == 0x0800 || EtherType(frame) == 0x86dd) {
    Violation("a frame with an IP header, which is split behind it: not modelled");
  }
  if (!Has(Rctl::kOffset, Rctl::kStripCrc)) frame.resize(frame.size() + kCrc);
  std::span<const std::byte> rest = frame;
  // What no descriptor is left for is lost.
  while (!rest.empty() && Register(Rdh::kOffset) != Register(Rdt::kOffset)) {
    if (!(Splits() ? Store(rest, bad) : StoreInOne(rest, bad))) return false;
  }
  return true;
}

bool E1000eModel::Store(std::span<const std::byte>& rest, bool bad) {
  const std::uint32_t head = Register(Rdh::kOffset);
  const std::uint64_t epoch = epoch_;
  const Iova at = RingBase(Rdbal::kOffset) + head * kTailUnit;
  RxDescriptor descriptor;
  const bool known = host().DmaRead(at, BytesOf(descriptor));
  if (epoch != epoch_ || (!known && Wedge())) return false;

  // 7.1.5: without a header that is known, the buffers are filled one after the other.
  const std::uint32_t sizes = Register(Psrctl::kOffset);
  const auto data = [sizes](unsigned shift) {
    return (sizes >> shift & Psrctl::kDataMask) * std::size_t{Psrctl::kDataUnit};
  };
  const std::array<std::size_t, 4> room{
      (sizes & Psrctl::kHeaderMask) * std::size_t{Psrctl::kHeaderUnit}, data(Psrctl::kData1Shift),
      data(Psrctl::kData2Shift), data(Psrctl::kData3Shift)};
  std::array<std::uint64_t, 4> lengths{};
  for (std::size_t i = 0; i < room.size() && !rest.empty(); ++i) {
    const auto part = rest.first(std::min(room[i], rest.size()));
    if (part.empty()) continue;
    if (descriptor.words[i] == 0 || descriptor.words[i] == RxDescriptor::kNoBuffer) {
      Violation("no buffer where PSRCTL says that there is one");
      rest = {};
      return true;
    }
    const bool written = host().DmaWrite(descriptor.words[i], part);
    if (epoch != epoch_ || (!written && Wedge())) return false;
    lengths[i] = part.size();
    rest = rest.subspan(part.size());
  }
  RxDescriptor done;
  done.words[RxDescriptor::kStatus] =
      lengths[0] << RxDescriptor::kHeaderLengthShift | RxDescriptor::kDone |
      (rest.empty() ? RxDescriptor::kEndOfPacket : 0) | (bad ? RxDescriptor::kCrcError : 0);
  done.words[RxDescriptor::kLengths] = lengths[1] << 16 | lengths[2] << 32 | lengths[3] << 48;
  const bool told = host().DmaWrite(at, BytesOf(done));
  if (epoch != epoch_ || (!told && Wedge())) return false;
  Reg(Rdh::kOffset) = (head + static_cast<std::uint32_t>(sizeof(done) / kTailUnit)) %
                      static_cast<std::uint32_t>(Register(Rdlen::kOffset) / kTailUnit);
  SetCause(Cause::kRxTimer);
  return true;
}

bool E1000eModel::StoreInOne(std::span<const std::byte>& rest, bool bad) {
  constexpr std::size_t kBuffer = 256;
  const std::uint32_t head = Register(Rdh::kOffset);
  const std::uint64_t epoch = epoch_;
  const Iova at = RingBase(Rdbal::kOffset) + head * kTailUnit;
  std::array<std::uint64_t, 2> words{};  // 7.1: extended, the address first
  const bool known = host().DmaRead(at, BytesOf(words));
  if (epoch != epoch_ || (!known && Wedge())) return false;
  const auto part = rest.first(std::min(kBuffer, rest.size()));
  const bool written = host().DmaWrite(words[0], part);
  if (epoch != epoch_ || (!written && Wedge())) return false;
  rest = rest.subspan(part.size());
  words = {0, part.size() << 32 | RxDescriptor::kDone |
                  (rest.empty() ? RxDescriptor::kEndOfPacket : 0) |
                  (bad ? RxDescriptor::kCrcError : 0)};
  const bool told = host().DmaWrite(at, BytesOf(words));
  if (epoch != epoch_ || (!told && Wedge())) return false;
  Reg(Rdh::kOffset) = (head + 1) % static_cast<std::uint32_t>(Register(Rdlen::kOffset) / kTailUnit);
  SetCause(Cause::kRxTimer);
  return true;
}

// 7.4.4: a message when a cause is set that is not masked, but not before the throttle's time is
// over.
void E1000eModel::RaisePending() {
  signalled_ &= Register(Icr::kOffset);
  const std::uint32_t pending = Register(Icr::kOffset) & Register(Ims::kOffset);
  if (throttle_ && Clock::now() >= *throttle_) {
    throttle_.reset();
    if (!Hardware()) signalled_ = 0;
  }
  if ((pending & ~signalled_) == 0 || throttle_ || !MasterEnabled()) return;
  signalled_ |= pending;
  const std::uint32_t interval = Register(Itr::kOffset) & Itr::kLongest;
  if (interval != 0 || !Hardware()) {
    constexpr std::uint32_t kQemusLeast = 500;
    throttle_ = Clock::now() + std::chrono::nanoseconds(Itr::kUnitNanoseconds) *
                                   (Hardware() ? interval : std::max(interval, kQemusLeast));
  }
  host().Raise(InterruptKind::kMsi, 0);
}

}  // namespace carryover::e1000e
