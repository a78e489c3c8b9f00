// SPDX-License-Identifier: GPL-2.0-only
// How igb resets, configures, quiesces and stops the device.
#include <algorithm>

#include "drivers/igb/fake/igb_bench.h"
#include "drivers/igb/mac.h"

namespace carryover::igb {
namespace {

using testing::Contains;
using testing::Not;

INSTANTIATE_TEST_SUITE_P(Flavours, IgbOnBoth,
                         testing::Values(FakeIgb::Flavour::kHardware, FakeIgb::Flavour::kQemu),
                         [](const auto& flavour) {
                           return flavour.param == FakeIgb::Flavour::kQemu ? "Qemu" : "Hardware";
                         });

TEST_P(IgbOnBoth, ConfiguresTheDevice) {
  // What an earlier owner may have left.
  for (const std::size_t offset : {Mrqc::kOffset, Rxcsum::kOffset, Psrtype0::kOffset, Mta::kOffset,
                                   Mta::kOffset + 4 * (Mta::kWords - 1)}) {
    fake_.SetRegister(offset, 0x3);
  }
  Start();
  const Iova rings = arena_.region().iova + ContractDriver::kStateSize;
  const Iova tx = rings + offsetof(RegionLayout, tx);
  const Iova rx = rings + offsetof(RegionLayout, rx);
  struct Row {
    const char* name;
    std::size_t offset;
    std::uint64_t should;
  };
  const Row rows[] = {
      {"TDBAL", Tdbal::kOffset, tx & 0xffffffff},
      {"TDBAH", Tdbah::kOffset, tx >> 32},
      {"TDLEN", Tdlen::kOffset, 65536},
      {"RDBAL", Rdbal::kOffset, rx & 0xffffffff},
      {"RDBAH", Rdbah::kOffset, rx >> 32},
      {"RDLEN", Rdlen::kOffset, 32768},
      {"SRRCTL: split always, 64 bytes of header, 9 KiB", Srrctl::kOffset, 0x0a000109},
      {"RLPML: header, payload, CRC", Rlpml::kOffset, 64 + 8192 + 4},
      {"TCTL", Tctl::kOffset, Tctl::kEnable | Tctl::kPadShortPackets},
      {"MRQC", Mrqc::kOffset, 0},
      {"RXCSUM", Rxcsum::kOffset, 0},
      {"PSRTYPE", Psrtype0::kOffset, 0},
      {"MTA", Mta::kOffset, 0},
      {"MTA, last", Mta::kOffset + 4 * (Mta::kWords - 1), 0},
      {"RAL", Ral0::kOffset, Mac::StationAddress() & 0xffffffff},
      {"RAH", Rah0::kOffset, Mac::StationAddress() >> 32 | Rah0::kValid},
      {"GPIE", Gpie::kOffset, Gpie::kMultipleMsix | Gpie::kPbaSupport},
      {"EIAC", Eiac::kOffset, kVectors},
      {"EIMS", Eims::kOffset, 1},
      {"EICR", Eicr::kOffset, 0},
      {"EITR", Eitr0::kOffset, 0},
  };
  for (const Row& row : rows) EXPECT_EQ(Register(row.offset), row.should) << row.name;
  EXPECT_EQ(Register(Gcr::kOffset) & Gcr::kCompletionTimeoutResend, 0)
      << "8.6.1: what the IOMMU refuses would be sent again for ever";
  EXPECT_EQ(Register(CtrlExt::kOffset) & CtrlExt::kDriverLoaded, CtrlExt::kDriverLoaded);
  EXPECT_EQ(Register(Rxdctl::kOffset) & Bit(16), Bit(16)) << "thresholds stay as they were";
  // 02: locally administered, unicast.
  EXPECT_EQ(Mac::StationAddress() & 0x3, 0x2);
}

TEST_P(IgbOnBoth, FramesStayInside) {
  Start();
  ExpectCopies();
  EXPECT_EQ(fake_.frames_to_cable(), 0);
}

// 3.5.6.2, 8.10.1: no MAC loopback on hardware.
TEST_F(IgbHardware, LoopsBackInThePhy) {
  Start();
  EXPECT_EQ(Register(Rctl::kOffset), 0x04400022) << "SECRC, DPF, LPE, RXEN, LBM 00b";
  EXPECT_EQ(fake_.phy_control(), 0x4140) << "loopback, 1 Gb/s, full duplex";
  constexpr std::uint32_t kForced = Ctrl::kForceSpeed | Ctrl::kForceDuplex | Ctrl::kSpeed1000 |
                                    Ctrl::kFullDuplex | Ctrl::kSetLinkUp;
  EXPECT_EQ(Register(Ctrl::kOffset) & kForced, kForced);
  EXPECT_EQ(Register(Ctrl::kOffset) & (Ctrl::kGioMasterDisable | Ctrl::kLinkReset), 0);
  EXPECT_EQ(std::ranges::count(fake_.writes(), Mdic::kOffset), 1) << "no auto-negotiation";
}

TEST_F(IgbQemu, LoopsBackInTheMacToo) {
  Start();
  EXPECT_EQ(Register(Rctl::kOffset), 0x04400062) << "as hardware, but LBM 01b";
  EXPECT_EQ(std::ranges::count(fake_.writes(), Mdic::kOffset), 2)
      << "auto-negotiation brings the link up, then loopback";
  EXPECT_EQ(fake_.phy_control(), 0x4140);
}

// Without flow control: nobody would answer.
TEST_F(IgbHardware, TurnsFlowControlAndVlansOff) {
  fake_.SetRegister(Ctrl::kOffset, 0);
  Start();
  EXPECT_EQ(Register(Ctrl::kOffset) &
                (Ctrl::kReceiveFlowControl | Ctrl::kTransmitFlowControl | Ctrl::kVlanMode),
            0);
}

TEST_P(IgbOnBoth, StopGivesThePhyBackToAutoNegotiation) {
  Start();
  ASSERT_OK(driver_->Stop(Soon()));
  EXPECT_EQ(fake_.phy_control() & PhyControl::kLoopback, 0);
  EXPECT_EQ(fake_.phy_control() & PhyControl::kAutoNegotiation, PhyControl::kAutoNegotiation);
  EXPECT_EQ(Register(Rctl::kOffset), 0);
  EXPECT_EQ(Register(Tctl::kOffset), 0);
  EXPECT_EQ(Register(Eims::kOffset), 0);
}

// A link on real hardware needs the time that Entry()'s driver gives it; QEMU's does not.
TEST_F(IgbHardware, EntryGivesTheLinkItsTime) {
  driver_ = Entry().make(fake_.device(), {});
  const auto begin = std::chrono::steady_clock::now();
  Start();
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(550));
}

TEST_F(IgbQemu, EntryDoesNotWaitForTheLink) {
  driver_ = Entry().make(fake_.device(), {});
  const auto begin = std::chrono::steady_clock::now();
  Start();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(500));
}

