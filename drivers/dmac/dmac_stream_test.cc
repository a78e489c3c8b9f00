// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/dmac/dmac_stream.h"

#include <algorithm>
#include <cstring>

#include "drivers/dmac/dmac_bench.h"

namespace carryover::dmac {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

class DmacStreamTest : public DmacBench {
 protected:
  static constexpr std::size_t kSlots = 64;
  static constexpr microseconds kPeriod{100};

  [[nodiscard]] DmaRegion ring() {
    return {arena_.pool().first(stream_->RingBytes(kSlots)), arena_.At(0)};
  }
  [[nodiscard]] Result<void> StartStream() { return stream_->Start(ring(), kPeriod, Soon()); }

  std::unique_ptr<Stream> stream_ = MakeStream(device_.device());
};

TEST_F(DmacStreamTest, FillsItsRing) {
  ASSERT_OK(StartStream());
  WorkUntil(milliseconds(3));
  ASSERT_OK(stream_->Stop(Soon()));
  ASSERT_OK_AND_ASSIGN(const std::uint64_t count, stream_->Count());
  ASSERT_GE(count, 20U);
  for (std::size_t slot = 0; slot < std::min<std::size_t>(count, kSlots); ++slot) {
    const auto entry = stream_->ReadSlot(slot);
    ASSERT_TRUE(entry);
    if (count <= kSlots) {
      EXPECT_EQ(entry->number, slot);
    }
  }
  EXPECT_THAT(device_.model().violations(), testing::IsEmpty());
}

TEST_F(DmacStreamTest, WritesNothingAfterStop) {
  ASSERT_OK(StartStream());
  WorkUntil(milliseconds(1));
  ASSERT_OK(stream_->Stop(Soon()));
  std::ranges::fill(ring().memory, std::byte{0xff});
  WorkUntil(milliseconds(2));
  EXPECT_TRUE(std::ranges::all_of(ring().memory, [](auto b) { return b == std::byte{0xff}; }));
}

TEST_F(DmacStreamTest, AnotherObjectTakesItOver) {
  ASSERT_OK(StartStream());
  WorkUntil(milliseconds(1));
  const auto next = MakeStream(device_.device());
  ASSERT_OK_AND_ASSIGN(const std::uint64_t before, stream_->Count());
  ASSERT_OK(next->TakeOver(ring(), kPeriod));
  WorkUntil(milliseconds(1));
  ASSERT_OK_AND_ASSIGN(const std::uint64_t after, next->Count());
  EXPECT_GT(after, before);
}

TEST_F(DmacStreamTest, AStreamThatWasResetIsNotTakenOver) {
  ASSERT_OK(StartStream());
  device_.model().ResetFunction();
  EXPECT_THAT(MakeStream(device_.device())->TakeOver(ring(), kPeriod), FailsWith(EIO));
}

TEST_F(DmacStreamTest, AnotherRingIsNotTakenOver) {
  ASSERT_OK(StartStream());
  DmaRegion other = ring();
  other.iova += 4096;
  EXPECT_THAT(MakeStream(device_.device())->TakeOver(other, kPeriod), FailsWith(EIO));
  EXPECT_THAT(MakeStream(device_.device())->TakeOver(ring(), kPeriod * 2), FailsWith(EIO));
}

TEST_F(DmacStreamTest, RefusesWhatTheDeviceCannotDo) {
  EXPECT_THAT(stream_->Start({ring().memory.first(63), ring().iova}, kPeriod, Soon()),
              FailsWith(EINVAL));
  EXPECT_THAT(stream_->Start({{}, ring().iova}, kPeriod, Soon()), FailsWith(EINVAL));
  EXPECT_THAT(stream_->Start({ring().memory, ring().iova + 64}, kPeriod, Soon()),
              FailsWith(EINVAL));
  EXPECT_THAT(stream_->Start(ring(), microseconds(0), Soon()), FailsWith(EINVAL));
  ASSERT_OK(StartStream());
  EXPECT_THAT(StartStream(), FailsWith(EBUSY));
}

TEST_F(DmacStreamTest, TellsADeviceThatIsGone) {
  ASSERT_OK(StartStream());
  SetFaults(Faults::kAllOnes);
  EXPECT_THAT(stream_->Count(), FailsWith(ENODEV));
  EXPECT_THAT(stream_->Stop(Soon()), FailsWith(ENODEV));
}

TEST_F(DmacStreamTest, KnowsAnEntryFromRubbish) {
  ASSERT_OK(StartStream());
  ASSERT_OK(stream_->Stop(Soon()));
  StreamRecord record{.number = 5, .time = 7, .complement = ~std::uint64_t{5 ^ 7}};
  const auto put = [&] {
    std::memcpy(ring().memory.data() + stream_->RingBytes(3), &record, sizeof(record));
    return stream_->ReadSlot(3);
  };
  EXPECT_EQ(put(), (StreamEntry{5, std::chrono::nanoseconds(7)}));
  record.zeros[4] = 1;
  EXPECT_EQ(put(), std::nullopt);
  record.zeros[4] = 0;
  record.time = 8;
  EXPECT_EQ(put(), std::nullopt);
  record.time = 7;
  record.number = 4;
  EXPECT_EQ(put(), std::nullopt);
}

}  // namespace
}  // namespace carryover::dmac
