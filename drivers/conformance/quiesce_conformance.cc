// SPDX-License-Identifier: GPL-2.0-only
// Quiesce() and Resume().
#include <gmock/gmock.h>

#include "drivers/conformance/driver_conformance.h"

namespace carryover {
namespace {

TEST_P(DriverConformance, AQuiescedDeviceDoesNoDma) {
  Start();
  device_->SetHung(true);
  const auto copies = Batch(4, 3000);
  ASSERT_OK(driver_->Copy(copies));
  ASSERT_OK(driver_->Quiesce(Soon()));
  const std::vector<std::byte> region(arena_->region().memory.begin(),
                                      arena_->region().memory.end());
  device_->SetHung(false);
  EXPECT_TRUE(arena_->Matches());
  EXPECT_TRUE(std::ranges::equal(region, arena_->region().memory)) << "the region was written";
  ASSERT_OK(driver_->Resume(Soon()));
  ASSERT_OK(driver_->Wait(Soon()));
  Expect(copies);
}

// Whatever part of the copies was done before.
TEST_P(DriverConformance, PostedCopiesCompleteAfterResume) {
  for (std::size_t done = 0; done < 12; ++done) {
    SCOPED_TRACE(testing::Message() << done << " units done before Quiesce()");
    arena_->Refill(done);
    Start();
    device_->SetHung(true);
    const auto copies = Batch(3, std::min<std::size_t>(traits().max_copy_bytes, 5 * kPage / 2));
    for (const DmaCopy& copy : copies) ASSERT_OK(CopyOne(copy));
    if (done != 0) device_->LetThrough(done);
    ASSERT_OK(driver_->Quiesce(Soon()));
    for (const DmaCopy& copy : copies) arena_->Forgive(copy);
    ASSERT_TRUE(arena_->Matches());
    device_->SetHung(false);
    ASSERT_TRUE(arena_->Matches()) << "DMA while quiesced";
    ASSERT_OK(driver_->Resume(Soon()));
    ASSERT_OK(driver_->Wait(Soon()));
    Expect(copies);
    ASSERT_TRUE(arena_->Matches());
  }
}

TEST_P(DriverConformance, QuiescesAndResumesManyTimesInOneBatch) {
  Start();
  device_->SetHung(true);
  const auto copies = Batch(8, std::min<std::size_t>(traits().max_copy_bytes, 2 * kPage));
  ASSERT_OK(driver_->Copy(copies));
  for (int i = 0; i < 20; ++i) {
    device_->LetThrough(1);
    ASSERT_OK(driver_->Quiesce(Soon()));
    ASSERT_OK(driver_->Resume(Soon()));
  }
  device_->SetHung(false);
  ASSERT_OK(driver_->Wait(Soon()));
  Expect(copies);
}

TEST_P(DriverConformance, CopiesBeforeAndAfterAQuiesceCompleteTogether) {
  Start();
  device_->SetHung(true);
  const auto copies = Batch(6, 2000);
  for (std::size_t i = 0; i < 3; ++i) ASSERT_OK(CopyOne(copies[i]));
  device_->LetThrough(1);
  ASSERT_OK(driver_->Quiesce(Soon()));
  ASSERT_OK(driver_->Resume(Soon()));
  for (std::size_t i = 3; i < 6; ++i) ASSERT_OK(CopyOne(copies[i]));
  device_->SetHung(false);
  ASSERT_OK(driver_->Wait(Soon()));
  Expect(copies);
}

// What was posted before still takes its room after Resume().
TEST_P(DriverConformance, AResumedDriverTakesAsManyCopiesAsBefore) {
  Start();
  arena_->Fill(0, Above(1), arena_->pool()[0]);
  device_->SetHung(true);
  const auto fill = [this] {
    std::size_t count = 0;
    while (count < 200'000 && CopyOne(InPool(0, kPage + count % kPage, 1))) ++count;
    return count;
  };
  const std::size_t room = fill();
  ASSERT_OK(driver_->Quiesce(Soon()));
  ASSERT_OK(driver_->Resume(Soon()));
  EXPECT_EQ(fill(), 0);
  device_->SetHung(false);
  ASSERT_OK(driver_->Wait(Soon()));
  arena_->Forgive(InPool(0, kPage, kPage));
  EXPECT_THAT(arena_->pool().subspan(kPage, std::min(room, kPage)),
              testing::Each(arena_->pool()[0]));
  ExpectWorks();
}

TEST_P(DriverConformance, QuiesceWithNothingPosted) {
  Start();
  ASSERT_OK(driver_->Quiesce(Soon()));
  ASSERT_OK(driver_->Resume(Soon()));
  ASSERT_OK(driver_->Wait(Soon()));
  ExpectWorks();
}

TEST_P(DriverConformance, QuiesceMayBeRepeated) {
  Start();
  ASSERT_OK(driver_->Quiesce(Soon()));
  ASSERT_OK(driver_->Quiesce(Soon()));
  ASSERT_OK(driver_->Resume(Soon()));
  ExpectWorks();
}

TEST_P(DriverConformance, AQuiescedDriverCanBeStopped) {
  Start();
  ASSERT_OK(driver_->Quiesce(Soon()));
  ASSERT_OK(driver_->Stop(Soon()));
  EXPECT_FALSE(pci().bus_master());
  EXPECT_THAT(driver_->Resume(Soon()), FailsWith(EINVAL));
  Start();
  ExpectWorks();
}

TEST_P(DriverConformance, AQuiescedDriverCanBeStartedAnew) {
  Start();
  device_->SetHung(true);
  ASSERT_OK(CopyOne(InPool(0, kPage, 100)));
  ASSERT_OK(driver_->Quiesce(Soon()));
  Start();
  device_->SetHung(false);
  EXPECT_TRUE(arena_->Matches()) << "a forgotten copy was done";
  ExpectWorks();
}

// An error that came before Quiesce() is not lost by it.
TEST_P(DriverConformance, AnErrorBeforeQuiesceIsTold) {
  if (!GetParam().reports_errors) GTEST_SKIP() << "this device reports no errors";
  Start();
  const DmaCopy copy = InPool(0, kPage, 100);
  device_->FailNextCopy();
  ASSERT_OK(CopyOne(copy));
  auto result = driver_->Quiesce(Soon());
  if (result) result = driver_->Resume(Soon());
  if (result) result = driver_->Wait(Soon());
  EXPECT_THAT(result, FailsWith(EIO));
  arena_->Forgive(copy);
  ExpectAllFail(EIO);
  Start();
  ExpectWorks();
}

}  // namespace
}  // namespace carryover
