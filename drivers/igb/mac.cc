// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/igb/mac.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <thread>

#include "drivers/contract/poll.h"
#include "drivers/igb/registers.h"

namespace carryover::igb {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

// Sleeps, but not beyond the deadline.
void Pause(std::chrono::nanoseconds duration, Deadline deadline) {
  std::this_thread::sleep_for(std::min(duration, deadline.Remaining()));
}

}  // namespace

Result<bool> IsEmulated(PciDevice& device) {
  constexpr std::size_t kSubsystemVendor = 0x2c;
  auto subsystem = device.ReadConfig(kSubsystemVendor, 2);
  if (!subsystem) return std::unexpected(subsystem.error());
  return *subsystem == 0x1af4;
}

void Mac::Change(std::size_t offset, std::uint32_t clear, std::uint32_t set) {
  Write(offset, (Read(offset) & ~clear) | set);
}

Result<void> Mac::CheckPresent(std::string_view during) {
  if (Read(Status::kOffset) != kAllOnes) return {};
  return Fail(ENODEV, fmt::format("igb: {}: STATUS reads as all ones: the device is gone", during));
}

template <typename Done>
Result<void> Mac::Poll(Done done, std::chrono::nanoseconds interval, Deadline deadline,
                       std::string_view what) {
  auto result = PollUntil(*this, done, interval, deadline, what);
  if (result || result.error().code != ETIMEDOUT) return result;
  return Fail(ETIMEDOUT, fmt::format("igb: {} (STATUS {:#010x}, CTRL {:#010x})", what,
                                     Read(Status::kOffset), Read(Ctrl::kOffset)));
}

// 5.2.3.3: the function issues no new requests, and says when the last one is done.
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
  Change(Ctrl::kOffset, 0, Ctrl::kReset);
  std::this_thread::sleep_for(milliseconds(1));  // 4.2.1.6.1: no access, whatever the deadline
  if (auto done = Poll([this] { return (Read(Ctrl::kOffset) & Ctrl::kReset) == 0; },
                       milliseconds(1), deadline, "waiting for the reset (CTRL.RST)");
      !done) {
    return done;
  }
  if (auto done = WaitForEeprom(deadline); !done) return done;
  MaskInterrupts();
  Write(Eicr::kOffset, kAllOnes);
  (void)Read(Icr::kOffset);  // clears it
  return {};
}

Result<void> Mac::WaitForEeprom(Deadline deadline) {
  if (emulated_) return {};
  // AUTO_RD is set without an EEPROM, too (8.4.1); CFG_DONE comes from the EEPROM's firmware part.
  if (auto done = Poll([this] { return (Read(Eecd::kOffset) & Eecd::kAutoReadDone) != 0; },
                       milliseconds(1), deadline, "waiting for the EEPROM (EECD.AUTO_RD)");
      !done || (Read(Eecd::kOffset) & Eecd::kPresent) == 0) {
    return done;
  }
  const std::uint32_t done_bit = Bit(Eemngctl::kConfigDoneShift + Port());
  return Poll([this, done_bit] { return (Read(Eemngctl::kOffset) & done_bit) != 0; },
              milliseconds(1), deadline, "waiting for the PHY's configuration (EEMNGCTL.CFG_DONE)");
}

unsigned Mac::Port() { return (Read(Status::kOffset) >> Status::kLanIdShift) & Status::kLanIdMask; }

std::uint32_t Mac::PhySemaphore() { return Port() == 0 ? SwFwSync::kPhy0 : SwFwSync::kPhy1; }

// 4.7: the PHY is shared with the management firmware and the other port. SWSM guards SW_FW_SYNC,
// which guards the PHY.
template <typename NewOwners>
Result<void> Mac::ChangeOwners(NewOwners change, Deadline deadline) {
  const auto attempt = [this, &change] {
    if ((Read(Swsm::kOffset) & Swsm::kSoftware) != 0) return false;
    Change(Swsm::kOffset, 0, Swsm::kFirmware);
    std::optional<std::uint32_t> owners;
    if ((Read(Swsm::kOffset) & Swsm::kFirmware) != 0) owners = change(Read(SwFwSync::kOffset));
    if (owners) Write(SwFwSync::kOffset, *owners);
    Change(Swsm::kOffset, Swsm::kSoftware | Swsm::kFirmware, 0);
    return owners.has_value();
  };
  return Poll(attempt, microseconds(50), deadline, "waiting for the PHY's semaphore (SW_FW_SYNC)");
}

