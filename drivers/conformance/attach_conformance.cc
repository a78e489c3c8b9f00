// SPDX-License-Identifier: GPL-2.0-only
// Save() and Attach(): another driver object takes over a device as it runs.
#include <gmock/gmock.h>

#include "drivers/conformance/driver_conformance.h"

namespace carryover {
namespace {

std::vector<std::byte> Snapshot(std::span<const std::byte> bytes) {
  return {bytes.begin(), bytes.end()};
}

TEST_P(DriverConformance, TakesOverARunningDeviceWithoutReset) {
  Start();
  ExpectWorks();
  ASSERT_OK(driver_->Save());
  const std::size_t resets = device_->resets();
  driver_ = MakeDriver();
  ASSERT_OK(driver_->Attach(arena_->region()));
  ExpectWorks();
  EXPECT_EQ(device_->resets(), resets);
  EXPECT_EQ(pci().resets(), 0);
  EXPECT_TRUE(pci().bus_master());
}

// At any place of the rings.
TEST_P(DriverConformance, TakesOverAgainAndAgain) {
  Start();
  for (int i = 0; i < 300; ++i) {
    SCOPED_TRACE(i);
    const auto copies = Batch(1 + static_cast<std::size_t>(i) % 29, 100);
    ASSERT_OK(driver_->Copy(copies));
    ASSERT_OK(driver_->Wait(Soon()));
    Expect(copies);
    ASSERT_OK(driver_->Save());
    driver_ = MakeDriver();
    ASSERT_OK(driver_->Attach(arena_->region()));
  }
  EXPECT_EQ(device_->resets() + pci().resets(), 1);
  EXPECT_TRUE(arena_->Matches());
}

TEST_P(DriverConformance, TakesOverADeviceThatNeverCopied) {
  Start();
  ASSERT_OK(driver_->Save());
  driver_ = MakeDriver();
  ASSERT_OK(driver_->Attach(arena_->region()));
  ExpectWorks();
}

// The new kernel's memory is elsewhere; only the IOVA is the same.
TEST_P(DriverConformance, TakesOverWithTheRegionAtAnotherAddress) {
  Start();
  ExpectWorks();
  ASSERT_OK(driver_->Save());
  auto moved = std::make_unique<Arena>(traits().region_size, arena_->pool().size());
  std::ranges::copy(arena_->region().memory, moved->region().memory.begin());
  ASSERT_OK(pci().iommu().Unmap(Arena::kBase, arena_->end() - Arena::kBase));
  moved->MapIn(pci().iommu());
  arena_ = std::move(moved);
  driver_ = MakeDriver();
  ASSERT_OK(driver_->Attach(arena_->region()));
  ExpectWorks();
}

TEST_P(DriverConformance, TakesOverTheInterruptToo) {
  EnableInterrupts();
  Start();
  ASSERT_OK(driver_->Save());
  driver_ = MakeDriver();
  ASSERT_OK(driver_->Attach(arena_->region()));
  EXPECT_EQ(TakeInterrupts(), 0);
  ASSERT_OK(driver_->RaiseInterrupt());
  EXPECT_EQ(TakeInterrupts(), 1);
}

TEST_P(DriverConformance, TakesOverAQuiescedDevice) {
  EnableInterrupts();
  Start();
  ExpectWorks();
  ASSERT_OK(driver_->Quiesce(Soon()));
  ASSERT_OK(driver_->Save());
  driver_ = MakeDriver();
  ASSERT_OK(driver_->Attach(arena_->region()));
  EXPECT_THAT(CopyOne(InPool(0, kPage, 16)), FailsWith(EINVAL)) << "it is still quiesced";
  ASSERT_OK(driver_->Resume(Soon()));
  ExpectWorks();
  ASSERT_OK(driver_->RaiseInterrupt());
  EXPECT_EQ(TakeInterrupts(), 1);
}

TEST_P(DriverConformance, WhatTookOverCanQuiesceAndStop) {
  Start();
  ASSERT_OK(driver_->Save());
  driver_ = MakeDriver();
  ASSERT_OK(driver_->Attach(arena_->region()));
  ASSERT_OK(driver_->Quiesce(Soon()));
  ASSERT_OK(driver_->Resume(Soon()));
  ExpectWorks();
  ASSERT_OK(driver_->Stop(Soon()));
  EXPECT_FALSE(pci().bus_master());
  Start();
  ExpectWorks();
}

// A driver that saved is not bound to be replaced.
TEST_P(DriverConformance, SaveChangesNothing) {
  Start();
  ASSERT_OK(driver_->Save());
  ExpectWorks();
  ASSERT_OK(driver_->Save());
  ASSERT_OK(driver_->Save());
  ExpectWorks();
}

// The device does `before` units of work before Save(), and `behind` between that and Attach().
TEST_P(DriverConformance, HandsOverWhatIsPosted) {
  if (!traits().hands_over_posted) GTEST_SKIP() << "Save() refuses what is posted";
  Start();
  ExpectWorks();
  for (const std::size_t before : {0U, 1U, 3U, 7U}) {
    for (const std::size_t behind : {0U, 1U, 2U, 5U, 9U}) {
      SCOPED_TRACE(std::to_string(before) + " before, " + std::to_string(behind) + " behind");
      device_->SetHung(true);
      const auto copies = Batch(5, 100);
      for (const DmaCopy& copy : copies) ASSERT_OK(CopyOne(copy));
      if (before != 0) device_->LetThrough(before);
      ASSERT_OK_AND_ASSIGN(const std::size_t posted, driver_->Poll());
      ASSERT_OK(driver_->Save());
      if (behind != 0) device_->LetThrough(behind);
      driver_ = MakeDriver();
      ASSERT_OK(driver_->Attach(arena_->region()));
      ASSERT_OK_AND_ASSIGN(const std::size_t left, driver_->Poll());
      if (behind == 0) {
        EXPECT_EQ(left, posted);
      } else {
        EXPECT_LE(left, posted);
      }
      device_->SetHung(false);
      ASSERT_OK(driver_->Wait(Soon()));
      Expect(copies);
      ASSERT_TRUE(arena_->Matches());
      EXPECT_THAT(driver_->Poll(), testing::Optional(0));
    }
  }
  ExpectWorks();
  EXPECT_EQ(device_->resets() + pci().resets(), 1);
}

// What went over can be given back: quiesced, it is kept, and goes on.
TEST_P(DriverConformance, WhatWasHandedOverIsKeptByQuiesce) {
  if (!traits().hands_over_posted) GTEST_SKIP() << "Save() refuses what is posted";
  Start();
  device_->SetHung(true);
  const auto copies = Batch(4, 100);
  ASSERT_OK(driver_->Copy(copies));
  ASSERT_OK(driver_->Save());
  driver_ = MakeDriver();
  ASSERT_OK(driver_->Attach(arena_->region()));
  ASSERT_OK(driver_->Quiesce(Soon()));
  EXPECT_THAT(driver_->Save(), FailsWith(EBUSY));
  device_->SetHung(false);
  ASSERT_OK(driver_->Resume(Soon()));
  ASSERT_OK(driver_->Wait(Soon()));
  Expect(copies);
}

TEST_P(DriverConformance, TakesNotOverWhatAResetEnded) {
  if (!traits().hands_over_posted) GTEST_SKIP() << "Save() refuses what is posted";
  Start();
  device_->SetHung(true);
  ASSERT_OK(driver_->Copy(Batch(2, 100)));
  ASSERT_OK(driver_->Save());
  ASSERT_OK(pci().Reset());
  ASSERT_OK(pci().SetBusMaster(true));
  EXPECT_THAT(MakeDriver()->Attach(arena_->region()), FailsWith(EIO));
}

TEST_P(DriverConformance, PollTellsWhatIsNotDone) {
  EXPECT_THAT(driver_->Poll(), FailsWith(EINVAL));
  Start();
  EXPECT_THAT(driver_->Poll(), testing::Optional(0));
  device_->SetHung(true);
  const auto copies = Batch(3, 100);
  ASSERT_OK(driver_->Copy(copies));
  EXPECT_THAT(driver_->Poll(), testing::Optional(testing::Ge(1)));
  device_->SetHung(false);
  ASSERT_OK(driver_->Wait(Soon()));
  EXPECT_THAT(driver_->Poll(), testing::Optional(0));
  Expect(copies);
}

TEST_P(DriverConformance, SaveRefusesWhileACopyIsNotWaitedFor) {
  if (traits().hands_over_posted) GTEST_SKIP() << "Save() hands over what is posted";
  Start();
  device_->SetHung(true);
  const auto copies = Batch(2, 100);
  ASSERT_OK(driver_->Copy(copies));
  EXPECT_THAT(driver_->Save(), FailsWith(EBUSY));
  device_->SetHung(false);
  EXPECT_THAT(driver_->Save(), FailsWith(EBUSY)) << "done, but not waited for";
  EXPECT_THAT(MakeDriver()->Attach(arena_->region()), FailsWith(EINVAL));
  ASSERT_OK(driver_->Wait(Soon()));
  Expect(copies);
  EXPECT_OK(driver_->Save());
}

TEST_P(DriverConformance, RefusesARegionWithoutSavedState) {
  auto other = MakeDriver();
  EXPECT_THAT(other->Attach(arena_->region()), FailsWith(EINVAL)) << "all ones";
  std::ranges::fill(arena_->region().memory, std::byte{0});
  EXPECT_THAT(other->Attach(arena_->region()), FailsWith(EINVAL)) << "all zeroes";
  Start();
  ExpectWorks();
  EXPECT_THAT(other->Attach(arena_->region()), FailsWith(EINVAL)) << "started, not saved";
  ExpectWorks();
}

TEST_P(DriverConformance, StartMakesASavedStateInvalid) {
  Start();
  ASSERT_OK(driver_->Save());
  Start();
  EXPECT_THAT(MakeDriver()->Attach(arena_->region()), FailsWith(EINVAL));
}

TEST_P(DriverConformance, AttachRefusesARegionThatCannotBe) {
  Start();
  ASSERT_OK(driver_->Save());
  const DmaRegion region = arena_->region();
  auto other = MakeDriver();
  EXPECT_THAT(other->Attach({}), FailsWith(EINVAL));
  EXPECT_THAT(other->Attach({region.memory.first(region.memory.size() - kPage), region.iova}),
              FailsWith(EINVAL));
  EXPECT_THAT(other->Attach({region.memory, region.iova + 8}), FailsWith(EINVAL));
  EXPECT_OK(other->Attach(region));
}

TEST_P(DriverConformance, RefusesAStateSavedAtAnotherIova) {
  Start();
  ASSERT_OK(driver_->Save());
  auto other = MakeDriver();
  for (const Iova iova : {arena_->region().iova + kPage, arena_->region().iova - kPage,
                          arena_->region().iova ^ (Iova{1} << 36), Iova{0}}) {
    EXPECT_THAT(other->Attach({arena_->region().memory, iova}), FailsWith(EINVAL));
  }
  EXPECT_OK(other->Attach(arena_->region()));
}

// Each byte that Save() wrote, and those between them, in each of its bits.
TEST_P(DriverConformance, RefusesAStateWithAnyBitFlipped) {
  Start();
  ExpectWorks();
  const auto memory = arena_->region().memory;
  const auto before = Snapshot(memory);
  ASSERT_OK(driver_->Save());
  const auto saved = Snapshot(memory);
  std::size_t first = 0;
  while (first < saved.size() && saved[first] == before[first]) ++first;
  ASSERT_LT(first, saved.size()) << "Save() wrote nothing";
  std::size_t last = saved.size() - 1;
  while (saved[last] == before[last]) --last;
  ASSERT_LT(last - first, 4096) << "more than a state";

  for (std::size_t i = first; i <= last; ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      memory[i] ^= std::byte{1} << bit;
      ASSERT_THAT(MakeDriver()->Attach(arena_->region()), FailsWith(EINVAL))
          << "byte " << i << ", bit " << bit;
      memory[i] ^= std::byte{1} << bit;
    }
  }
  EXPECT_TRUE(std::ranges::equal(saved, memory)) << "a refused Attach() wrote to the region";
  driver_ = MakeDriver();
  ASSERT_OK(driver_->Attach(arena_->region()));
  ExpectWorks();
}

// A refused Attach() leaves the device to whoever has it.
TEST_P(DriverConformance, ARefusedAttachLeavesTheDeviceAlone) {
  Start();
  ASSERT_OK(driver_->Save());
  ExpectWorks();
  const std::size_t resets = device_->resets();
  auto other = MakeDriver();
  EXPECT_THAT(other->Attach(arena_->region()), FailsWith(EIO));
  EXPECT_EQ(device_->resets(), resets);
  EXPECT_THAT(other->Copy({}), FailsWith(EINVAL)) << "it did not attach";
  ExpectWorks();
}

TEST_P(DriverConformance, RefusesADeviceThatWasResetSinceThen) {
  for (const bool whole_function : {false, true}) {
    SCOPED_TRACE(whole_function ? "function level reset" : "Stop() by another driver");
    Start();
    ASSERT_OK(driver_->Save());
    if (whole_function) {
      ASSERT_OK(pci().Reset());
    } else {
      ASSERT_OK(MakeDriver()->Stop(Soon()));
    }
    EXPECT_THAT(MakeDriver()->Attach(arena_->region()), FailsWith(EIO));
    ASSERT_OK(pci().SetBusMaster(true));
    EXPECT_THAT(MakeDriver()->Attach(arena_->region()), FailsWith(EIO)) << "bus master on again";
  }
}

TEST_P(DriverConformance, RefusesADeviceThatLostBusMaster) {
  Start();
  ASSERT_OK(driver_->Save());
  ASSERT_OK(pci().SetBusMaster(false));
  EXPECT_THAT(MakeDriver()->Attach(arena_->region()), FailsWith(EIO));
  ASSERT_OK(pci().SetBusMaster(true));
  driver_ = MakeDriver();
  ASSERT_OK(driver_->Attach(arena_->region()));
  ExpectWorks();
}

TEST_P(DriverConformance, RefusesADeviceThatCopiedSinceThen) {
  Start();
  ASSERT_OK(driver_->Save());
  ExpectWorks();
  EXPECT_THAT(MakeDriver()->Attach(arena_->region()), FailsWith(EIO));
}

TEST_P(DriverConformance, RefusesADeviceThatHasCopiesPosted) {
  Start();
  ASSERT_OK(driver_->Save());
  device_->SetHung(true);
  const DmaCopy copy = InPool(0, kPage, 16);
  ASSERT_OK(CopyOne(copy));
  EXPECT_THAT(MakeDriver()->Attach(arena_->region()), FailsWith(EIO));
  device_->SetHung(false);
  ASSERT_OK(driver_->Wait(Soon()));
  arena_->Expect(copy);
}

TEST_P(DriverConformance, RefusesADeviceThatWasQuiescedOrResumedSinceThen) {
  Start();
  ASSERT_OK(driver_->Save());
  ASSERT_OK(driver_->Quiesce(Soon()));
  EXPECT_THAT(MakeDriver()->Attach(arena_->region()), FailsWith(EIO));
  ASSERT_OK(driver_->Save());
  ASSERT_OK(driver_->Resume(Soon()));
  EXPECT_THAT(MakeDriver()->Attach(arena_->region()), FailsWith(EIO));
}

// Another device of the same kind, with the same memory at the same IOVA.
TEST_P(DriverConformance, RefusesAnotherDevice) {
  Start();
  ASSERT_OK(driver_->Save());
  const auto twin = GetParam().make_device();
  arena_->MapIn(twin->device().iommu());
  const auto other = GetParam().entry->make(twin->device(), GetParam().options);
  EXPECT_THAT(other->Attach(arena_->region()), FailsWith(EIO));
  ASSERT_OK(twin->device().SetBusMaster(true));
  EXPECT_THAT(other->Attach(arena_->region()), FailsWith(EIO));
  EXPECT_THAT(twin->violations(), testing::IsEmpty());
  ExpectWorks();
}

}  // namespace
}  // namespace carryover
