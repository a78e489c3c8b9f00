// SPDX-License-Identifier: GPL-2.0-only
// What the model refuses, as the data sheet forbids it.
#include "drivers/e1000e/e1000e_bench.h"

namespace carryover::e1000e {
namespace {

using testing::HasSubstr;

class E1000eModelTest : public E1000e {
 protected:
  void TearDown() override {}
  // That this write is one, and that the model says this of it.
  void Refuses(std::size_t offset, std::uint32_t value, const char* what) {
    const std::size_t before = device_.violations().size();
    bar().Write32(offset, value);
    ASSERT_GT(device_.violations().size(), before) << what;
    EXPECT_THAT(device_.violations().back(), HasSubstr(what));
  }
};

TEST_F(E1000eModelTest, RefusesRingsThatCannotBe) {
  for (const std::size_t offset : {Tdbal::kOffset, Rdbal::kOffset}) {
    Refuses(offset, 0x1008, "not 16-byte aligned");
  }
  for (const std::size_t offset : {Tdlen::kOffset, Rdlen::kOffset}) {
    for (const std::uint32_t length : {0U, 64U, 129U, 65664U}) Refuses(offset, length, "a ring of");
  }
}

TEST_F(E1000eModelTest, RefusesAQueueWithoutWhatItNeeds) {
  const std::uint32_t split = Rctl::kEnable | Rctl::kPacketSplit;
  bar().Write32(Psrctl::kOffset, 1 | 8 << 8);
  bar().Write32(Rfctl::kOffset, Rfctl::kExtendedStatus);
  Refuses(Rctl::kOffset, split, "without a ring");
  bar().Write32(Rctl::kOffset, 0);
  bar().Write32(Rdlen::kOffset, 4096);
  Refuses(Rctl::kOffset, split | Bit(6), "LBM");
  bar().Write32(Rctl::kOffset, 0);
  Refuses(Rctl::kOffset, Rctl::kEnable, "only packet split");
  bar().Write32(Rctl::kOffset, 0);
  bar().Write32(Psrctl::kOffset, 8 << 8);
  Refuses(Rctl::kOffset, split, "PSRCTL");
  bar().Write32(Rctl::kOffset, 0);
  bar().Write32(Psrctl::kOffset, 1);
  Refuses(Rctl::kOffset, split, "PSRCTL");
  bar().Write32(Tdlen::kOffset, 4096);
  Refuses(Tctl::kOffset, Tctl::kEnable, "GCR bit 22");
}

TEST_F(E1000eModelTest, RefusesTailsThatCannotBe) {
  Start();
  Refuses(Tdt::kOffset, kTxRingSize, "outside");
  Refuses(Rdt::kOffset, 2 * kRxRingSize, "outside");
  Refuses(Rdt::kOffset, 3, "within a descriptor");
  ASSERT_OK(driver_->Quiesce(Soon()));
  Refuses(Tdt::kOffset, 2, "while its queue is off");
  Refuses(Rdt::kOffset, 2, "while its queue is off");
}

TEST_F(E1000eModelTest, RefusesChangesOfARunningQueue) {
  Start();
  for (const std::size_t offset : {Tdbal::kOffset, Tdbah::kOffset, Tdlen::kOffset, Tdh::kOffset,
                                   Rdbal::kOffset, Rdbah::kOffset, Rdlen::kOffset, Rdh::kOffset}) {
    Refuses(offset, 4096, "while its queue is on");
  }
  Refuses(Psrctl::kOffset, 1, "while receive is on");
}

TEST_F(E1000eModelTest, RefusesAResetWithoutPreparation) {
  bar().Write32(ExtcnfCtrl::kOffset, ExtcnfCtrl::kSoftwareOwnsMdio);
  Refuses(Ctrl::kOffset, Ctrl::kReset, "GIO master disable");
  Refuses(Rdlen::kOffset, 4096, "before the EEPROM");
}

TEST_F(E1000eModelTest, RefusesThePhyToWhoDoesNotOwnIt) {
  Refuses(Mdic::kOffset, Mdic::kRead | 1 << Mdic::kPhyShift, "without owning it");
  bar().Write32(ExtcnfCtrl::kOffset, ExtcnfCtrl::kSoftwareOwnsMdio);
  Refuses(Mdic::kOffset, Mdic::kRead | 2 << Mdic::kPhyShift, "address 1");
}

TEST_F(E1000eModelTest, RefusesAccessesOfAnotherSize) {
  (void)bar().Read8(Status::kOffset);
  bar().Write64(Tdbal::kOffset, 0);
  EXPECT_EQ(device_.violations().size(), 2);
}

}  // namespace
}  // namespace carryover::e1000e