Result<void> Mac::TakePhy(Deadline deadline) {
  const std::uint32_t mine = PhySemaphore();
  const auto take = [mine](std::uint32_t owners) -> std::optional<std::uint32_t> {
    if ((owners & (mine | mine << SwFwSync::kFirmwareShift)) != 0) return std::nullopt;
    return owners | mine;
  };
  return ChangeOwners(take, deadline);
}

Result<void> Mac::ReleasePhy(Deadline deadline) {
  const std::uint32_t mine = PhySemaphore();
  return ChangeOwners([mine](std::uint32_t owners) { return std::optional(owners & ~mine); },
                      deadline);
}

Result<void> Mac::WritePhy(unsigned phy_register, std::uint16_t value, Deadline deadline) {
  Write(Mdic::kOffset,
        value | phy_register << Mdic::kRegisterShift | Mdic::kPhyAddress | Mdic::kWrite);
  // 8.2.4: software polls. A management frame takes 64 bits at 2.5 MHz, some 26 us.
  if (auto ready = Poll([this] { return (Read(Mdic::kOffset) & Mdic::kReady) != 0; },
                        microseconds(50), deadline, "waiting for the PHY (MDIC.R)");
      !ready) {
    return ready;
  }
  if ((Read(Mdic::kOffset) & Mdic::kError) == 0) return {};
  return Fail(EIO, fmt::format("igb: the PHY refused a write of register {}", phy_register));
}

// 3.5.6.3.1. RCTL.LBM stays 00b on hardware, which has no MAC loopback (3.5.6.2).
Result<void> Mac::StartLoopback(Deadline deadline) {
  Change(CtrlExt::kOffset, CtrlExt::kLinkModeMask, CtrlExt::kDriverLoaded);
  if (auto taken = TakePhy(deadline); !taken) return taken;
  Result<void> done;
  if (emulated_) {
    done = WritePhy(PhyControl::kRegister,
                    PhyControl::kAutoNegotiation | PhyControl::kRestartAutoNegotiation, deadline);
  }
  if (done) {
    done = WritePhy(PhyControl::kRegister,
                    PhyControl::kLoopback | PhyControl::kSpeed1000 | PhyControl::kFullDuplex,
                    deadline);
  }
  if (const auto released = ReleasePhy(deadline); done) done = released;
  if (!done) return done;

  if (!emulated_) Pause(settling_.before_mac, deadline);
  Change(Ctrl::kOffset,
         Ctrl::kSpeedMask | Ctrl::kReceiveFlowControl | Ctrl::kTransmitFlowControl |
             Ctrl::kVlanMode | Ctrl::kGioMasterDisable | Ctrl::kLinkReset,
         Ctrl::kForceSpeed | Ctrl::kForceDuplex | Ctrl::kSpeed1000 | Ctrl::kFullDuplex |
             Ctrl::kSetLinkUp);
  if (!emulated_) Pause(settling_.after_mac, deadline);
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
  if (const auto released = ReleasePhy(deadline); done) done = released;
  return done;
}

// 4.5.7: what the PHY negotiates is the MAC's, speed and duplex, too.
Result<void> Mac::StartLink(Deadline deadline) {
  Change(CtrlExt::kOffset, CtrlExt::kLinkModeMask, CtrlExt::kDriverLoaded);
  if (auto begun = AutoNegotiate(deadline); !begun) return begun;
  Change(Ctrl::kOffset,
         Ctrl::kForceSpeed | Ctrl::kForceDuplex | Ctrl::kReceiveFlowControl |
             Ctrl::kTransmitFlowControl | Ctrl::kVlanMode | Ctrl::kGioMasterDisable |
             Ctrl::kLinkReset,
         Ctrl::kSetLinkUp);
  return Poll([this] { return (Read(Status::kOffset) & Status::kLinkUp) != 0; }, milliseconds(1),
              deadline, "waiting for a link (STATUS.LU): is the cable in?");
}

