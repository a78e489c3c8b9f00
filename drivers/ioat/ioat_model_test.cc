// SPDX-License-Identifier: GPL-2.0-only
// The model against the data sheet: what a channel refuses, and how its states follow each other.
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#include "drivers/ioat/ioat_bench.h"
#include "drivers/ioat/region.h"

namespace carryover::ioat {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class IoatModelTest : public IoatBench {
 protected:
  static constexpr std::size_t kCompletion = 32768;  // in the pool, behind the descriptors

  void SetUp() override { ASSERT_OK(pci().SetBusMaster(true)); }

  [[nodiscard]] Iova At(std::size_t slot) const { return arena_.At(slot * sizeof(Descriptor)); }
  // A descriptor of a copy within the pool, followed by the next slot.
  [[nodiscard]] Descriptor Good(std::size_t slot) const {
    return {.size = 16,
            .control = Descriptor::kCompletion,
            .source = arena_.At(65536),
            .destination = arena_.At(kHalf),
            .next = At(slot + 1)};
  }
  void Store(std::size_t slot, const Descriptor& descriptor) {
    std::memcpy(arena_.pool().data() + slot * sizeof(Descriptor), &descriptor, sizeof(Descriptor));
  }
  [[nodiscard]] std::uint64_t Completion() const {
    std::uint64_t status = 0;
    std::memcpy(&status, arena_.pool().data() + kCompletion, sizeof(status));
    return status;
  }
  void Arm() {
    bar().Write16(ChanCtrl::kOffset, ChanCtrl::kErrorCompletion);
    bar().Write64(ChanCmp::kOffset, arena_.At(kCompletion));
    bar().Write64(ChainAddr::kOffset, At(0));
  }
  void Count(std::uint16_t count) { bar().Write16(DmaCount::kOffset, count); }
  void Command(std::uint8_t command) { bar().Write8(ChanCmd::kOffset, command); }
  [[nodiscard]] std::uint32_t Errors() { return bar().Read32(ChanErr::kOffset); }
};

// 1600 bytes at 16,000 a second: the next descriptor begins 0.1 s after the one before.
TEST_F(IoatModelTest, IsNoFasterThanItsBandwidth) {
  device_.model().SetBandwidth(16'000);
  for (std::size_t slot = 0; slot < 3; ++slot) {
    Descriptor descriptor = Good(slot);
    descriptor.size = 1600;
    Store(slot, descriptor);
  }
  Arm();
  EXPECT_EQ(device_.model().NextDue(), std::nullopt);
  const auto begin = DeviceModel::Clock::now();
  Count(2);
  EXPECT_EQ(Completion(), At(0) | ChanSts::kActive);
  const auto due = device_.model().NextDue();
  ASSERT_TRUE(due.has_value());
  EXPECT_GE(*due - begin, std::chrono::milliseconds(100));
  std::this_thread::sleep_until(*due);
  device_.model().Work();
  EXPECT_EQ(Completion(), At(1) | ChanSts::kDone);
  EXPECT_EQ(device_.model().NextDue(), std::nullopt) << "nothing is to be done";
  Count(3);
  device_.SetHung(true);
  EXPECT_EQ(device_.model().NextDue(), std::nullopt) << "time does not help a channel that hangs";
}

TEST_F(IoatModelTest, IsHaltedUntilItHasAChain) {
  EXPECT_EQ(State(), ChanSts::kHalted);
  for (std::size_t slot = 0; slot < 3; ++slot) Store(slot, Good(slot));
  Arm();
  EXPECT_EQ(State(), ChanSts::kArmed);
  device_.SetHung(true);
  Count(2);
  EXPECT_EQ(State(), ChanSts::kActive);
  device_.LetThrough(1);
  EXPECT_EQ(Completion(), At(0) | ChanSts::kActive);
  device_.SetHung(false);
  EXPECT_EQ(bar().Read64(ChanSts::kOffset), At(1) | ChanSts::kDone);
  EXPECT_EQ(Completion(), At(1) | ChanSts::kDone);
  Count(3);
  EXPECT_EQ(Completion(), At(2) | ChanSts::kDone);
  EXPECT_THAT(device_.violations(), IsEmpty());
}

TEST_F(IoatModelTest, SuspendsBetweenDescriptorsUntilItHasAChain) {
  for (std::size_t slot = 0; slot < 3; ++slot) Store(slot, Good(slot));
  Arm();
  device_.SetHung(true);
  Count(3);
  device_.LetThrough(1);
  Command(ChanCmd::kSuspend);
  EXPECT_EQ(bar().Read64(ChanSts::kOffset), At(0) | ChanSts::kSuspended);
  device_.SetHung(false);
  EXPECT_EQ(Completion(), At(0) | ChanSts::kActive);
  bar().Write64(ChainAddr::kOffset, At(1));
  EXPECT_EQ(State(), ChanSts::kArmed);
  EXPECT_EQ(bar().Read16(DmaCount::kOffset), 0);
  Count(2);
  EXPECT_EQ(Completion(), At(2) | ChanSts::kDone);
  EXPECT_THAT(device_.violations(), IsEmpty());
}

TEST_F(IoatModelTest, DoesNothingForANullDescriptor) {
  Descriptor null = Good(0);
  null.control |= Descriptor::kNull;
  null.source = null.destination = 0;
  Store(0, null);
  const std::vector<std::byte> before(arena_.pool().begin() + kHalf, arena_.pool().end());
  Arm();
  Count(1);
  EXPECT_EQ(State(), ChanSts::kDone);
  EXPECT_TRUE(std::equal(before.begin(), before.end(), arena_.pool().begin() + kHalf));
}

TEST_F(IoatModelTest, RefusesMalformedDescriptors) {
  using Spoil = std::function<void(Descriptor&)>;
  const struct {
    const char* what;
    Spoil spoil;
    std::uint32_t error;
  } rows[] = {
      {"size", [](Descriptor& d) { d.size = 0; }, ChanErr::kLength},
      {"size", [](Descriptor& d) { d.size = (1U << 20) + 1; }, ChanErr::kLength},
      {"control", [](Descriptor& d) { d.control |= 1U << 11; }, ChanErr::kControl},
      {"control", [](Descriptor& d) { d.control |= 1U << 23; }, ChanErr::kControl},
      {"control", [](Descriptor& d) { d.control |= 0x87U << 24; }, ChanErr::kControl},
      {"control", [](Descriptor& d) { d.control |= Descriptor::kBundle; }, ChanErr::kControl},
      {"reserved", [](Descriptor& d) { d.reserved[1] = 1; }, ChanErr::kControl},
      {"next", [](Descriptor& d) { d.next += 32; }, ChanErr::kDescriptor},
  };
  std::size_t seen = 0;
  for (const auto& row : rows) {
    SCOPED_TRACE(row.what);
    Descriptor bad = Good(0);
    row.spoil(bad);
    Store(0, bad);
    Arm();
    Count(1);
    EXPECT_EQ(State(), ChanSts::kHalted);
    EXPECT_EQ(Completion() & ChanSts::kStateMask, ChanSts::kHalted);
    EXPECT_EQ(Errors(), row.error);
    ASSERT_EQ(device_.violations().size(), ++seen);
    EXPECT_THAT(device_.violations().back(), HasSubstr(row.what));
    bar().Write32(ChanErr::kOffset, row.error);
    EXPECT_EQ(Errors(), 0);
  }
}

TEST_F(IoatModelTest, RefusesAccessesOfAnotherWidth) {
  (void)bar().Read32(ChanCnt::kOffset);
  (void)bar().Read8(ChanCtrl::kOffset);
  (void)bar().Read64(ChanErr::kOffset);
  (void)bar().Read16(ChanSts::kOffset);
  (void)bar().Read32(0x300);
  bar().Write32(IntrCtrl::kOffset - 3, 0);
  bar().Write8(DmaCount::kOffset, 1);
  bar().Write16(ChanCmd::kOffset, ChanCmd::kReset);
  bar().Write8(XferCap::kOffset, 12);
  EXPECT_EQ(device_.violations().size(), 9);
  EXPECT_EQ(device_.resets(), 0);
}

TEST_F(IoatModelTest, TakesTheWideRegistersByHalves) {
  bar().Write64LowFirst(ChanCmp::kOffset, 0x12'3456'7840);
  EXPECT_EQ(bar().Read64(ChanCmp::kOffset), 0x12'3456'7840);
  EXPECT_EQ(bar().Read32(ChanCmp::kOffset + 4), 0x12);
  bar().Write64HighFirst(ChainAddr::kOffset, 0x98'7654'3200);
  EXPECT_EQ(bar().Read64(ChainAddr::kOffset), 0x98'7654'3200);
  EXPECT_EQ(State(), ChanSts::kArmed);
  EXPECT_THAT(device_.violations(), IsEmpty());
}

TEST_F(IoatModelTest, RefusesAddressesThatAreNotAligned) {
  bar().Write64(ChainAddr::kOffset, At(0) + 32);
  EXPECT_EQ(Errors(), ChanErr::kChainAddress);
  bar().Write32(ChanErr::kOffset, ~0U);
  bar().Write64(ChanCmp::kOffset, At(0) + 4);
  EXPECT_EQ(Errors(), ChanErr::kCompletionAddress);
  EXPECT_EQ(State(), ChanSts::kHalted);
  EXPECT_THAT(device_.violations(), ElementsAre(HasSubstr("CHAINADDR"), HasSubstr("CHANCMP")));
}

TEST_F(IoatModelTest, RefusesItsAddressesWhileItIsActive) {
  Store(0, Good(0));
  Arm();
  device_.SetHung(true);
  Count(1);
  bar().Write64(ChainAddr::kOffset, At(4));
  bar().Write64(ChanCmp::kOffset, At(4));
  EXPECT_EQ(bar().Read64(ChainAddr::kOffset), At(0));
  EXPECT_EQ(bar().Read64(ChanCmp::kOffset), arena_.At(kCompletion));
  EXPECT_THAT(device_.violations(), ElementsAre(HasSubstr("CHAINADDR"), HasSubstr("CHANCMP")));
}

TEST_F(IoatModelTest, RefusesADmaCountThatGoesBackOrTooFar) {
  for (std::size_t slot = 0; slot < 16; ++slot) Store(slot, Good(slot));
  Arm();
  Count(10);
  Count(9);
  EXPECT_EQ(bar().Read16(DmaCount::kOffset), 10);
  device_.SetHung(true);
  Count(10 + 0x7fff);
  Count(static_cast<std::uint16_t>(10 + 0xfffe));
  EXPECT_EQ(device_.violations().size(), 1);
  Count(11);  // 2^16 + 1 are too many
  EXPECT_EQ(device_.violations().size(), 2);
}

TEST_F(IoatModelTest, RefusesADoorbellWithoutAChain) {
  Count(1);
  Store(0, Good(0));
  Arm();
  Count(1);
  Command(ChanCmd::kSuspend);
  Count(2);
  EXPECT_THAT(device_.violations(), ElementsAre(HasSubstr("halted"), HasSubstr("suspended")));
}

TEST_F(IoatModelTest, RefusesCommandsInTheWrongState) {
  Command(ChanCmd::kSuspend);
  Arm();
  Command(ChanCmd::kSuspend);
  EXPECT_THAT(device_.violations(), ElementsAre(HasSubstr("halted"), HasSubstr("armed")));
  EXPECT_EQ(State(), ChanSts::kArmed);
  Store(0, Good(0));
  device_.SetHung(true);
  Count(1);
  Command(ChanCmd::kReset);
  EXPECT_THAT(device_.violations().back(), HasSubstr("RESET while active"));
}

TEST_F(IoatModelTest, RefusesCommandsThatThereAreNot) {
  for (const auto command :
       std::initializer_list<std::uint8_t>{0x01, 0x02, 0x08, 0x10, 0x40, 0x80, 0x24}) {
    const std::size_t before = device_.violations().size();
    Command(command);
    EXPECT_EQ(device_.violations().size(), before + 1) << int{command};
    EXPECT_EQ(Errors(), ChanErr::kCommand);
    bar().Write32(ChanErr::kOffset, ChanErr::kCommand);
  }
}

// Then only clearing them helps.
TEST_F(IoatModelTest, StaysHaltedWithErrors) {
  Store(0, Good(0));
  Arm();
  device_.FailNextCopy();
  Count(1);
  EXPECT_EQ(Errors(), ChanErr::kDmaDataParity);
  Command(ChanCmd::kReset);
  EXPECT_EQ(bar().Read8(ChanCmd::kOffset), 0);
  EXPECT_EQ(Errors(), ChanErr::kDmaDataParity);
  Arm();
  EXPECT_EQ(State(), ChanSts::kHalted);
  bar().Write32(ChanErr::kOffset, ChanErr::kDmaDataParity);
  Arm();
  EXPECT_EQ(State(), ChanSts::kArmed);
  EXPECT_THAT(device_.violations(), IsEmpty());
}

TEST_F(IoatModelTest, InterruptsOnceUntilItIsArmedAgain) {
  EnableInterrupts();
  for (std::size_t slot = 0; slot < 4; ++slot) {
    Descriptor loud = Good(slot);
    loud.control |= Descriptor::kInterrupt;
    Store(slot, loud);
  }
  Arm();
  EXPECT_EQ(bar().Read16(ChanCtrl::kOffset) & ChanCtrl::kInterruptDisabled, 0);
  Count(2);
  EXPECT_EQ(TakeInterrupts(), 1);
  EXPECT_EQ(bar().Read16(ChanCtrl::kOffset) & ChanCtrl::kInterruptDisabled, 1);
  EXPECT_EQ(bar().Read32(AttnStatus::kOffset), 1);
  EXPECT_EQ(bar().Read32(AttnStatus::kOffset), 0);
  bar().Write16(ChanCtrl::kOffset, ChanCtrl::kErrorCompletion);  // writing 0 changes nothing
  Count(3);
  EXPECT_EQ(TakeInterrupts(), 0);
  bar().Write16(ChanCtrl::kOffset, ChanCtrl::kInterruptDisabled);
  Count(4);
  EXPECT_EQ(TakeInterrupts(), 1);
  EXPECT_THAT(device_.violations(), IsEmpty());
}

TEST_F(IoatModelTest, InterruptsForAnErrorIfAsked) {
  EnableInterrupts();
  Store(0, Good(0));
  Arm();
  bar().Write16(ChanCtrl::kOffset, ChanCtrl::kErrorInterrupt);
  device_.FailNextCopy();
  Count(1);
  EXPECT_EQ(TakeInterrupts(), 1);
}

TEST_F(IoatModelTest, IsInUseOnceThatWasAsked) {
  EXPECT_EQ(bar().Read16(ChanCtrl::kOffset), 0);
  EXPECT_EQ(bar().Read16(ChanCtrl::kOffset), ChanCtrl::kInUse);
  bar().Write16(ChanCtrl::kOffset, 0);
  EXPECT_EQ(bar().Read16(ChanCtrl::kOffset), 0);
  bar().Write16(ChanCtrl::kOffset, 0x0402);
  EXPECT_THAT(device_.violations(), ElementsAre(HasSubstr("CHANCTRL")));
}

TEST_F(IoatModelTest, AFunctionLevelResetForgetsAll) {
  Store(0, Good(0));
  Arm();
  bar().Write8(IntrCtrl::kOffset, IntrCtrl::kMasterEnable);
  device_.FailNextCopy();
  Count(1);
  ASSERT_OK(pci().Reset());
  EXPECT_EQ(bar().Read64(ChanSts::kOffset), ChanSts::kHalted);
  EXPECT_EQ(Errors(), 0);
  EXPECT_EQ(bar().Read64(ChainAddr::kOffset), 0);
  EXPECT_EQ(bar().Read8(IntrCtrl::kOffset), 0);
}

// What nobody saw end has not ended.
TEST_F(IoatModelTest, RefusesAChainDuringAReset) {
  Command(ChanCmd::kReset);
  bar().Write64(ChainAddr::kOffset, At(0));
  EXPECT_THAT(device_.violations(), ElementsAre(HasSubstr("in reset")));
  EXPECT_EQ(State(), ChanSts::kHalted);
}

class SmallestModelTest : public IoatBench {
 protected:
  SmallestModelTest() : IoatBench(ChannelKind::Smallest()) {}
};

TEST_F(SmallestModelTest, KeepsItsSetupOverAReset) {
  bar().Write64(ChanCmp::kOffset, 64);
  bar().Write8(ChanCmd::kOffset, ChanCmd::kReset);
  EXPECT_EQ(bar().Read8(ChanCmd::kOffset), 0);
  EXPECT_EQ(bar().Read64(ChanCmp::kOffset), 64);
  EXPECT_EQ(bar().Read8(XferCap::kOffset), 12);
  EXPECT_EQ(bar().Read8(CbVer::kOffset), 0x32);
}

TEST_F(SmallestModelTest, RefusesMoreThanXferCap) {
  ASSERT_OK(pci().SetBusMaster(true));
  const Descriptor descriptor{
      .size = 4097, .source = arena_.At(0), .destination = arena_.At(kHalf), .next = arena_.At(0)};
  std::memcpy(arena_.pool().data(), &descriptor, sizeof(descriptor));
  bar().Write64(ChainAddr::kOffset, arena_.At(0));
  EXPECT_EQ(State(), ChanSts::kHalted);
  EXPECT_EQ(State(), ChanSts::kHalted);
  EXPECT_EQ(State(), ChanSts::kArmed);
  EXPECT_THAT(device_.violations(), IsEmpty());
  bar().Write16(DmaCount::kOffset, 1);
  EXPECT_EQ(bar().Read32(ChanErr::kOffset), ChanErr::kLength);
}

}  // namespace
}  // namespace carryover::ioat
