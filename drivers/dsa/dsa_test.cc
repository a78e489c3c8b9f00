// SPDX-License-Identifier: GPL-2.0-only
// What only a Data Streaming Accelerator does.
#include "drivers/dsa/dsa.h"

#include <gmock/gmock.h>

#include <thread>

#include "drivers/access/result_matchers.h"
#include "drivers/conformance/arena.h"
#include "drivers/conformance/model_device.h"
#include "drivers/dsa/model/dsa_model.h"

namespace carryover::dsa {
namespace {

using testing::HasSubstr;

class Dsa : public testing::Test {
 protected:
  void Plug(const DsaFlavour& flavour) {
    device_ = std::make_unique<ModelDevice<DsaModel>>(flavour);
    arena_.MapIn(device_->device().iommu());
    driver_ = Entry().make(device_->device(), {});
  }
  [[nodiscard]] static Deadline Soon() { return Deadline::After(std::chrono::seconds(20)); }
  [[nodiscard]] Result<void> Start() { return driver_->Start(arena_.region(), Soon()); }
  [[nodiscard]] Result<void> CopyAll(const std::vector<DmaCopy>& copies) {
    if (auto posted = driver_->Copy(copies); !posted) return posted;
    return driver_->Wait(Soon());
  }

  std::unique_ptr<ModelDevice<DsaModel>> device_;
  std::unique_ptr<Driver> driver_;
  Arena arena_{Entry().make(ModelDevice<DsaModel>(DsaFlavour()).device(), {})->traits().region_size,
               1 << 20};
};

// A batch has 64 copies at most; what is left of one is a descriptor by itself.
TEST_F(Dsa, SubmitsABatchOfAnySize) {
  Plug({});
  ASSERT_OK(Start());
  for (const std::size_t count : {1U, 2U, 63U, 64U, 65U, 66U, 128U, 129U, 500U}) {
    arena_.Refill(count);
    std::vector<DmaCopy> copies;
    for (std::size_t i = 0; i < count; ++i) {
      copies.push_back({arena_.At(i * 1000), arena_.At(524288 + i * 1000), 999});
    }
    const std::size_t before = device_->doorbells();
    ASSERT_OK(CopyAll(copies)) << count;
    EXPECT_EQ(device_->doorbells() - before, (count + 63) / 64) << count;
    for (const DmaCopy& copy : copies) arena_.Expect(copy);
    ASSERT_TRUE(arena_.Matches()) << count;
  }
  EXPECT_THAT(device_->violations(), testing::IsEmpty());
}

TEST_F(Dsa, NamesTheErrorAndItsAddress) {
  Plug({});
  ASSERT_OK(Start());
  const DmaCopy bad{.source = 0x12340, .destination = arena_.At(0), .length = 8};
  const DmaCopy good{.source = arena_.At(0), .destination = arena_.At(4096), .length = 8};
  const auto single = CopyAll({bad});
  EXPECT_THAT(single, FailsWith(EIO));
  EXPECT_THAT(single.error().message, HasSubstr("(page fault), fault address 0x12340"));
  ASSERT_OK(Start());
  const auto batch = CopyAll({good, bad, good});
  EXPECT_THAT(batch, FailsWith(EIO));
  EXPECT_THAT(batch.error().message, HasSubstr("(page fault), fault address 0x12340"));
}

TEST_F(Dsa, TellsASoftwareError) {
  Plug({});
  DmaRegion region = arena_.region();
  region.iova = 0x4000'0000;  // nothing is mapped there
  ASSERT_OK(driver_->Start(region, Soon()));
  const auto copied = CopyAll({{arena_.At(0), arena_.At(4096), 8}});
  EXPECT_THAT(copied, FailsWith(EIO));
  EXPECT_THAT(copied.error().message, HasSubstr("software error"));
  EXPECT_OK(Start());
}

TEST_F(Dsa, StartsNotOnADeviceThatIsTooSmall) {
  Plug({.batch_shift = 5});
  EXPECT_THAT(Start(), FailsWith(ENOTSUP));
  Plug({.transfer_shift = 17});
  EXPECT_THAT(Start(), FailsWith(ENOTSUP));
  Plug({.total_size = 47});
  EXPECT_THAT(Start(), FailsWith(ENOTSUP));
}

// A batch is a unit: its moves are done at once, and the next batch waits for as long as they take.
TEST_F(Dsa, ModelIsNoFasterThanItsBandwidth) {
  Plug({});
  ASSERT_OK(Start());
  device_->model().SetBandwidth(4'000);
  const std::vector<DmaCopy> batch{{arena_.At(0), arena_.At(8192), 800},
                                   {arena_.At(1000), arena_.At(9192), 800}};
  const auto begin = DeviceModel::Clock::now();
  ASSERT_OK(driver_->Copy(batch));
  EXPECT_EQ(device_->model().NextDue(), std::nullopt);
  ASSERT_OK(driver_->Copy(batch));
  const auto due = device_->model().NextDue();
  ASSERT_TRUE(due.has_value());
  EXPECT_GE(*due - begin, std::chrono::milliseconds(400));
  EXPECT_THAT(driver_->Poll(), testing::Optional(1));
  std::this_thread::sleep_until(*due);
  device_->model().Work();
  EXPECT_THAT(driver_->Poll(), testing::Optional(0));
}

TEST_F(Dsa, GoesNotOnWithSubmissionsThatCannotBe) {
  Plug({});
  ASSERT_OK(Start());
  device_->SetHung(true);
  ASSERT_OK(driver_->Copy(std::vector<DmaCopy>{{arena_.At(0), arena_.At(8192), 800}}));
  ASSERT_OK(driver_->Save());
  // The number of copies is behind 64 descriptors, 64 records and the batch's own.
  std::byte& copies = arena_.region().memory[4096 + 64 * 64 + 65 * 32];
  ASSERT_EQ(copies, std::byte{1});
  for (const std::byte bad : {std::byte{0}, std::byte{65}}) {
    copies = bad;
    auto other = Entry().make(device_->device(), {});
    EXPECT_THAT(other->Attach(arena_.region()), FailsWith(EINVAL));
  }
}

// The model: what is forbidden is refused.
TEST_F(Dsa, ModelRefusesADescriptorWithoutAQueue) {
  Plug({});
  Mmio& portals = **device_->device().Bar(2);
  const Descriptor descriptor;
  portals.Write512(0, std::as_bytes(std::span(&descriptor, 1)).first<64>());
  EXPECT_THAT(device_->violations(), testing::ElementsAre(HasSubstr("not enabled")));
  Mmio& registers = **device_->device().Bar(0);
  EXPECT_NE(registers.Read64(SwErr::kOffset) & SwErr::kValid, 0U);
}

}  // namespace
}  // namespace carryover::dsa