TEST_F(IgbHardware, StartGivesUpAnEepromThatIsNeverRead) {
  fake_.SetEepromStuck(true);
  EXPECT_THAT(driver_->Start(arena_.region(), Almost()), FailsWith(ETIMEDOUT));
  fake_.SetEepromStuck(false);
  Start();
  ExpectCopies();
}

// 8.4.1; CFG_DONE would never come.
TEST_F(IgbHardware, StartsWithoutAnEeprom) {
  fake_.SetEepromMissing();
  Start();
  ExpectCopies();
  EXPECT_THAT(fake_.reads(), Not(Contains(Eemngctl::kOffset)));
}

TEST_F(IgbQemu, DoesNotWaitForAnEepromThatIsNeverRead) {
  Start();
  EXPECT_THAT(fake_.reads(), Not(Contains(Eecd::kOffset)));
  EXPECT_THAT(fake_.reads(), Not(Contains(Eemngctl::kOffset)));
}

// The millisecond after CTRL.RST is kept, though the deadline is over.
TEST_P(IgbOnBoth, ADeadlineThatHasPassedBreaksNoRule) {
  const auto started =
      driver_->Start(arena_.region(), Deadline::After(std::chrono::nanoseconds(0)));
  EXPECT_THAT(started, testing::AnyOf(IsOk(), FailsWith(ETIMEDOUT)));
  const auto stopped = driver_->Stop(Deadline::After(std::chrono::nanoseconds(0)));
  EXPECT_THAT(stopped, testing::AnyOf(IsOk(), FailsWith(ETIMEDOUT)));
  Start();
  ExpectCopies();
}

