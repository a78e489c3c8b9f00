// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/conformance/driver_conformance.h"

#include <gmock/gmock.h>

namespace carryover {

std::string CaseName(const testing::TestParamInfo<ConformanceCase>& info) {
  return info.param.name;
}

InTime::~InTime() {
  // A second is for a machine that has other things to do.
  EXPECT_LT(elapsed(), limit_ + std::chrono::seconds(1));
}

DriverConformance::DriverConformance() : device_(GetParam().make_device()), driver_(MakeDriver()) {
  ResizePool(std::max<std::size_t>(traits().max_copy_bytes, 65536) * 4);
}

void DriverConformance::TearDown() {
  EXPECT_TRUE(arena_->Matches());
  EXPECT_THAT(device_->violations(), testing::IsEmpty());
}

void DriverConformance::ResizePool(std::size_t size) {
  if (arena_) {
    ASSERT_OK(pci().iommu().Unmap(Arena::kBase, arena_->end() - Arena::kBase));
  }
  arena_ = std::make_unique<Arena>(traits().region_size, size);
  arena_->MapIn(pci().iommu());
}

std::vector<DmaCopy> DriverConformance::Batch(std::size_t count, std::size_t length) const {
  std::vector<DmaCopy> copies;
  copies.reserve(count);
  const std::size_t room = Above(length);
  for (std::size_t i = 0; i < count; ++i) {
    copies.push_back(InPool(2 * i * room, (2 * i + 1) * room, length));
  }
  return copies;
}

void DriverConformance::Expect(const std::vector<DmaCopy>& copies) {
  for (const DmaCopy& copy : copies) arena_->Expect(copy);
}

void DriverConformance::ExpectWorks() {
  arena_->Refill(2);
  const auto copies = Batch(3, 1001);
  ASSERT_OK(driver_->Copy(copies));
  ASSERT_OK(driver_->Wait(Soon()));
  Expect(copies);
  ASSERT_TRUE(arena_->Matches());
}

void DriverConformance::EnableInterrupts() {
  if (!events_) {
    ASSERT_OK_AND_ASSIGN(const unsigned count, pci().InterruptVectors(traits().interrupt));
    ASSERT_GT(count, traits().vector);
    auto events = EventSet::Create(count);
    ASSERT_OK(events);
    events_ = std::make_unique<EventSet>(std::move(*events));
  }
  ASSERT_OK(pci().EnableInterrupts(traits().interrupt, events_->fds()));
}

std::uint64_t DriverConformance::TakeInterrupts() {
  const auto taken = events_->Take(traits().vector);
  EXPECT_OK(taken);
  return taken.value_or(0);
}

void DriverConformance::ExpectOtherVectorsSilent(unsigned vector) {
  const unsigned first = GetParam().administration_interrupts ? traits().vector : 0;
  for (unsigned other = first; other < events_->fds().size(); ++other) {
    if (other == vector) continue;
    const auto taken = events_->Take(other);
    ASSERT_OK(taken);
    EXPECT_EQ(*taken, 0) << "vector " << other;
  }
}

void DriverConformance::ExpectAllFail(int code) {
  EXPECT_THAT(CopyOne(InPool(0, 4096, 16)), FailsWith(code));
  EXPECT_THAT(driver_->Wait(Soon()), FailsWith(code));
  EXPECT_THAT(driver_->RaiseInterrupt(), FailsWith(code));
  EXPECT_THAT(driver_->Quiesce(Soon()), FailsWith(code));
  EXPECT_THAT(driver_->Resume(Soon()), FailsWith(code));
  EXPECT_THAT(driver_->Save(), FailsWith(code));
}

}  // namespace carryover
