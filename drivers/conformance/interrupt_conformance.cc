// SPDX-License-Identifier: GPL-2.0-only
// RaiseInterrupt(), and that nothing else interrupts.
#include "drivers/conformance/driver_conformance.h"

namespace carryover {
namespace {

TEST_P(DriverConformance, RaisesItsVectorOnce) {
  EnableInterrupts();
  Start();
  EXPECT_EQ(TakeInterrupts(), 0) << "Start() raised it";
  ASSERT_OK(driver_->RaiseInterrupt());
  ASSERT_OK(events_->Wait(traits().vector, Soon()));
  EXPECT_EQ(TakeInterrupts(), 0) << "more than once";
  ExpectOtherVectorsSilent(traits().vector);
}

TEST_P(DriverConformance, RaisesAnInterruptAsOftenAsAsked) {
  EnableInterrupts();
  Start();
  for (int i = 0; i < 100; ++i) {
    ASSERT_OK(driver_->RaiseInterrupt());
    ASSERT_OK_AND_ASSIGN(const std::uint64_t count, events_->Wait(traits().vector, Soon()));
    ASSERT_EQ(count, 1) << "time " << i;
  }
}

TEST_P(DriverConformance, RaisesEveryVector) {
  EnableInterrupts();
  Start();
  const auto count = static_cast<unsigned>(events_->fds().size());
  for (unsigned vector = traits().vector; vector < count; ++vector) {
    ASSERT_OK(driver_->RaiseInterrupt(vector));
    ASSERT_OK_AND_ASSIGN(const std::uint64_t times, events_->Wait(vector, Soon()));
    EXPECT_EQ(times, 1) << "vector " << vector;
    ExpectOtherVectorsSilent(vector);
  }
  ASSERT_OK(driver_->RaiseInterrupt());
  EXPECT_EQ(TakeInterrupts(), 1);
  ExpectWorks();
}

TEST_P(DriverConformance, RefusesAVectorThatItDoesNotHave) {
  EnableInterrupts();
  Start();
  EXPECT_THAT(driver_->RaiseInterrupt(static_cast<unsigned>(events_->fds().size())),
              FailsWith(EINVAL));
  if (traits().vector > 0) {
    EXPECT_THAT(driver_->RaiseInterrupt(traits().vector - 1), FailsWith(EINVAL));
  }
  ASSERT_OK(driver_->RaiseInterrupt());
  EXPECT_EQ(TakeInterrupts(), 1);
  ExpectWorks();
}

TEST_P(DriverConformance, AnotherVectorLosesNoCopies) {
  EnableInterrupts();
  Start();
  const auto copies = Batch(3, 1001);
  ASSERT_OK(driver_->Copy(copies));
  const auto last = static_cast<unsigned>(events_->fds().size() - 1);
  ASSERT_OK(driver_->RaiseInterrupt(last));
  ASSERT_OK(driver_->Wait(Soon()));
  Expect(copies);
  ASSERT_OK(events_->Wait(last, Soon()));
}

TEST_P(DriverConformance, AttachKnowsTheLastVector) {
  EnableInterrupts();
  Start();
  const auto last = static_cast<unsigned>(events_->fds().size() - 1);
  ASSERT_OK(driver_->RaiseInterrupt(last));
  ASSERT_OK(events_->Wait(last, Soon()));
  ASSERT_OK(driver_->Save());
  driver_ = MakeDriver();
  ASSERT_OK(driver_->Attach(arena_->region()));
  for (const unsigned vector : {traits().vector, last}) {
    ASSERT_OK(driver_->RaiseInterrupt(vector));
    ASSERT_OK_AND_ASSIGN(const std::uint64_t times, events_->Wait(vector, Soon()));
    EXPECT_EQ(times, 1) << "vector " << vector;
  }
  ExpectWorks();
}

TEST_P(DriverConformance, MaskedVectorIsDeliveredLater) {
  Start();
  if (traits().interrupt != InterruptKind::kMsix) {
    GTEST_SKIP() << "vectors of MSI-X can be masked, and this device has none";
  }
  EnableInterrupts();
  ASSERT_OK(pci().MaskMsix(traits().vector));
  ASSERT_OK(driver_->RaiseInterrupt());
  EXPECT_THAT(events_->Wait(traits().vector, Almost()), FailsWith(ETIMEDOUT));
  ASSERT_OK(pci().UnmaskMsix(traits().vector, events_->fds()[traits().vector]));
  ASSERT_OK_AND_ASSIGN(const std::uint64_t count, events_->Wait(traits().vector, Soon()));
  EXPECT_EQ(count, 1);
}

TEST_P(DriverConformance, RaisesInterruptsThatWereEnabledAfterStart) {
  Start();
  EnableInterrupts();
  EXPECT_EQ(TakeInterrupts(), 0);
  ASSERT_OK(driver_->RaiseInterrupt());
  ASSERT_OK_AND_ASSIGN(const std::uint64_t count, events_->Wait(traits().vector, Soon()));
  EXPECT_EQ(count, 1);
}

TEST_P(DriverConformance, CopiesRaiseNoInterrupt) {
  EnableInterrupts();
  Start();
  ExpectWorks();
  ASSERT_OK(driver_->Quiesce(Soon()));
  ASSERT_OK(driver_->Save());
  ASSERT_OK(driver_->Resume(Soon()));
  ExpectWorks();
  ASSERT_OK(driver_->Stop(Soon()));
  EXPECT_EQ(TakeInterrupts(), 0);
  ExpectOtherVectorsSilent(traits().vector);
}

TEST_P(DriverConformance, RaisesAnInterruptWhileCopiesArePosted) {
  EnableInterrupts();
  Start();
  device_->SetHung(true);
  const auto copies = Batch(2, 100);
  ASSERT_OK(driver_->Copy(copies));
  ASSERT_OK(driver_->RaiseInterrupt());
  if (!GetParam().interrupts_overtake_copies) device_->SetHung(false);
  ASSERT_OK_AND_ASSIGN(const std::uint64_t count, events_->Wait(traits().vector, Soon()));
  EXPECT_EQ(count, 1);
  device_->SetHung(false);
  ASSERT_OK(driver_->Wait(Soon()));
  Expect(copies);
  EXPECT_EQ(TakeInterrupts(), 0);
}

TEST_P(DriverConformance, RaisesInterruptsAgainAfterResumeAndRestart) {
  EnableInterrupts();
  Start();
  ASSERT_OK(driver_->Quiesce(Soon()));
  ASSERT_OK(driver_->Resume(Soon()));
  EXPECT_EQ(TakeInterrupts(), 0);
  ASSERT_OK(driver_->RaiseInterrupt());
  EXPECT_EQ(TakeInterrupts(), 1);
  ASSERT_OK(driver_->Stop(Soon()));
  EnableInterrupts();
  Start();
  EXPECT_EQ(TakeInterrupts(), 0);
  ASSERT_OK(driver_->RaiseInterrupt());
  EXPECT_EQ(TakeInterrupts(), 1);
}

}  // namespace
}  // namespace carryover
