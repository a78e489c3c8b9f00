// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/e1000e/mac.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "drivers/contract/poll.h"
#include "drivers/e1000e/descriptors.h"

namespace carryover::e1000e {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

// Sleeps, but not beyond the deadline.
void Pause(std::chrono::nanoseconds duration, Deadline deadline) {
  std::this_thread::sleep_for(std::min(duration, deadline.Remaining()));
}

}  // namespace

void Mac::Change(std::size_t offset, std::uint32_t clear, std::uint32_t set) {
  Write(offset, (Read(offset) & ~clear) | set);
}

Result<void> Mac::CheckPresent(std::string_view during) {
  if (Read(Status::kOffset) != kAllOnes) return {};
  return Fail(ENODEV,
              fmt::format("e1000e: {}: STATUS reads as all ones: the device is gone", during));
}

template <typename Done>
Result<void> Mac::Poll(Done done, std::chrono::nanoseconds interval, Deadline deadline,
                       std::string_view what) {
  auto result = PollUntil(*this, done, interval, deadline, what);
  if (result || result.error().code != ETIMEDOUT) return result;
  return Fail(ETIMEDOUT, fmt::format("e1000e: {} (STATUS {:#010x}, CTRL {:#010x})", what,
                                     Read(Status::kOffset), Read(Ctrl::kOffset)));
}

// The function issues no new requests, and says when the last one is done.
Result<void> Mac::DisableMaster(Deadline deadline) {
  // RST is still set if an earlier reset never ended; to write it back would begin another.
  Change(Ctrl::kOffset, Ctrl::kReset, Ctrl::kGioMasterDisable);
  return Poll([this] { return (Read(Status::kOffset) & Status::kGioMasterEnable) == 0; },
              microseconds(100), deadline,
              "waiting for the last PCIe request (GIO master disable)");
}

Result<void> Mac::Reset(Deadline deadline) {
  if (auto present = CheckPresent("reset"); !present) return present;
  MaskInterrupts();
  Write(Rctl::kOffset, 0);
  Write(Tctl::kOffset, Tctl::kPadShortPackets);
  // A request that never completes (it went to an address that the IOMMU refuses) is what a reset
  // is there to end: 80 ms is what the PCIe completion timeout allows, then reset regardless.
  if (auto idle = DisableMaster(deadline.OrAfter(milliseconds(80)));
      !idle && idle.error().code == ENODEV) {
    return idle;
  }
  // Half of the packet buffer for each direction: frames both ways are of the same size. It takes
  // effect at the reset, which does not change it (10.2.2, PBA).
  constexpr std::uint32_t kReceiveKilobytes = 20;
  Write(Pba::kOffset, kReceiveKilobytes);
  // The management firmware may be at the PHY. If it keeps it, the reset comes nevertheless.
  if (auto mine = TakePhy(deadline.OrAfter(milliseconds(50)));
      !mine && mine.error().code == ENODEV) {
    return mine;
  }
  Change(Ctrl::kOffset, 0, Ctrl::kReset);
  std::this_thread::sleep_for(milliseconds(1));  // no access, whatever the deadline
  if (auto done = Poll([this] { return (Read(Ctrl::kOffset) & Ctrl::kReset) == 0; },
                       milliseconds(1), deadline, "waiting for the reset (CTRL.RST)");
      !done) {
    return done;
  }
  ReleasePhy();
  // It is set without an EEPROM, too. The PHY's configuration begins then, and has no sign.
  if (auto done = Poll([this] { return (Read(Eecd::kOffset) & Eecd::kAutoReadDone) != 0; },
                       milliseconds(1), deadline, "waiting for the EEPROM (EECD.AUTO_RD)");
      !done) {
    return done;
  }
  Pause(settling_.configuration, deadline);
  MaskInterrupts();
  (void)Read(Icr::kOffset);  // clears it, as all is masked
  return {};
}

// 10.2.2, EXTCNF_CTRL: the PHY is shared with the management firmware.
Result<void> Mac::TakePhy(Deadline deadline) {
  const auto take = [this] {
    Change(ExtcnfCtrl::kOffset, 0, ExtcnfCtrl::kSoftwareOwnsMdio);
    return (Read(ExtcnfCtrl::kOffset) & ExtcnfCtrl::kSoftwareOwnsMdio) != 0;
  };
  return Poll(take, milliseconds(1), deadline, "waiting for the PHY (EXTCNF_CTRL, MDIO ownership)");
}

