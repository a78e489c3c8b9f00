// SPDX-License-Identifier: GPL-2.0-only
// Devices that are gone, hang, report errors or never come out of reset, and memory that the IOMMU
// does not let them reach. The driver says so before the deadline, and Start() makes all well.
#include <gmock/gmock.h>

#include "drivers/conformance/driver_conformance.h"

namespace carryover {
void DriverConformance::ExpectRefusedReadIsTold() {
  const auto result = driver_->Wait(Almost());
  if (!GetParam().notices_refused_reads) return;
  EXPECT_THAT(result, testing::AnyOf(FailsWith(ETIMEDOUT), FailsWith(EIO)));
}

namespace {

// After an error only Start() and Stop() are allowed.
TEST_P(DriverConformance, WaitGivesUpAHungDeviceAtTheDeadline) {
  Start();
  device_->SetHung(true);
  const DmaCopy copy = InPool(0, kPage, 100);
  ASSERT_OK(CopyOne(copy));
  {
    const InTime in_time(kShort);
    EXPECT_THAT(driver_->Wait(Almost()), FailsWith(ETIMEDOUT));
    EXPECT_GE(in_time.elapsed(), kShort) << "gave up early";
  }
  const std::size_t doorbells = device_->doorbells();
  ExpectAllFail(EIO);
  EXPECT_THAT(driver_->Attach(arena_->region()), FailsWith(EIO));
  EXPECT_EQ(device_->doorbells(), doorbells);
  EXPECT_TRUE(arena_->Matches());
  Start();
  device_->SetHung(false);
  EXPECT_TRUE(arena_->Matches()) << "the copy was done after Start()";
  ExpectWorks();
}

TEST_P(DriverConformance, AHungDeviceCanBeStopped) {
  Start();
  device_->SetHung(true);
  ASSERT_OK(CopyOne(InPool(0, kPage, 100)));
  EXPECT_THAT(driver_->Wait(Almost()), FailsWith(ETIMEDOUT));
  ASSERT_OK(driver_->Stop(Soon()));
  EXPECT_FALSE(pci().bus_master());
  device_->SetHung(false);
  Start();
  ExpectWorks();
}

// A wait for what is done already does not depend on the deadline.
TEST_P(DriverConformance, WhatIsDoneAtTheDeadlineCounts) {
  Start();
  const auto copies = Batch(3, 100);
  ASSERT_OK(driver_->Copy(copies));
  ASSERT_OK(driver_->Wait(Deadline::After(std::chrono::nanoseconds(0))));
  Expect(copies);
}

TEST_P(DriverConformance, WaitTellsAnErrorOfTheDevice) {
  if (!GetParam().reports_errors) GTEST_SKIP() << "this device reports no errors";
  Start();
  device_->FailNextCopy();
  const DmaCopy copy = InPool(0, kPage, 100);
  ASSERT_OK(CopyOne(copy));
  {
    const InTime in_time(kShort);
    EXPECT_THAT(driver_->Wait(Soon()), FailsWith(EIO));
  }
  arena_->Forgive(copy);
  ExpectAllFail(EIO);
  Start();
  ExpectWorks();
}

TEST_P(DriverConformance, WaitTellsAnErrorAmongCopiesThatAreFine) {
  if (!GetParam().reports_errors) GTEST_SKIP() << "this device reports no errors";
  Start();
  const auto copies = Batch(5, 100);
  ASSERT_OK(CopyOne(copies[0]));
  ASSERT_OK(CopyOne(copies[1]));
  device_->FailNextCopy();
  for (std::size_t i = 2; i < copies.size(); ++i) ASSERT_OK(CopyOne(copies[i]));
  EXPECT_THAT(driver_->Wait(Soon()), FailsWith(EIO));
  for (const DmaCopy& copy : copies) arena_->Forgive(copy);
  Start();
  ExpectWorks();
}

TEST_P(DriverConformance, StartTellsThatTheDeviceIsGone) {
  device_->SetGone(true);
  const InTime in_time(kShort);
  EXPECT_THAT(driver_->Start(arena_->region(), Soon()), FailsWith(ENODEV));
  device_->SetGone(false);
  Start();
  ExpectWorks();
}

TEST_P(DriverConformance, WaitTellsThatTheDeviceIsGone) {
  Start();
  device_->SetGone(true);
  ASSERT_THAT(CopyOne(InPool(0, kPage, 100)), IsOk());
  const InTime in_time(kShort);
  EXPECT_THAT(driver_->Wait(Soon()), FailsWith(ENODEV));
  ExpectAllFail(EIO);
}

// A device that hangs and is unplugged then.
TEST_P(DriverConformance, WaitTellsThatTheDeviceWentAway) {
  Start();
  device_->SetHung(true);
  ASSERT_OK(driver_->Copy(Batch(3, 100)));
  device_->SetGone(true);
  const InTime in_time(kShort);
  EXPECT_THAT(driver_->Wait(Soon()), FailsWith(ENODEV));
}

TEST_P(DriverConformance, EveryOtherOperationTellsThatTheDeviceIsGone) {
  Start();
  const InTime in_time(kShort);
  device_->SetGone(true);
  EXPECT_THAT(driver_->RaiseInterrupt(), FailsWith(ENODEV));
  EXPECT_THAT(driver_->Save(), FailsWith(ENODEV));
  EXPECT_THAT(driver_->Wait(Soon()), FailsWith(ENODEV)) << "with nothing posted";
  EXPECT_THAT(driver_->Stop(Soon()), FailsWith(ENODEV));
  EXPECT_FALSE(pci().bus_master());
  ExpectAllFail(EINVAL);

  device_->SetGone(false);
  Start();
  device_->SetGone(true);
  EXPECT_THAT(driver_->Quiesce(Soon()), FailsWith(ENODEV));
  ExpectAllFail(EIO);

  device_->SetGone(false);
  Start();
  ASSERT_OK(driver_->Quiesce(Soon()));
  device_->SetGone(true);
  EXPECT_THAT(driver_->Resume(Soon()), FailsWith(ENODEV));
  ExpectAllFail(EIO);

  device_->SetGone(false);
  Start();
  ASSERT_OK(driver_->Save());
  device_->SetGone(true);
  auto other = MakeDriver();
  EXPECT_THAT(other->Attach(arena_->region()), FailsWith(ENODEV));
  device_->SetGone(false);
  EXPECT_OK(other->Attach(arena_->region()));
}

TEST_P(DriverConformance, StartGivesUpAResetThatNeverEnds) {
  device_->SetResetStuck(true);
  {
    const InTime in_time(kShort);
    EXPECT_THAT(driver_->Start(arena_->region(), Almost()), FailsWith(ETIMEDOUT));
  }
  ExpectAllFail(EINVAL);
  device_->SetResetStuck(false);
  Start();
  ExpectWorks();
}

TEST_P(DriverConformance, StopGivesUpAResetThatNeverEndsButTurnsBusMasterOff) {
  Start();
  device_->SetResetStuck(true);
  {
    const InTime in_time(kShort);
    EXPECT_THAT(driver_->Stop(Almost()), FailsWith(ETIMEDOUT));
  }
  EXPECT_FALSE(pci().bus_master());
  device_->SetResetStuck(false);
  Start();
  ExpectWorks();
}

TEST_P(DriverConformance, WaitTellsThatASourceIsNotMapped) {
  Start();
  const std::vector<DmaCopy> bad{
      {.source = arena_->end(), .destination = arena_->At(0), .length = Above(100)},
      {.source = arena_->end() - Above(50), .destination = arena_->At(0), .length = 2 * Above(50)},
      {.source = 0, .destination = arena_->At(0), .length = Above(1)},
      {.source = Arena::kBase - Above(1), .destination = arena_->At(0), .length = 2 * Above(1)},
  };
  for (const DmaCopy& copy : bad) {
    SCOPED_TRACE(testing::Message() << "source " << std::hex << copy.source);
    Start();
    const std::size_t faults = pci().iommu().faults();
    ASSERT_OK(CopyOne(copy));
    {
      const InTime in_time(kShort);
      ExpectRefusedReadIsTold();
    }
    EXPECT_GT(pci().iommu().faults(), faults);
    arena_->Forgive(copy);
    EXPECT_TRUE(arena_->Matches());
    Start();
    ExpectWorks();
  }
}

TEST_P(DriverConformance, WaitTellsThatADestinationIsNotMapped) {
  Start();
  const std::vector<DmaCopy> bad{
      {.source = arena_->At(0), .destination = arena_->end(), .length = Above(100)},
      {.source = arena_->At(0), .destination = arena_->end() - Above(50), .length = 2 * Above(50)},
      {.source = arena_->At(0), .destination = Arena::kBase - kPage, .length = Above(100)},
  };
  for (const DmaCopy& copy : bad) {
    SCOPED_TRACE(testing::Message() << "destination " << std::hex << copy.destination);
    Start();
    const std::size_t faults = pci().iommu().faults();
    ASSERT_OK(CopyOne(copy));
    {
      const InTime in_time(kShort);
      const auto result = driver_->Wait(Almost());
      if (GetParam().notices_refused_writes) {
        EXPECT_THAT(result, testing::AnyOf(FailsWith(ETIMEDOUT), FailsWith(EIO)));
      }
    }
    EXPECT_GT(pci().iommu().faults(), faults);
    if (copy.destination >= Arena::kBase) arena_->Forgive(copy);
    EXPECT_TRUE(arena_->Matches());
    Start();
    ExpectWorks();
  }
}

// A page that the device may not write stays as it is; one that it may not read is not read.
TEST_P(DriverConformance, WaitTellsThatAMappingLacksTheRight) {
  constexpr Iova kReadOnly = 0x10000;
  constexpr Iova kWriteOnly = 0x20000;
  ASSERT_OK_AND_ASSIGN(const DmaMemory pages, DmaMemory::Create(2 * kPage, PageKind::kBase));
  ASSERT_OK(pci().iommu().Map(kReadOnly, pages.address(), kPage, DmaAccess::kRead));
  ASSERT_OK(pci().iommu().Map(kWriteOnly, pages.address() + kPage, kPage, DmaAccess::kWrite));
  std::ranges::fill(pages.bytes(), std::byte{0x5a});

  Start();
  const std::size_t length = Above(100);
  const std::size_t from = Below(8000);
  std::vector<DmaCopy> allowed{{kReadOnly + Below(1), arena_->At(0), length},
                               {arena_->At(from), kWriteOnly + Below(1), length}};
  ASSERT_OK(driver_->Copy(allowed));
  ASSERT_OK(driver_->Wait(Soon()));
  arena_->Fill(0, length, std::byte{0x5a});
  EXPECT_TRUE(arena_->Matches());
  EXPECT_TRUE(std::ranges::equal(pages.bytes().subspan(kPage + Below(1), length),
                                 arena_->pool().subspan(from, length)));

  ASSERT_OK(CopyOne({arena_->At(0), kReadOnly, length}));
  const auto result = driver_->Wait(Almost());
  if (GetParam().notices_refused_writes) {
    EXPECT_THAT(result, testing::AnyOf(FailsWith(ETIMEDOUT), FailsWith(EIO)));
  }
  EXPECT_THAT(pages.bytes().first(kPage), testing::Each(std::byte{0x5a}));

  Start();
  const DmaCopy unreadable{kWriteOnly, arena_->At(0), length};
  ASSERT_OK(CopyOne(unreadable));
  ExpectRefusedReadIsTold();
  if (!GetParam().notices_refused_reads) arena_->Forgive(unreadable);
  EXPECT_TRUE(arena_->Matches());
  Start();
  ExpectWorks();
}

// Only the bad copy of a batch may be lost, but all of it is reported.
TEST_P(DriverConformance, WaitTellsThatOneSourceOfManyIsNotMapped) {
  Start();
  auto copies = Batch(5, 100);
  copies[2].source = arena_->end();
  ASSERT_OK(driver_->Copy(copies));
  ExpectRefusedReadIsTold();
  for (const DmaCopy& copy : copies) arena_->Forgive(copy);
  EXPECT_TRUE(arena_->Matches());
  Start();
  ExpectWorks();
}

// The region itself is not mapped.
TEST_P(DriverConformance, WaitTellsThatTheRegionIsNotMapped) {
  if (!GetParam().uses_its_region) GTEST_SKIP() << "this device does not use the region";
  DmaRegion region = arena_->region();
  region.iova = 0x40000000;
  const auto started = driver_->Start(region, Soon());
  if (started) {
    const DmaCopy copy = InPool(0, kPage, 100);
    ASSERT_OK(CopyOne(copy));
    arena_->Forgive(copy);  // a device that is given its descriptor in a register can do it
    const InTime in_time(kShort);
    EXPECT_THAT(driver_->Wait(Almost()), testing::AnyOf(FailsWith(ETIMEDOUT), FailsWith(EIO)));
  } else {  // it uses the region to start
    EXPECT_THAT(started, testing::AnyOf(FailsWith(ETIMEDOUT), FailsWith(EIO)));
  }
  EXPECT_TRUE(arena_->Matches());
  Start();
  ExpectWorks();
}

}  // namespace
}  // namespace carryover