void Mac::SetUpFilters(std::uint64_t station, std::uint32_t longest_frame) {
  // 8.6.1: by default a read that times out, as from an address that the IOMMU refuses, is sent
  // again for ever.
  Change(Gcr::kOffset, Gcr::kCompletionTimeoutResend, 0);
  Write(Ral0::kOffset, static_cast<std::uint32_t>(station));
  Write(Rah0::kOffset, static_cast<std::uint32_t>(station >> 32) | Rah0::kValid);
  for (std::size_t word = 0; word < Mta::kWords; ++word) Write(Mta::kOffset + 4 * word, 0);
  Write(Mrqc::kOffset, 0);
  Write(Rxcsum::kOffset, 0);
  Write(Psrtype0::kOffset, 0);
  constexpr std::uint32_t kCrc = 4;
  Write(Rlpml::kOffset, longest_frame + kCrc);
}

void Mac::Configure(std::uint32_t frame_payload) {
  SetUpFilters(StationAddress(), Srrctl::kHeaderUnit + frame_payload);
  // One KiB more than the payload: QEMU counts the header, too, when it asks whether a frame fits
  // in the buffers that are left. Never used: RLPML bounds what is received.
  Write(Srrctl::kOffset,
        (frame_payload / 1024 + 1) | 1U << Srrctl::kHeaderShift | Srrctl::kSplitAlwaysUseHeader);
}

void Mac::ConfigureReceive(std::size_t bytes) {
  SetUpFilters(StreamStation(), static_cast<std::uint32_t>(bytes));
  // The size of a buffer is told in KiB; RLPML keeps frames within what is there.
  Write(Srrctl::kOffset, Srrctl::kOneBuffer | 1);
}

void Mac::GiveReceiveRing(Iova iova, std::uint32_t bytes) {
  Write(Rdbal::kOffset, static_cast<std::uint32_t>(iova));
  Write(Rdbah::kOffset, static_cast<std::uint32_t>(iova >> 32));
  Write(Rdlen::kOffset, bytes);
  Write(Rdh::kOffset, 0);
  Write(Rdt::kOffset, 0);
}

Result<void> Mac::StartReceive(Iova iova, std::uint32_t bytes, std::uint32_t tail,
                               Deadline deadline) {
  Change(Ctrl::kOffset, Ctrl::kGioMasterDisable, 0);
  GiveReceiveRing(iova, bytes);
  Change(Rxdctl::kOffset, 0, Rxdctl::kEnable);
  Write(Rctl::kOffset, Rctl::kEnable | Rctl::kLongPackets | Rctl::kDiscardPause | Rctl::kStripCrc);
  if (auto on = Poll([this] { return (Read(Rxdctl::kOffset) & Rxdctl::kEnable) != 0; },
                     microseconds(10), deadline, "waiting for the receive queue (RXDCTL)");
      !on) {
    return on;
  }
  Write(Rdt::kOffset, tail);  // 4.5.9: when the queue is on
  return {};
}

bool Mac::ReceivesInto(Iova iova, std::uint32_t bytes, std::uint32_t tail) {
  const Rings rings = ReadRings();
  return rings.rx == iova && rings.rx_size * 16 == bytes && Read(Rdt::kOffset) == tail &&
         (Read(Rxdctl::kOffset) & Rxdctl::kEnable) != 0 &&
         (Read(Rctl::kOffset) & Rctl::kEnable) != 0;
}

std::uint32_t Mac::ReceiveHead() { return Read(Rdh::kOffset); }

Result<void> Mac::StopReceive(Deadline deadline) {
  Change(Rxdctl::kOffset, Rxdctl::kEnable, 0);
  if (auto off = Poll([this] { return (Read(Rxdctl::kOffset) & Rxdctl::kEnable) == 0; },
                      microseconds(10), deadline, "waiting for the receive queue to stop");
      !off) {
    return off;
  }
  Change(Rctl::kOffset, Rctl::kEnable, 0);
  return DisableMaster(deadline);
}

