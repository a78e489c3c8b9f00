// SPDX-License-Identifier: GPL-2.0-only
// What only edu does.
#include "drivers/edu/edu.h"

#include <gmock/gmock.h>

#include "drivers/access/result_matchers.h"
#include "drivers/conformance/arena.h"
#include "drivers/conformance/model_device.h"
#include "drivers/edu/model/edu_model.h"

namespace carryover::edu {
namespace {

class Edu : public testing::Test {
 protected:
  Edu() { arena_.MapIn(device_.device().iommu()); }
  void TearDown() override { EXPECT_THAT(device_.violations(), testing::IsEmpty()); }

  [[nodiscard]] static Deadline Soon() { return Deadline::After(std::chrono::seconds(20)); }
  [[nodiscard]] std::unique_ptr<Driver> Make(std::chrono::milliseconds patience) {
    return MakeDriver(device_.device(), patience);
  }
  [[nodiscard]] DmaCopy ACopy() const {
    return {.source = arena_.At(0), .destination = arena_.At(8192), .length = 5000};
  }

  ModelDevice<EduModel> device_;
  std::unique_ptr<Driver> driver_ = Make(kTransferPatience);
  Arena arena_{driver_->traits().region_size, 65536};
};

// In and out, 4 KiB at most each time.
TEST_F(Edu, TakesTwoTransfersAPiece) {
  ASSERT_OK(driver_->Start(arena_.region(), Soon()));
  const DmaCopy copy = ACopy();
  ASSERT_OK(driver_->Copy({&copy, 1}));
  EXPECT_EQ(device_.doorbells(), 1);
  ASSERT_OK(driver_->Wait(Soon()));
  EXPECT_EQ(device_.doorbells(), 4);
}

// A transfer that ends by itself is waited for: a reset would cost the function's interrupts.
TEST_F(Edu, ResetsTheFunctionOnlyIfATransferDoesNotEnd) {
  ASSERT_OK(driver_->Start(arena_.region(), Soon()));
  const DmaCopy copy = ACopy();
  ASSERT_OK(driver_->Copy({&copy, 1}));
  ASSERT_OK(driver_->Quiesce(Soon()));
  EXPECT_EQ(device_.device().resets(), 0U);
  ASSERT_OK(driver_->Resume(Soon()));

  driver_ = Make(std::chrono::milliseconds(5));
  ASSERT_OK(driver_->Start(arena_.region(), Soon()));
  device_.SetHung(true);
  ASSERT_OK(driver_->Copy({&copy, 1}));
  ASSERT_OK(driver_->Quiesce(Soon()));
  EXPECT_EQ(device_.device().resets(), 1U);
  EXPECT_TRUE(device_.device().bus_master());
}

// Something else that has edu's id.
TEST_F(Edu, RefusesADeviceWithAnotherIdentification) {
  class Stranger final : public FakePciDevice, private Mmio {
   public:
    Stranger() : FakePciDevice(kEdu, {}) {}

   private:
    Mmio* BarModel(unsigned) override { return this; }
    void OnReset() override {}
    std::uint8_t Read8(std::size_t) override { return 0; }
    std::uint16_t Read16(std::size_t) override { return 0; }
    std::uint32_t Read32(std::size_t) override { return 0x0100'00ee; }
    std::uint64_t Read64(std::size_t) override { return 0; }
    void Write8(std::size_t, std::uint8_t) override {}
    void Write16(std::size_t, std::uint16_t) override {}
    void Write32(std::size_t, std::uint32_t) override {}
    void Write64(std::size_t, std::uint64_t) override {}
    std::size_t size() const override { return kBarSize; }
  };
  Stranger stranger;
  EXPECT_THAT(MakeDriver(stranger, kTransferPatience)->Start(arena_.region(), Soon()),
              FailsWith(EIO));
}

}  // namespace
}  // namespace carryover::edu
