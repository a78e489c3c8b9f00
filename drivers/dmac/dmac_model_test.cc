// SPDX-License-Identifier: GPL-2.0-only
// docs/dmac.md: stream, faults, and what the device refuses.
#include <cstring>

#include "drivers/dmac/dmac_bench.h"

namespace carryover::dmac {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class DmacModelTest : public DmacBench {
 protected:
  void StartStream(std::uint32_t period_us, std::uint32_t size = 1024) {
    ASSERT_OK(device_.device().SetBusMaster(true));
    bar().Write64(StreamBase::kOffset, arena_.At(0));
    bar().Write32(StreamSize::kOffset, size);
    bar().Write32(StreamPeriod::kOffset, period_us);
    bar().Write32(StreamControl::kOffset, StreamControl::kEnable);
  }
  [[nodiscard]] StreamRecord Record(std::size_t slot) const {
    StreamRecord record;
    std::memcpy(&record, arena_.pool().data() + slot * sizeof(record), sizeof(record));
    return record;
  }
  [[nodiscard]] std::uint64_t Streamed() { return bar().Read64(StreamCount::kOffset); }
  void EnableInterrupts() {
    auto events = EventSet::Create(kVectors);
    ASSERT_OK(events);
    events_ = std::make_unique<EventSet>(std::move(*events));
    ASSERT_OK(device_.device().EnableInterrupts(InterruptKind::kMsix, events_->fds()));
    ASSERT_OK(device_.device().SetBusMaster(true));
  }

