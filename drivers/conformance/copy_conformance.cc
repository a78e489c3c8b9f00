// SPDX-License-Identifier: GPL-2.0-only
// What Copy() and Wait() do when nothing goes wrong, and what Copy() refuses.
#include <limits>

#include "drivers/conformance/driver_conformance.h"

namespace carryover {
namespace {

TEST_P(DriverConformance, CopiesOneByte) {
  Start();
  const DmaCopy copy = InPool(5, kPage + 77, 1);
  arena_->Fill(5, 1, ~arena_->pool()[kPage + 77]);
  ASSERT_OK(CopyOne(copy));
  ASSERT_OK(driver_->Wait(Soon()));
  arena_->Expect(copy);
  EXPECT_TRUE(arena_->Matches());
}

// Lengths around every power of two, at odd places.
TEST_P(DriverConformance, CopiesAnyLengthFromAndToAnyAlignment) {
  Start();
  const std::size_t half = arena_->pool().size() / 2;
  std::uint64_t seed = 10;
  for (std::size_t power = 1; power <= traits().max_copy_bytes; power *= 2) {
    arena_->Refill(++seed);
    for (const std::size_t length : {power - 1, power, power + 1, power + power / 2 + 1}) {
      if (length == 0 || length > traits().max_copy_bytes) continue;
      for (const auto& [from, to] : {std::pair<std::size_t, std::size_t>{0, 0},
                                     {1, 0},
                                     {0, 1},
                                     {kPage - 1, 3},
                                     {7, kPage - 7},
                                     {kPage - 2, kPage - 1}}) {
        if (power > 65536 && from + to > 4) continue;  // many bytes, little news
        SCOPED_TRACE(testing::Message() << length << " bytes, from " << from << " to " << to);
        const DmaCopy copy = InPool(from, half + to, length);
        ASSERT_OK(CopyOne(copy));
        ASSERT_OK(driver_->Wait(Soon()));
        arena_->Expect(copy);
        ASSERT_TRUE(arena_->Matches());
      }
    }
  }
}

// Every alignment of both ends within a page matters to descriptors that end at pages.
TEST_P(DriverConformance, CopiesAcrossPages) {
  Start();
  const std::size_t length = std::min<std::size_t>(traits().max_copy_bytes, 3 * kPage + 5);
  for (std::size_t i = 0; i < 64; ++i) {
    const std::size_t from = i * 64 + i;
    const std::size_t to = 8 * kPage + kPage - i * 61;
    SCOPED_TRACE(testing::Message() << "from " << from << " to " << to);
    const DmaCopy copy = InPool(from, to, length);
    ASSERT_OK(CopyOne(copy));
    ASSERT_OK(driver_->Wait(Soon()));
    arena_->Expect(copy);
    ASSERT_TRUE(arena_->Matches());
  }
}

TEST_P(DriverConformance, CopiesTheMaximum) {
  Start();
  const DmaCopy copy = InPool(0, arena_->pool().size() / 2, traits().max_copy_bytes);
  ASSERT_OK(CopyOne(copy));
  ASSERT_OK(driver_->Wait(Soon()));
  arena_->Expect(copy);
  EXPECT_TRUE(arena_->Matches());
}

// The first and the last byte of the pool have guard pages as neighbours.
TEST_P(DriverConformance, CopiesTheFirstAndTheLastByteOfMemory) {
  Start();
  const std::size_t last = arena_->pool().size() - 1;
  std::vector<DmaCopy> copies{InPool(kPage + 100, 0, 1), InPool(2 * kPage + 200, last, 1)};
  ASSERT_OK(driver_->Copy(copies));
  ASSERT_OK(driver_->Wait(Soon()));
  Expect(copies);
  EXPECT_TRUE(arena_->Matches());
}

// What the copied bytes mean to anyone is not the driver's business.
TEST_P(DriverConformance, CopiesBytesOfAnyValue) {
  Start();
  constexpr std::size_t kLength = 300;
  for (int value = 0; value < 256; ++value) {
    arena_->Fill(0, kLength, static_cast<std::byte>(value));
    const DmaCopy copy = InPool(0, kPage, kLength);
    ASSERT_OK(CopyOne(copy));
    ASSERT_OK(driver_->Wait(Soon()));
    arena_->Expect(copy);
    ASSERT_TRUE(arena_->Matches()) << "value " << value;
  }
}

TEST_P(DriverConformance, ACopyWithinAPageMayHaveItsSourceBesideItsDestination) {
  Start();
  const std::size_t length = Above(16);
  const std::vector<DmaCopy> copies{InPool(0, length, length),
                                    InPool(3 * length, 2 * length, length)};
  ASSERT_OK(driver_->Copy(copies));
  ASSERT_OK(driver_->Wait(Soon()));
  Expect(copies);
  EXPECT_TRUE(arena_->Matches());
}

// Wait() returns only when all is done, whichever copy is slow.
TEST_P(DriverConformance, CopiesAsManyOfTheLargestAsItSays) {
  const std::size_t length = traits().max_copy_bytes;
  const std::size_t room = length + kPage;
  ResizePool(2 * traits().max_in_flight * room);
  Start();
  // In mid-page: this takes the most descriptors.
  std::vector<DmaCopy> copies;
  for (std::size_t i = 0; i < traits().max_in_flight; ++i) {
    copies.push_back(InPool(2 * i * room + 123, (2 * i + 1) * room + 321, length));
  }
  for (int round = 0; round < 3; ++round) {
    for (const DmaCopy& copy : copies) ASSERT_OK(CopyOne(copy));
    ASSERT_OK(driver_->Wait(Soon()));
    Expect(copies);
    ASSERT_TRUE(arena_->Matches());
    for (DmaCopy& copy : copies) std::swap(copy.source, copy.destination);
    arena_->Refill(100 + static_cast<std::uint64_t>(round));
  }
}

TEST_P(DriverConformance, WrapsAroundItsRings) {
  Start();
  constexpr std::size_t kLength = 64;
  for (int round = 0; round < 700; ++round) {
    const auto copies = Batch(13, kLength + static_cast<std::size_t>(round % 7));
    ASSERT_OK(driver_->Copy(copies));
    ASSERT_OK(driver_->Wait(Soon()));
    Expect(copies);
    if (round % 50 != 0) continue;
    ASSERT_TRUE(arena_->Matches()) << "round " << round;
    arena_->Refill(static_cast<std::uint64_t>(round));
  }
}

TEST_P(DriverConformance, WaitsForAllBatchesThatWerePosted) {
  Start();
  const auto copies = Batch(20, 100);
  for (const DmaCopy& copy : copies) ASSERT_OK(CopyOne(copy));
  ASSERT_OK(driver_->Wait(Soon()));
  Expect(copies);
  EXPECT_TRUE(arena_->Matches());
}

TEST_P(DriverConformance, RingsNoMoreDoorbellsForABatchThanForACopy) {
  const std::size_t batch = GetParam().doorbells_a_batch;
  if (batch == 0) GTEST_SKIP() << "this device has no rings";
  Start();
  const std::size_t before = device_->doorbells();
  const auto copies = Batch(std::min<std::size_t>(traits().max_in_flight, 50), 1000);
  ASSERT_OK(driver_->Copy(copies));
  EXPECT_EQ(device_->doorbells(), before + 1);
  ASSERT_OK(driver_->Wait(Soon()));
  EXPECT_EQ(device_->doorbells(), before + batch);
  Expect(copies);
}

TEST_P(DriverConformance, PostsNothingForAnEmptyBatch) {
  Start();
  const std::size_t before = device_->doorbells();
  ASSERT_OK(driver_->Copy({}));
  EXPECT_EQ(device_->doorbells(), before);
  ASSERT_OK(driver_->Wait(Soon()));
}

TEST_P(DriverConformance, WaitReturnsAtOnceIfNothingIsPosted) {
  Start();
  device_->SetHung(true);
  const InTime in_time(kShort);
  ASSERT_OK(driver_->Wait(Soon()));
  ASSERT_OK(driver_->Wait(Soon()));
}

// Copy() returns before the copies are done.
TEST_P(DriverConformance, CopyDoesNotWait) {
  Start();
  device_->SetHung(true);
  const auto copies = Batch(2, 5000);
  {
    const InTime in_time(kShort);
    ASSERT_OK(driver_->Copy(copies));
  }
  EXPECT_TRUE(arena_->Matches());
  device_->SetHung(false);
  ASSERT_OK(driver_->Wait(Soon()));
  Expect(copies);
}

// Every one of them, beside copies that are fine: nothing is posted then.
TEST_P(DriverConformance, RefusesACopyThatCannotBe) {
  Start();
  constexpr Iova kLast = std::numeric_limits<Iova>::max();
  const std::size_t doorbells = device_->doorbells();
  const std::vector<DmaCopy> bad{
      InPool(0, kPage, 0),
      InPool(0, kPage, traits().max_copy_bytes + 1),
      {arena_->At(0), arena_->At(kPage), Below(std::numeric_limits<std::size_t>::max())},
      {.source = Below(kLast - 1), .destination = arena_->At(0), .length = 3 * Above(1)},
      {.source = arena_->At(0), .destination = Below(kLast - 1), .length = 3 * Above(1)},
  };
  for (const DmaCopy& copy : bad) {
    SCOPED_TRACE(testing::Message()
                 << copy.length << " bytes from " << copy.source << " to " << copy.destination);
    EXPECT_THAT(CopyOne(copy), FailsWith(EINVAL));
    const std::vector<DmaCopy> last{InPool(0, kPage, 16), copy};
    EXPECT_THAT(driver_->Copy(last), FailsWith(EINVAL));
    const std::vector<DmaCopy> first{copy, InPool(0, kPage, 16)};
    EXPECT_THAT(driver_->Copy(first), FailsWith(EINVAL));
  }
  EXPECT_EQ(device_->doorbells(), doorbells);
  ASSERT_OK(driver_->Wait(Soon()));
  EXPECT_TRUE(arena_->Matches()) << "something was posted";
  ExpectWorks();
}

TEST_P(DriverConformance, RefusesACopyThatIsNotAligned) {
  Start();
  const std::size_t alignment = traits().alignment;
  if (alignment == 1) GTEST_SKIP() << "any alignment is good for this device";
  const std::size_t doorbells = device_->doorbells();
  for (const std::size_t off : {std::size_t{1}, alignment / 2, alignment - 1}) {
    for (const DmaCopy& copy : {DmaCopy{arena_->At(off), arena_->At(8 * kPage), alignment},
                                DmaCopy{arena_->At(0), arena_->At(8 * kPage + off), alignment},
                                DmaCopy{arena_->At(0), arena_->At(8 * kPage), off},
                                DmaCopy{arena_->At(0), arena_->At(8 * kPage), alignment + off}}) {
      EXPECT_THAT(CopyOne(copy), FailsWith(EINVAL)) << off;
    }
  }
  EXPECT_EQ(device_->doorbells(), doorbells);
  ExpectWorks();
}

// A batch that does not fit is not posted in part, and what was posted before it is not lost.
TEST_P(DriverConformance, PostsNothingOfABatchThatDoesNotFit) {
  Start();
  device_->SetHung(true);
  std::vector<DmaCopy> posted{InPool(0, kPage, 10)};
  ASSERT_OK(driver_->Copy(posted));
  const std::size_t doorbells = device_->doorbells();
  // Far more than any ring has.
  const std::vector<DmaCopy> many(200'000, InPool(0, 2 * kPage, 10));
  EXPECT_THAT(driver_->Copy(many), FailsWith(ENOSPC));
  EXPECT_EQ(device_->doorbells(), doorbells);
  posted.push_back(InPool(100, 3 * kPage, 10));
  ASSERT_OK(CopyOne(posted.back()));
  device_->SetHung(false);
  ASSERT_OK(driver_->Wait(Soon()));
  Expect(posted);
  EXPECT_TRUE(arena_->Matches());
}

// Copies one by one until no more fits: that one is refused, all others are done, and after Wait()
// there is room again.
TEST_P(DriverConformance, TakesCopiesUntilItIsFull) {
  Start();
  device_->SetHung(true);
  std::vector<DmaCopy> posted;
  constexpr std::size_t kLimit = 200'000;
  const std::size_t room = arena_->pool().size() / 2;
  Result<void> result;
  while (posted.size() < kLimit) {
    const DmaCopy next = InPool(posted.size() % room, room + posted.size() % room, 1);
    result = CopyOne(next);
    if (!result) break;
    posted.push_back(next);
  }
  ASSERT_THAT(result, FailsWith(ENOSPC));
  EXPECT_GE(posted.size(), traits().max_in_flight);
  EXPECT_THAT(CopyOne(InPool(0, kPage, 1)), FailsWith(ENOSPC));
  device_->SetHung(false);
  ASSERT_OK(driver_->Wait(Soon()));
  Expect(posted);
  EXPECT_TRUE(arena_->Matches());
  ExpectWorks();
}

}  // namespace
}  // namespace carryover