void Mac::ReleasePhy() { Change(ExtcnfCtrl::kOffset, ExtcnfCtrl::kSoftwareOwnsMdio, 0); }

Result<std::uint16_t> Mac::AccessPhy(std::uint32_t command, unsigned phy_register,
                                     Deadline deadline) {
  Write(Mdic::kOffset,
        command | phy_register << Mdic::kRegisterShift | Mdic::kPhy << Mdic::kPhyShift);
  // Software polls. A management frame takes 64 bits at 2.5 MHz, some 26 us.
  if (auto ready = Poll([this] { return (Read(Mdic::kOffset) & Mdic::kReady) != 0; },
                        microseconds(50), deadline, "waiting for the PHY (MDIC.R)");
      !ready) {
    return std::unexpected(ready.error());
  }
  const std::uint32_t answer = Read(Mdic::kOffset);
  if ((answer & Mdic::kError) == 0) return static_cast<std::uint16_t>(answer & Mdic::kDataMask);
  return Fail(EIO, fmt::format("e1000e: the PHY refused an access to register {}", phy_register));
}

Result<void> Mac::WritePhy(unsigned phy_register, std::uint16_t value, Deadline deadline) {
  const auto written = AccessPhy(Mdic::kWrite | value, phy_register, deadline);
  return written ? Result<void>() : std::unexpected(written.error());
}

// The speed of the loopback is that of the MAC's side without a link, and takes effect at a reset
// of the PHY (MAC specific control, page 2).
Result<void> Mac::SetUpPhy(Deadline deadline) {
  if (auto paged = WritePhy(PhyPage::kRegister, PhyMacControl::kPage, deadline); !paged) {
    return paged;
  }
  const auto control = AccessPhy(Mdic::kRead, PhyMacControl::kRegister, deadline);
  if (!control) return std::unexpected(control.error());
  constexpr std::uint16_t kAt1000 = PhyControl::kSpeed1000 | PhyControl::kFullDuplex;
  const struct {
    unsigned phy_register;
    std::uint16_t value;
  } writes[] = {
      {PhyMacControl::kRegister,
       static_cast<std::uint16_t>((*control & ~PhyMacControl::kDefaultSpeedMask) |
                                  PhyMacControl::kDefaultSpeed1000)},
      {PhyPage::kRegister, 0},
      {PhyControl::kRegister, PhyControl::kReset | kAt1000},
  };
  for (const auto& write : writes) {
    if (auto done = WritePhy(write.phy_register, write.value, deadline); !done) return done;
  }
  Result<std::uint16_t> read;
  const auto reset = [this, &read, deadline] {
    read = AccessPhy(Mdic::kRead, PhyControl::kRegister, deadline);
    return !read || (*read & PhyControl::kReset) == 0;
  };
  if (auto done = Poll(reset, milliseconds(1), deadline, "waiting for the PHY's reset"); !done) {
    return done;
  }
  if (!read) return std::unexpected(read.error());
  return WritePhy(PhyControl::kRegister, PhyControl::kLoopback | kAt1000, deadline);
}

// RCTL.LBM stays 00b with the internal PHY (10.2.5, RCTL).
Result<void> Mac::StartLoopback(Deadline deadline) {
  Change(CtrlExt::kOffset, 0, CtrlExt::kDriverLoaded);
  if (auto taken = TakePhy(deadline); !taken) return taken;
  auto done = SetUpPhy(deadline);
  ReleasePhy();
  if (!done) return done;
  Pause(settling_.loopback, deadline);
  Change(Ctrl::kOffset,
         Ctrl::kSpeedMask | Ctrl::kReceiveFlowControl | Ctrl::kTransmitFlowControl |
             Ctrl::kVlanMode | Ctrl::kGioMasterDisable,
         Ctrl::kForceSpeed | Ctrl::kForceDuplex | Ctrl::kSpeed1000 | Ctrl::kFullDuplex |
             Ctrl::kSetLinkUp);
  return Poll([this] { return (Read(Status::kOffset) & Status::kLinkUp) != 0; }, milliseconds(1),
              deadline, "waiting for the link (STATUS.LU)");
}

