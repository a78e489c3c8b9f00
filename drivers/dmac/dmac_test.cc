// SPDX-License-Identifier: GPL-2.0-only
// What the driver says of a device that misbehaves.
#include "drivers/dmac/dmac_bench.h"

namespace carryover::dmac {
namespace {

using testing::HasSubstr;

class Dmac : public DmacBench {};

TEST_F(Dmac, TellsAWrongIdentity) {
  SetFaults(Faults::kWrongIdentity);
  const auto started = driver_->Start(arena_.region(), Soon());
  EXPECT_THAT(started, FailsWith(EIO));
  EXPECT_THAT(started.error().message, HasSubstr("ID is"));
}

TEST_F(Dmac, TellsADeviceThatIsGone) {
  Start();
  SetFaults(Faults::kAllOnes);
  EXPECT_THAT(CopySome(), FailsWith(ENODEV));
}

TEST_F(Dmac, TellsARingThatDoesNotStop) {
  Start();
  SetFaults(Faults::kStuckBusy);
  EXPECT_THAT(driver_->Quiesce(Almost()), FailsWith(ETIMEDOUT));
}

TEST_F(Dmac, TellsADeviceThatHangs) {
  Start();
  SetFaults(Faults::kHung);
  EXPECT_THAT(CopySome(), FailsWith(ETIMEDOUT));
  SetFaults(0);
  Start();
  EXPECT_OK(CopySome());
}

TEST_F(Dmac, NamesTheErrorOfTheRing) {
  Start();
  const DmaCopy copy{.source = arena_.end(), .destination = arena_.At(0), .length = 1};
  ASSERT_OK(driver_->Copy({&copy, 1}));
  const auto waited = driver_->Wait(Soon());
  EXPECT_THAT(waited, FailsWith(EIO));
  EXPECT_THAT(waited.error().message, HasSubstr("source was refused"));
}

// A head that no posted descriptor accounts for.
TEST_F(Dmac, TellsAWriteBackThatCannotBe) {
  Start();
  SetFaults(Faults::kHung);
  const DmaCopy copy{.source = arena_.At(0), .destination = arena_.At(4096), .length = 1};
  ASSERT_OK(driver_->Copy({&copy, 1}));
  const Iova write_back = bar().Read64(WriteBack::kOffset);
  const WrittenBack forged{.head = 7, .error = 0};
  ASSERT_TRUE(
      device_.device().iommu().DeviceWrite(write_back, std::as_bytes(std::span(&forged, 1))));
  EXPECT_THAT(driver_->Wait(Almost()), FailsWith(EIO));
}

}  // namespace
}  // namespace carryover::dmac