// 4.7. Whose bit it is depends on the port; those of others are not touched.
TEST_P(IgbOnBoth, ReleasesThePhyAndLeavesOthersAlone) {
  constexpr std::uint32_t kOthers = 0x00050005;  // EEPROM, port 1's PHY; the firmware's likewise
  fake_.SetRegister(SwFwSync::kOffset, kOthers);
  Start();
  EXPECT_EQ(Register(SwFwSync::kOffset), kOthers);
  EXPECT_EQ(Register(Swsm::kOffset), 0);
  ASSERT_OK(driver_->Stop(Soon()));
  EXPECT_EQ(Register(SwFwSync::kOffset), kOthers);
  EXPECT_EQ(Register(Swsm::kOffset), 0);
}

TEST_F(IgbSecondPort, TakesItsOwnPhy) {
  fake_.SetRegister(SwFwSync::kOffset, SwFwSync::kPhy0);
  Start();
  ExpectCopies();
  EXPECT_EQ(Register(SwFwSync::kOffset), SwFwSync::kPhy0);
}

// While another has it, the PHY is not written; the fake says so otherwise.
TEST_P(IgbOnBoth, StartWaitsForThePhyUntilTheDeadline) {
  fake_.SetFirmwareHoldsPhy(true);
  EXPECT_THAT(driver_->Start(arena_.region(), Almost()), FailsWith(ETIMEDOUT));
  EXPECT_THAT(fake_.writes(), Not(Contains(Mdic::kOffset)));
  fake_.SetFirmwareHoldsPhy(false);

  fake_.SetRegister(SwFwSync::kOffset, SwFwSync::kPhy0);
  EXPECT_THAT(driver_->Start(arena_.region(), Almost()), FailsWith(ETIMEDOUT));
  EXPECT_THAT(fake_.writes(), Not(Contains(Mdic::kOffset)));
  fake_.SetRegister(SwFwSync::kOffset, 0);
  Start();
  ExpectCopies();
}

TEST_P(IgbOnBoth, StartWaitsForTheSemaphoresUntilTheDeadline) {
  fake_.SetFirmwareHoldsSemaphore(true);
  EXPECT_THAT(driver_->Start(arena_.region(), Almost()), FailsWith(ETIMEDOUT));
  EXPECT_EQ(Register(Swsm::kOffset), 0) << "not kept while waiting";
  fake_.SetFirmwareHoldsSemaphore(false);

  fake_.SetRegister(Swsm::kOffset, Swsm::kSoftware);  // the other port's driver has it
  EXPECT_THAT(driver_->Start(arena_.region(), Almost()), FailsWith(ETIMEDOUT));
  EXPECT_EQ(Register(Swsm::kOffset), Swsm::kSoftware) << "taken from its owner";
  EXPECT_THAT(fake_.writes(), Not(Contains(Mdic::kOffset)));
  fake_.SetRegister(Swsm::kOffset, 0);
  Start();
  ExpectCopies();
}

TEST_P(IgbOnBoth, TellsThatThePhyRefuses) {
  fake_.SetPhyRefuses(true);
  EXPECT_THAT(driver_->Start(arena_.region(), Soon()), FailsWith(EIO));
  EXPECT_EQ(Register(SwFwSync::kOffset), 0) << "released nevertheless";
  fake_.SetPhyRefuses(false);
  Start();
  ExpectCopies();
}

TEST_P(IgbOnBoth, StopTurnsBusMasterOffThoughThePhyIsTaken) {
  Start();
  fake_.SetFirmwareHoldsPhy(true);
  EXPECT_THAT(driver_->Stop(Almost()), FailsWith(ETIMEDOUT));
  EXPECT_FALSE(fake_.device().bus_master());
}