Result<void> Mac::EndLoopback(Deadline deadline) { return AutoNegotiate(deadline); }

Result<void> Mac::AutoNegotiate(Deadline deadline) {
  if (auto taken = TakePhy(deadline); !taken) return taken;
  auto done = WritePhy(PhyControl::kRegister,
                       PhyControl::kAutoNegotiation | PhyControl::kRestartAutoNegotiation |
                           PhyControl::kSpeed1000 | PhyControl::kFullDuplex,
                       deadline);
  ReleasePhy();
  return done;
}

Result<void> Mac::StartLink(Deadline deadline) {
  Change(CtrlExt::kOffset, 0, CtrlExt::kDriverLoaded);
  if (auto begun = AutoNegotiate(deadline); !begun) return begun;
  Change(Ctrl::kOffset,
         Ctrl::kForceSpeed | Ctrl::kForceDuplex | Ctrl::kReceiveFlowControl |
             Ctrl::kTransmitFlowControl | Ctrl::kVlanMode | Ctrl::kGioMasterDisable,
         Ctrl::kSetLinkUp);
  return Poll([this] { return (Read(Status::kOffset) & Status::kLinkUp) != 0; }, milliseconds(1),
              deadline, "waiting for a link (STATUS.LU): is the cable in?");
}

void Mac::SetUpFilters(std::uint64_t station) {
  Change(Gcr::kOffset, 0, Gcr::kMustBeSet);
  // Not in the data sheet: Linux' e1000e sets it, as completions get lost otherwise with ASPM.
  Change(Gcr2::kOffset, 0, Gcr2::kMustBeSet);
  Write(Ral0::kOffset, static_cast<std::uint32_t>(station));
  Write(Rah0::kOffset, static_cast<std::uint32_t>(station >> 32) | Rah0::kValid);
  for (std::size_t word = 0; word < Mta::kWords; ++word) Write(Mta::kOffset + 4 * word, 0);
  Write(Mrqc::kOffset, 0);
  Write(Rxcsum::kOffset, 0);
  Write(Rfctl::kOffset, Rfctl::kExtendedStatus);
  Write(Rxdctl::kOffset, Rxdctl::kDescriptorUnits | Rxdctl::kWriteBackEach);
}

void Mac::Configure(std::uint32_t frame_payload) {
  SetUpFilters(StationAddress());
  // 7.1.5: a frame without a header that the device knows fills the buffers one after the other.
  Write(Psrctl::kOffset, sizeof(FrameHeader) / Psrctl::kHeaderUnit |
                             frame_payload / Psrctl::kDataUnit << Psrctl::kData1Shift);
  Write(Txdctl::kOffset, Txdctl::kDescriptorUnits | Txdctl::kMustBeSet);
}

void Mac::ConfigureReceive(std::size_t /*bytes*/) { SetUpFilters(StreamStation()); }

void Mac::GiveReceiveRing(Iova iova, std::uint32_t bytes) {
  Write(Rdbal::kOffset, static_cast<std::uint32_t>(iova));
  Write(Rdbah::kOffset, static_cast<std::uint32_t>(iova >> 32));
  Write(Rdlen::kOffset, bytes);
  Write(Rdh::kOffset, 0);
  Write(Rdt::kOffset, 0);
}

Result<void> Mac::StartReceive(Iova iova, std::uint32_t bytes, std::uint32_t tail,
                               Deadline /*deadline*/) {
  Change(Ctrl::kOffset, Ctrl::kGioMasterDisable, 0);
  GiveReceiveRing(iova, bytes);
  Write(Rctl::kOffset, Rctl::kEnable | Rctl::kBuffers256 | Rctl::kDiscardPause | Rctl::kStripCrc);
  Write(Rdt::kOffset, tail);
  return CheckPresent("StartReceive()");
}

bool Mac::ReceivesInto(Iova iova, std::uint32_t bytes, std::uint32_t tail) {
  const Rings rings = ReadRings();
  return rings.rx == iova && rings.rx_bytes == bytes && Read(Rdt::kOffset) == tail &&
         (Read(Rctl::kOffset) & Rctl::kEnable) != 0;
}

