// SPDX-License-Identifier: GPL-2.0-only
// What only an NVMe controller does: other blocks, PRPs, and what the driver refuses.
#include "drivers/nvme/nvme.h"

#include <gmock/gmock.h>

#include "drivers/access/result_matchers.h"
#include "drivers/conformance/arena.h"
#include "drivers/conformance/model_device.h"
#include "drivers/nvme/model/nvme_model.h"

namespace carryover::nvme {
namespace {

using testing::HasSubstr;

class Nvme : public testing::Test {
 protected:
  void Plug(const NvmeFlavour& flavour, std::optional<BlockRange> scratch = kScratch) {
    device_ = std::make_unique<ModelDevice<NvmeModel>>(flavour);
    arena_.MapIn(device_->device().iommu());
    driver_ = Entry().make(device_->device(), {.scratch = scratch});
  }
  [[nodiscard]] static Deadline Soon() { return Deadline::After(std::chrono::seconds(20)); }
  [[nodiscard]] Result<void> Start() { return driver_->Start(arena_.region(), Soon()); }
  [[nodiscard]] Result<void> CopyOne(const DmaCopy& copy) {
    if (auto posted = driver_->Copy({&copy, 1}); !posted) return posted;
    return driver_->Wait(Soon());
  }
  [[nodiscard]] DmaCopy InPool(std::size_t source, std::size_t destination,
                               std::size_t length) const {
    return {.source = arena_.At(source), .destination = arena_.At(destination), .length = length};
  }

  static constexpr BlockRange kScratch{.first = 1000, .count = 8192};
  std::unique_ptr<ModelDevice<NvmeModel>> device_;
  std::unique_ptr<Driver> driver_;
  Arena arena_{
      Entry().make(ModelDevice<NvmeModel>(NvmeFlavour()).device(), {})->traits().region_size,
      1 << 20};
};

TEST_F(Nvme, TouchesNoBlockButTheScratchBlocks) {
  Plug({});
  ASSERT_OK(Start());
  for (std::size_t i = 0; i < 8; ++i) {
    const DmaCopy copy = InPool(i, 600'000 + i * 40'000, 33'333);
    ASSERT_OK(CopyOne(copy));
    arena_.Expect(copy);
  }
  ASSERT_OK(driver_->RaiseInterrupt());
  EXPECT_TRUE(arena_.Matches());
  const auto& touched = device_->model().touched();
  ASSERT_FALSE(touched.empty());
  EXPECT_GE(*touched.begin(), kScratch.first);
  EXPECT_LT(*touched.rbegin(), kScratch.first + kScratch.count);
  EXPECT_THAT(device_->violations(), testing::IsEmpty());
}

TEST_F(Nvme, StartsNotWithoutScratchBlocks) {
  Plug({}, std::nullopt);
  const auto started = Start();
  EXPECT_THAT(started, FailsWith(EINVAL));
  EXPECT_THAT(started.error().message, HasSubstr("scratch=FIRST+COUNT"));
}

TEST_F(Nvme, StartsNotWithScratchBlocksThatAreNot) {
  Plug({}, BlockRange{.first = NvmeModel::kBlocks - 8191, .count = 8192});
  EXPECT_THAT(Start(), FailsWith(EINVAL));
  Plug({}, BlockRange{.first = 0, .count = 8191});
  EXPECT_THAT(Start(), FailsWith(EINVAL));
}

TEST_F(Nvme, StartsNotOnWhatItCannotUse) {
  Plug({.vectors = 1});
  EXPECT_THAT(Start(), FailsWith(ENOTSUP));
  Plug({.metadata = 8});
  EXPECT_THAT(Start(), FailsWith(ENOTSUP));
  Plug({.block_shift = 13});
  EXPECT_THAT(Start(), FailsWith(ENOTSUP));
  Plug({.max_entries = 16});
  EXPECT_THAT(Start(), FailsWith(ENOTSUP));
}

TEST_F(Nvme, TellsAControllerThatHasFailed) {
  Plug({});
  ASSERT_OK(Start());
  device_->model().Fail();
  const DmaCopy copy = InPool(0, 65536, 100);
  ASSERT_OK(driver_->Copy({&copy, 1}));
  const auto waited = driver_->Wait(Soon());
  EXPECT_THAT(waited, FailsWith(EIO));
  EXPECT_THAT(waited.error().message, HasSubstr("CSTS.CFS"));
  EXPECT_OK(Start());
  EXPECT_OK(CopyOne(copy));
}

TEST_F(Nvme, NamesTheStatusOfACommand) {
  Plug({});
  ASSERT_OK(Start());
  const auto copied = CopyOne({.source = 0x10, .destination = arena_.At(0), .length = 8});
  EXPECT_THAT(copied, FailsWith(EIO));
  EXPECT_THAT(copied.error().message, HasSubstr("status code type 0, code 0x04"));
}

// Without SGLs of any alignment a copy is of whole blocks.
class NvmePrp : public Nvme, public testing::WithParamInterface<unsigned> {};

TEST_P(NvmePrp, CopiesWholeBlocks) {
  const std::size_t block = std::size_t{1} << GetParam();
  Plug({.sgl = false, .block_shift = GetParam()});
  EXPECT_EQ(driver_->traits().alignment, 1);
  ASSERT_OK(Start());
  EXPECT_EQ(driver_->traits().alignment, block);
  const std::size_t half = arena_.pool().size() / 2;
  // The pool begins a page, so that offsets are aligned as IOVAs are.
  for (const std::size_t blocks : {1, 2, 7, 8, 9, 16, 31, 32, 33, 40, 64}) {
    for (const std::size_t shift : {0, 1, 3, 7}) {
      const DmaCopy copy = InPool(shift * block, half + (7 - shift) * block, blocks * block);
      if (copy.length > driver_->traits().max_copy_bytes) continue;
      ASSERT_OK(CopyOne(copy)) << blocks << " blocks, from " << shift;
      arena_.Expect(copy);
      ASSERT_TRUE(arena_.Matches()) << blocks << " blocks, from " << shift;
    }
  }
  EXPECT_THAT(device_->violations(), testing::IsEmpty());
}

TEST_P(NvmePrp, RefusesParts) {
  const std::size_t block = std::size_t{1} << GetParam();
  Plug({.sgl = false, .block_shift = GetParam()});
  ASSERT_OK(Start());
  for (const DmaCopy& copy : {InPool(0, 65536, block - 1), InPool(4, 65536, block),
                              InPool(0, 65536 + block / 2, block), InPool(0, 65536, 1)}) {
    EXPECT_THAT(driver_->Copy({&copy, 1}), FailsWith(EINVAL));
  }
}

INSTANTIATE_TEST_SUITE_P(Blocks, NvmePrp, testing::Values(9U, 12U));

}  // namespace
}  // namespace carryover::nvme