// 5.2.3.3: no request after the reset is one of before.
TEST_P(IgbOnBoth, DisablesTheMasterWhenQuiesced) {
  Start();
  EXPECT_EQ(Register(Ctrl::kOffset) & Ctrl::kGioMasterDisable, 0);
  ASSERT_OK(driver_->Quiesce(Soon()));
  EXPECT_NE(Register(Ctrl::kOffset) & Ctrl::kGioMasterDisable, 0);
  EXPECT_EQ(Register(Txdctl::kOffset) & Txdctl::kEnable, 0);
  EXPECT_EQ(Register(Rxdctl::kOffset) & Rxdctl::kEnable, 0);
  EXPECT_EQ(Register(Tctl::kOffset) & Tctl::kEnable, 0);
  EXPECT_EQ(Register(Rctl::kOffset) & Rctl::kEnable, 0);
  EXPECT_EQ(Register(Eims::kOffset), 0);
  ASSERT_OK(driver_->Resume(Soon()));
  EXPECT_EQ(Register(Ctrl::kOffset) & Ctrl::kGioMasterDisable, 0);
  ExpectCopies();
}

TEST_F(IgbHardware, QuiesceTellsThatARequestNeverEnds) {
  Start();
  ASSERT_OK(CopyOne({.source = 0x1000, .destination = arena_.At(0), .length = 10}));
  EXPECT_THAT(driver_->Quiesce(Almost()), FailsWith(ETIMEDOUT));
  EXPECT_THAT(driver_->Resume(Soon()), FailsWith(EIO));
  Start();  // resets nevertheless
  ExpectCopies();
}

TEST_P(IgbOnBoth, QuiesceTellsThatAQueueDoesNotStop) {
  Start();
  fake_.SetQueuesStuck(true);
  EXPECT_THAT(driver_->Quiesce(Almost()), FailsWith(ETIMEDOUT));
  EXPECT_EQ(Register(Eims::kOffset), 0) << "interrupts are masked first";
  fake_.SetQueuesStuck(false);
  Start();
  ExpectCopies();
}

// What sets a cause while the driver is quiesced interrupts neither then nor later.
TEST_P(IgbOnBoth, ACauseThatIsSetWhileQuiescedIsDropped) {
  auto events = EventSet::Create(1);
  ASSERT_OK(events);
  ASSERT_OK(fake_.device().EnableInterrupts(InterruptKind::kMsix, events->fds()));
  Start();
  ASSERT_OK(driver_->Quiesce(Soon()));
  ASSERT_OK_AND_ASSIGN(Mmio* const mmio, fake_.device().Bar(0));
  mmio->Write32(Eics::kOffset, 1);
  EXPECT_EQ(events->Take(0), 0);
  ASSERT_OK(driver_->Resume(Soon()));
  EXPECT_EQ(events->Take(0), 0);
  ASSERT_OK(driver_->RaiseInterrupt());
  EXPECT_EQ(events->Take(0), 1);
  EXPECT_EQ(Register(Eicr::kOffset), 0) << "8.8.5: cleared by its message";
}

TEST_P(IgbOnBoth, ACauseThatWasSetBeforeStartIsDropped) {
  auto events = EventSet::Create(10);
  ASSERT_OK(events);
  ASSERT_OK(fake_.device().EnableInterrupts(InterruptKind::kMsix, events->fds()));
  fake_.SetRegister(Eicr::kOffset, 0x3ff);
  fake_.SetRegister(Icr::kOffset, 0xff);
  Start();
  for (unsigned vector = 0; vector < 10; ++vector) EXPECT_EQ(events->Take(vector), 0) << vector;
}

// No other cause than RaiseInterrupt()'s has a vector.
TEST_P(IgbOnBoth, OnlyVectorZeroIsUnmasked) {
  auto events = EventSet::Create(10);
  ASSERT_OK(events);
  ASSERT_OK(fake_.device().EnableInterrupts(InterruptKind::kMsix, events->fds()));
  Start();
  ASSERT_OK_AND_ASSIGN(Mmio* const mmio, fake_.device().Bar(0));
  mmio->Write32(Eics::kOffset, 0x3fe);
  for (unsigned vector = 0; vector < 10; ++vector) EXPECT_EQ(events->Take(vector), 0) << vector;
}

}  // namespace
}  // namespace carryover::igb