std::uint32_t Mac::ReceiveHead() { return Read(Rdh::kOffset); }

Result<void> Mac::StopReceive(Deadline deadline) {
  Change(Rctl::kOffset, Rctl::kEnable, 0);
  return DisableMaster(deadline);
}

void Mac::StartQueues(const Rings& rings) {
  Write(Tdbal::kOffset, static_cast<std::uint32_t>(rings.tx));
  Write(Tdbah::kOffset, static_cast<std::uint32_t>(rings.tx >> 32));
  Write(Tdlen::kOffset, rings.tx_bytes);
  Write(Tdh::kOffset, 0);
  Write(Tdt::kOffset, 0);
  GiveReceiveRing(rings.rx, rings.rx_bytes);
  ContinueQueues();
}

void Mac::ContinueQueues() {
  Change(Ctrl::kOffset, Ctrl::kGioMasterDisable, 0);
  // A bad frame is stored, and told, rather than lost.
  Write(Rctl::kOffset, Rctl::kEnable | Rctl::kStoreBadPackets | Rctl::kLongPackets |
                           Rctl::kPacketSplit | Rctl::kDiscardPause | Rctl::kStripCrc);
  Write(Tctl::kOffset, Tctl::kEnable | Tctl::kPadShortPackets);
}

Result<void> Mac::StopQueues(Deadline deadline) {
  Change(Rctl::kOffset, Rctl::kEnable, 0);
  Change(Tctl::kOffset, Tctl::kEnable, 0);
  return DisableMaster(deadline);
}

bool Mac::QueuesAre(bool running) {
  return ((Read(Rctl::kOffset) & Rctl::kEnable) != 0) == running &&
         ((Read(Tctl::kOffset) & Tctl::kEnable) != 0) == running;
}

Rings Mac::ReadRings() {
  const auto address = [this](std::size_t low, std::size_t high) {
    return Iova{Read(high)} << 32 | Read(low);
  };
  return {.tx = address(Tdbal::kOffset, Tdbah::kOffset),
          .rx = address(Rdbal::kOffset, Rdbah::kOffset),
          .tx_bytes = Read(Tdlen::kOffset),
          .rx_bytes = Read(Rdlen::kOffset)};
}

void Mac::Post(std::uint32_t rx_tail, std::uint32_t tx_tail) {
  Write(Rdt::kOffset, rx_tail);
  Write(Tdt::kOffset, tx_tail);
}

bool Mac::IdleAt(std::uint32_t rx_tail, std::uint32_t tx_tail) {
  return Read(Rdt::kOffset) == rx_tail && Read(Rdh::kOffset) == rx_tail &&
         Read(Tdt::kOffset) == tx_tail && Read(Tdh::kOffset) == tx_tail;
}

void Mac::MaskInterrupts() {
  Write(Imc::kOffset, kAllOnes);
  (void)Read(Status::kOffset);  // the write has arrived
}

// MSI, and the longest throttle, because of QEMU: when the time of the throttle is over, it sends
// the message again, always with MSI-X, and with MSI if the cause is still set. It should be sent
// again only for what came meanwhile (7.4.4). So the cause is taken back long before.
void Mac::PrepareInterrupt() {
  Write(Itr::kOffset, Itr::kLongest);
  Write(Icr::kOffset, kAllOnes);
  Throttle();
}

void Mac::Throttle() {
  static_assert(std::chrono::nanoseconds(Itr::kLongest * Itr::kUnitNanoseconds) < milliseconds(20));
  next_message_ = std::chrono::steady_clock::now() + milliseconds(20);
}

// The cause is one that nothing sets, as no MDIC access asks for it.
void Mac::RaiseInterrupt() {
  std::this_thread::sleep_until(next_message_);
  Write(Ims::kOffset, Cause::kMdioAccess);
  Write(Ics::kOffset, Cause::kMdioAccess);
  (void)Read(Status::kOffset);                   // the writes have arrived
  std::this_thread::sleep_for(milliseconds(1));  // and the message is sent
  Write(Imc::kOffset, Cause::kMdioAccess);
  Write(Icr::kOffset, Cause::kMdioAccess);
  Throttle();
}

}  // namespace carryover::e1000e