std::size_t Mac::MaxReceiveBytes() const {
  return emulated_ ? kEmulatedRingMaxBytes : kRingMaxBytes;
}

Result<void> Mac::StartQueues(const Rings& rings, Deadline deadline) {
  Change(Ctrl::kOffset, Ctrl::kGioMasterDisable, 0);
  Write(Tdbal::kOffset, static_cast<std::uint32_t>(rings.tx));
  Write(Tdbah::kOffset, static_cast<std::uint32_t>(rings.tx >> 32));
  Write(Tdlen::kOffset, rings.tx_size * 16);
  Write(Tdh::kOffset, 0);
  Write(Tdt::kOffset, 0);
  GiveReceiveRing(rings.rx, rings.rx_size * 16);
  // 8.10.10, 8.12.13: a queue's enable bit reads as 0 until the unit it belongs to is on.
  Change(Txdctl::kOffset, 0, Txdctl::kEnable);
  Change(Rxdctl::kOffset, 0, Rxdctl::kEnable);
  Write(Rctl::kOffset, Rctl::kEnable | Rctl::kLongPackets | Rctl::kDiscardPause | Rctl::kStripCrc |
                           (emulated_ ? Rctl::kLoopbackMac : 0));
  Write(Tctl::kOffset, Tctl::kEnable | Tctl::kPadShortPackets);
  return Poll([this] { return QueuesRunning(); }, microseconds(10), deadline,
              "waiting for the queues (TXDCTL, RXDCTL)");
}

Result<void> Mac::StopQueues(Deadline deadline) {
  Change(Txdctl::kOffset, Txdctl::kEnable, 0);
  Change(Rxdctl::kOffset, Rxdctl::kEnable, 0);
  const auto stopped = [this] {
    return (Read(Txdctl::kOffset) & Txdctl::kEnable) == 0 &&
           (Read(Rxdctl::kOffset) & Rxdctl::kEnable) == 0;
  };
  if (auto done = Poll(stopped, microseconds(10), deadline, "waiting for the queues to stop");
      !done) {
    return done;
  }
  Change(Rctl::kOffset, Rctl::kEnable, 0);
  Change(Tctl::kOffset, Tctl::kEnable, 0);
  return DisableMaster(deadline);
}

bool Mac::QueuesRunning() {
  return (Read(Txdctl::kOffset) & Txdctl::kEnable) != 0 &&
         (Read(Rxdctl::kOffset) & Rxdctl::kEnable) != 0 &&
         (Read(Tctl::kOffset) & Tctl::kEnable) != 0 && (Read(Rctl::kOffset) & Rctl::kEnable) != 0;
}

Rings Mac::ReadRings() {
  const auto address = [this](std::size_t low, std::size_t high) {
    return Iova{Read(high)} << 32 | Read(low);
  };
  return {.tx = address(Tdbal::kOffset, Tdbah::kOffset),
          .rx = address(Rdbal::kOffset, Rdbah::kOffset),
          .tx_size = Read(Tdlen::kOffset) / 16,
          .rx_size = Read(Rdlen::kOffset) / 16};
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
  Write(Eimc::kOffset, kAllOnes);
  (void)Read(Status::kOffset);  // the writes have arrived
}

// 7.3.1.2: in multiple MSI-X mode EICR bit n is vector n. No IVAR points at any, so that nothing
// but EICS sets it; EIAC clears it when the message is sent (8.8.5).
void Mac::UnmaskInterrupt() {
  Write(Gpie::kOffset, Gpie::kMultipleMsix | Gpie::kPbaSupport);
  Write(Eitr0::kOffset, 0);
  Write(Eiac::kOffset, kVectors);
  Write(Eicr::kOffset, kAllOnes);
  Write(Eims::kOffset, Bit(0));
}

void Mac::RaiseInterrupt(unsigned vector) {
  Write(Eims::kOffset, Bit(vector));
  Write(Eics::kOffset, Bit(vector));
}

}  // namespace carryover::igb