  std::unique_ptr<EventSet> events_;
};

TEST_F(DmacModelTest, StreamsNumberedRecordsIntoARing) {
  StartStream(500);
  WorkUntil(milliseconds(40));
  bar().Write32(StreamControl::kOffset, 0);
  const std::uint64_t count = Streamed();
  EXPECT_GE(count, 20);
  EXPECT_LE(count, 200);
  std::uint64_t time = 0;
  for (std::uint64_t number = count - 16; number < count; ++number) {
    const StreamRecord record = Record(number % 16);
    EXPECT_EQ(record.number, number);
    EXPECT_EQ(record.complement, ~(number ^ record.time));
    EXPECT_GE(record.time, time);
    time = record.time;
  }
  EXPECT_THAT(device_.violations(), IsEmpty());
}

TEST_F(DmacModelTest, TheStreamSaysWhenItIsDue) {
  EXPECT_FALSE(device_.model().NextDue());
  StartStream(1'000'000);
  ASSERT_TRUE(device_.model().NextDue());
  EXPECT_GT(*device_.model().NextDue(), std::chrono::steady_clock::now() + milliseconds(500));
  EXPECT_EQ(Streamed(), 1);
}

TEST_F(DmacModelTest, ARefusedRecordIsCountedAndNotRepeated) {
  StartStream(500);
  ASSERT_OK(device_.device().SetBusMaster(false));
  const std::uint64_t before = Streamed();
  const auto pool = std::vector<std::byte>(arena_.pool().begin(), arena_.pool().end());
  WorkUntil(milliseconds(5));
  EXPECT_GT(Streamed(), before);
  EXPECT_TRUE(std::ranges::equal(pool, arena_.pool()));
}

TEST_F(DmacModelTest, AResetEndsTheStreamUnlessItIsAskedNotTo) {
  StartStream(500);
  SetFaults(Faults::kResetKeepsStream);
  bar().Write32(Control::kOffset, Control::kReset);
  const std::uint64_t before = Streamed();
  WorkUntil(milliseconds(5));
  EXPECT_GT(Streamed(), before);
  SetFaults(0);
  bar().Write32(Control::kOffset, Control::kReset);
  EXPECT_EQ(Streamed(), 0);
  WorkUntil(milliseconds(5));
  EXPECT_EQ(Streamed(), 0);
}

TEST_F(DmacModelTest, RogueWritesGoOnAfterQuiesceAndReset) {
  Start();
  bar().Write64(FaultAddress::kOffset, arena_.At(800));
  SetFaults(Faults::kRogue);
  ASSERT_OK(driver_->Quiesce(Soon()));
  std::uint64_t before = bar().Read64(FaultCount::kOffset);
  WorkUntil(milliseconds(5));
  EXPECT_GT(bar().Read64(FaultCount::kOffset), before);
  bar().Write32(Control::kOffset, Control::kReset);
  before = bar().Read64(FaultCount::kOffset);
  WorkUntil(milliseconds(5));
  EXPECT_GT(bar().Read64(FaultCount::kOffset), before);
  std::uint64_t written = 0;
  std::memcpy(&written, arena_.pool().data() + 800, sizeof(written));
  EXPECT_GE(written, before);
}

TEST_F(DmacModelTest, LosesInterrupts) {
  EnableInterrupts();
  SetFaults(Faults::kLostInterrupt);
  bar().Write32(Raise::kOffset, 3);
  WorkUntil(milliseconds(60));
  EXPECT_EQ(events_->Take(3), 0U);
  SetFaults(0);
  bar().Write32(Raise::kOffset, 3);
  EXPECT_EQ(events_->Take(3), 1U);
}

TEST_F(DmacModelTest, DelaysInterrupts) {
  EnableInterrupts();
  SetFaults(Faults::kLateInterrupt);
  bar().Write32(Raise::kOffset, 7);
  EXPECT_EQ(events_->Take(7), 0U);
  WorkUntil(milliseconds(60));
  EXPECT_EQ(events_->Take(7), 1U);
}

TEST_F(DmacModelTest, RaisesTheVectorOfADescriptor) {
  EnableInterrupts();
  Start();
  ASSERT_OK(driver_->Quiesce(Soon()));
  // By hand: the driver asks for no interrupts.
  const Descriptor descriptor{.source = arena_.At(0),
                              .destination = arena_.At(64),
                              .length = 8,
                              .flags = Descriptor::kInterrupt | 5U << Descriptor::kVectorShift};
  ASSERT_TRUE(device_.device().iommu().DeviceWrite(bar().Read64(RingBase::kOffset),
                                                   std::as_bytes(std::span(&descriptor, 1))));
  bar().Write32(Control::kOffset, Control::kEnable);
  bar().Write32(Tail::kOffset, 1);
  WorkUntil(milliseconds(1));
  EXPECT_EQ(events_->Take(5), 1U);
  EXPECT_EQ(bar().Read32(Head::kOffset), 1U);
}

// What the specification forbids is refused, and told.
struct Forbidden {
  std::size_t offset;
  std::size_t size;
  std::uint64_t value;
  bool enabled;  // while ring and stream are
  const char* says;
};

class DmacForbidden : public DmacModelTest, public testing::WithParamInterface<Forbidden> {};

TEST_P(DmacForbidden, IsRefused) {
  const Forbidden& forbidden = GetParam();
  if (forbidden.enabled) {
    StartStream(1'000'000);
    Start();
    // The reset of Start() ended it.
    StartStream(1'000'000);
  }
  ASSERT_THAT(device_.violations(), IsEmpty());
  const auto write = [&] {
    if (forbidden.size == 8) return bar().Write64(forbidden.offset, forbidden.value);
    if (forbidden.size == 2) {
      return bar().Write16(forbidden.offset, static_cast<std::uint16_t>(forbidden.value));
    }
    bar().Write32(forbidden.offset, static_cast<std::uint32_t>(forbidden.value));
  };
  write();
  EXPECT_THAT(device_.violations(), ElementsAre(HasSubstr(forbidden.says)));
}

INSTANTIATE_TEST_SUITE_P(
    Writes, DmacForbidden,
    testing::Values(Forbidden{RingBase::kOffset, 8, 32, false, "RING_BASE is not aligned"},
                    Forbidden{RingBase::kOffset, 8, 64, true, "RING_BASE written while"},
                    Forbidden{RingBase::kOffset, 4, 64, false, "write of 4 bytes at 0x10"},
                    Forbidden{RingSize::kOffset, 4, 3, false, "RING_SIZE 3"},
                    Forbidden{RingSize::kOffset, 4, 1, false, "RING_SIZE 1"},
                    Forbidden{RingSize::kOffset, 4, 131072, false, "RING_SIZE 131072"},
                    Forbidden{RingSize::kOffset, 4, 16, true, "RING_SIZE written while"},
                    Forbidden{Tail::kOffset, 4, 1, false, "TAIL written while"},
                    Forbidden{Tail::kOffset, 4, 1024, true, "TAIL 1024"},
                    Forbidden{WriteBack::kOffset, 8, 4, false, "WRITE_BACK is not aligned"},
                    Forbidden{WriteBack::kOffset, 8, 8, true, "WRITE_BACK written while"},
                    Forbidden{Control::kOffset, 4, 3, false, "CONTROL 0x3"},
                    Forbidden{Control::kOffset, 4, 4, false, "CONTROL 0x4"},
                    Forbidden{Control::kOffset, 4, 1, false, "without a size"},
                    Forbidden{Control::kOffset, 2, 1, false, "write of 2 bytes"},
                    Forbidden{Raise::kOffset, 4, 8, false, "RAISE 8"},
                    Forbidden{StreamBase::kOffset, 8, 8, false, "STREAM_BASE is not aligned"},
                    Forbidden{StreamBase::kOffset, 8, 64, true, "STREAM_BASE written while"},
                    Forbidden{StreamSize::kOffset, 4, 0, false, "STREAM_SIZE 0"},
                    Forbidden{StreamSize::kOffset, 4, 65, false, "STREAM_SIZE 65"},
                    Forbidden{StreamPeriod::kOffset, 4, 0, false, "STREAM_PERIOD 0"},
                    Forbidden{StreamControl::kOffset, 4, 2, false, "STREAM_CONTROL 0x2"},
                    Forbidden{StreamControl::kOffset, 4, 1, false, "without a size or a period"},
                    Forbidden{Id::kOffset, 4, 1, false, "where nothing can be written"},
                    Forbidden{0x100, 4, 1, false, "where nothing can be written"}));

TEST_F(DmacModelTest, RefusesReadsThatAreForbidden) {
  (void)bar().Read16(Id::kOffset);
  (void)bar().Read32(RingBase::kOffset);
  (void)bar().Read32(Raise::kOffset);
  EXPECT_THAT(device_.violations(), SizeIs(3));
}

TEST_F(DmacModelTest, AMalformedDescriptorStopsTheRing) {
  Start();
  ASSERT_OK(driver_->Quiesce(Soon()));
  const Descriptor none{.source = arena_.At(0), .destination = arena_.At(64), .length = 0};
  ASSERT_TRUE(device_.device().iommu().DeviceWrite(bar().Read64(RingBase::kOffset),
                                                   std::as_bytes(std::span(&none, 1))));
  bar().Write32(Control::kOffset, Control::kEnable);
  bar().Write32(Tail::kOffset, 1);
  EXPECT_EQ(bar().Read32(ErrorCode::kOffset), ErrorCode::kMalformed);
  EXPECT_EQ(bar().Read32(Head::kOffset), 0U);
  EXPECT_EQ(bar().Read32(Control::kOffset), 0U);
  EXPECT_TRUE(arena_.Matches());
}

}  // namespace
}  // namespace carryover::dmac
