// SPDX-License-Identifier: GPL-2.0-only
// What only a QuickData channel does.
#include "drivers/ioat/ioat.h"

#include <gmock/gmock.h>

#include "drivers/access/event_wait.h"
#include "drivers/access/result_matchers.h"
#include "drivers/conformance/arena.h"
#include "drivers/conformance/model_device.h"
#include "drivers/ioat/model/ioat_model.h"

namespace carryover::ioat {
namespace {

using testing::HasSubstr;

class Ioat : public testing::Test {
 protected:
  void Plug(const IoatFlavour& flavour) {
    device_ = std::make_unique<ModelDevice<IoatModel>>(flavour);
    arena_.MapIn(device_->device().iommu());
    driver_ = Entry().make(device_->device(), {});
  }
  [[nodiscard]] static Deadline Soon() { return Deadline::After(std::chrono::seconds(20)); }
  [[nodiscard]] Result<void> Start() { return driver_->Start(arena_.region(), Soon()); }
  [[nodiscard]] Result<void> CopyOne(const DmaCopy& copy) {
    if (auto posted = driver_->Copy({&copy, 1}); !posted) return posted;
    return driver_->Wait(Soon());
  }

  std::unique_ptr<ModelDevice<IoatModel>> device_;
  std::unique_ptr<Driver> driver_;
  Arena arena_{
      Entry().make(ModelDevice<IoatModel>(IoatFlavour()).device(), {})->traits().region_size,
      1 << 20};
};

TEST_F(Ioat, NamesTheErrorOfTheChannel) {
  Plug({});
  ASSERT_OK(Start());
  const auto source = CopyOne({.source = 0x10, .destination = arena_.At(0), .length = 8});
  EXPECT_THAT(source, FailsWith(EIO));
  EXPECT_THAT(source.error().message, HasSubstr("(source address)"));
  ASSERT_OK(Start());
  const auto destination = CopyOne({.source = arena_.At(0), .destination = 0x10, .length = 8});
  EXPECT_THAT(destination, FailsWith(EIO));
  EXPECT_THAT(destination.error().message, HasSubstr("(destination address)"));
}

TEST_F(Ioat, StartsNotOnAnOlderVersion) {
  Plug({.version = 0x30});
  EXPECT_THAT(Start(), FailsWith(ENOTSUP));
  Plug({.capacity_log = 11});
  EXPECT_THAT(Start(), FailsWith(ENOTSUP));
}

// The count of descriptors has 16 bits.
TEST_F(Ioat, CountsAroundSixteenBits) {
  Plug({.capacity_log = 12});
  ASSERT_OK(Start());
  for (int i = 0; i < 1100; ++i) {
    const DmaCopy copy{arena_.At(i % 2 == 0 ? 0 : 524288), arena_.At(i % 2 == 0 ? 524288 : 0),
                       262144};
    ASSERT_OK(CopyOne(copy));
    arena_.Expect(copy);
  }
  EXPECT_TRUE(arena_.Matches());
  ASSERT_OK(driver_->Save());
  driver_ = Entry().make(device_->device(), {});
  ASSERT_OK(driver_->Attach(arena_.region()));
  EXPECT_THAT(device_->violations(), testing::IsEmpty());
}

TEST(IoatProbe, TakesTheXeonsEnginesAndNoOthers) {
  const auto takes = [](std::uint16_t device) {
    return Entry().probe({.id = {.vendor = 0x8086, .device = device}, .class_code = 0x088000});
  };
  for (const int device :
       {0x2021, 0x3c20, 0x3c27, 0x0e20, 0x0e27, 0x2f20, 0x2f27, 0x6f20, 0x6f27}) {
    EXPECT_TRUE(takes(static_cast<std::uint16_t>(device))) << std::hex << device;
  }
  for (const int device : {0x2020, 0x2022, 0x3c28, 0x0e1f, 0x2f28, 0x6f1f, 0x0c50, 0x0c53}) {
    EXPECT_FALSE(takes(static_cast<std::uint16_t>(device))) << std::hex << device;
  }
}

}  // namespace
}  // namespace carryover::ioat
