// SPDX-License-Identifier: GPL-2.0-only
// What only a virtio device does: other sectors, what the driver refuses, and broken capabilities.
#include "drivers/virtio/virtio.h"

#include <gmock/gmock.h>
#include <linux/pci_regs.h>

#include "drivers/access/result_matchers.h"
#include "drivers/conformance/arena.h"
#include "drivers/conformance/model_device.h"
#include "drivers/virtio/model/virtio_model.h"

namespace carryover::virtio {
namespace {

using testing::HasSubstr;

class Virtio : public testing::Test {
 protected:
  void Plug(const VirtioFlavour& flavour, std::optional<BlockRange> scratch = kScratch) {
    device_ = std::make_unique<ModelDevice<VirtioModel>>(flavour);
    arena_.MapIn(device_->device().iommu());
    driver_ = Entry().make(device_->device(), {.scratch = scratch});
  }
  [[nodiscard]] static Deadline Soon() { return Deadline::After(std::chrono::seconds(20)); }
  [[nodiscard]] Result<void> Start() { return driver_->Start(arena_.region(), Soon()); }
  [[nodiscard]] Result<void> CopyOne(const DmaCopy& copy) {
    if (auto posted = driver_->Copy({&copy, 1}); !posted) return posted;
    return driver_->Wait(Soon());
  }
  static VirtioFlavour Without(std::uint64_t feature) {
    VirtioFlavour flavour;
    flavour.features &= ~feature;
    return flavour;
  }

  static constexpr BlockRange kScratch{.first = 1000, .count = 8192};
  std::unique_ptr<ModelDevice<VirtioModel>> device_;
  std::unique_ptr<Driver> driver_;
  Arena arena_{
      Entry().make(ModelDevice<VirtioModel>(VirtioFlavour()).device(), {})->traits().region_size,
      1 << 20};
};

TEST_F(Virtio, TouchesNoSectorButTheScratchBlocks) {
  for (const std::uint32_t block_size : {512U, 4096U}) {
    Plug({.block_size = block_size});
    ASSERT_OK(Start());
    for (std::size_t i = 0; i < 8; ++i) {
      const DmaCopy copy{arena_.At(i), arena_.At(600'000 + i * 40'000), 33'333};
      ASSERT_OK(CopyOne(copy));
      arena_.Expect(copy);
    }
    ASSERT_OK(driver_->RaiseInterrupt());
    EXPECT_TRUE(arena_.Matches());
    const auto& touched = device_->model().touched();
    ASSERT_FALSE(touched.empty());
    const std::uint64_t sectors = block_size / 512;
    EXPECT_GE(*touched.begin(), kScratch.first * sectors);
    EXPECT_LT(*touched.rbegin(), (kScratch.first + kScratch.count) * sectors);
    EXPECT_THAT(device_->violations(), testing::IsEmpty());
  }
}

TEST_F(Virtio, StartsNotWithoutScratchBlocks) {
  Plug({}, std::nullopt);
  const auto started = Start();
  EXPECT_THAT(started, FailsWith(EINVAL));
  EXPECT_THAT(started.error().message, HasSubstr("scratch=FIRST+COUNT"));
}

TEST_F(Virtio, StartsNotWithScratchBlocksThatAreNot) {
  Plug({}, BlockRange{.first = VirtioModel::kSectors - 8191, .count = 8192});
  EXPECT_THAT(Start(), FailsWith(EINVAL));
  Plug({}, BlockRange{.first = 0, .count = 8191});
  EXPECT_THAT(Start(), FailsWith(EINVAL));
}

// It would write where the IOVA is a physical address.
TEST_F(Virtio, StartsNotOnADeviceThatBypassesTheIommu) {
  Plug(Without(Feature::kAccessPlatform));
  const auto started = Start();
  EXPECT_THAT(started, FailsWith(EINVAL));
  EXPECT_THAT(started.error().message, HasSubstr("iommu_platform=on"));
}

TEST_F(Virtio, StartsNotOnWhatItCannotUse) {
  Plug(Without(Feature::kVersion1));
  EXPECT_THAT(Start(), FailsWith(EINVAL));
  Plug(Without(Feature::kMultiQueue));
  EXPECT_THAT(Start(), FailsWith(EINVAL));
  VirtioFlavour read_only;
  read_only.features |= Feature::kReadOnly;
  Plug(read_only);
  EXPECT_THAT(Start(), FailsWith(EINVAL));
  Plug({.block_size = 1024});
  EXPECT_THAT(Start(), FailsWith(ENOTSUP));
  Plug({.size_max = 512});
  EXPECT_THAT(Start(), FailsWith(ENOTSUP));
}

TEST_F(Virtio, TellsADeviceThatHasFailed) {
  Plug({});
  ASSERT_OK(Start());
  const auto copied = CopyOne({.source = 0x10, .destination = arena_.At(0), .length = 8});
  EXPECT_THAT(copied, FailsWith(EIO));
  EXPECT_THAT(copied.error().message, HasSubstr("DEVICE_NEEDS_RESET"));
}

// Whatever is in configuration space: an error, in the end.
TEST_F(Virtio, RefusesCapabilitiesThatCannotBe) {
  Plug({});
  auto& config = device_->device().config();
  const auto good = config;
  const std::size_t first = config[PCI_CAPABILITY_LIST];
  const auto refuses = [&](const char* what) {
    EXPECT_THAT(Start(), FailsWith(EPROTO)) << what;
    config = good;
    driver_ = Entry().make(device_->device(), {.scratch = kScratch});
  };
  config[PCI_CAPABILITY_LIST] = 0;
  refuses("no capability");
  config[first + PCI_CAP_LIST_NEXT] = static_cast<std::uint8_t>(first);
  refuses("a loop");
  config[PCI_CAPABILITY_LIST] = 0xfc;
  refuses("one that ends beyond configuration space");
  config[PCI_CAPABILITY_LIST] = 0x10;
  refuses("one within the header");
  config[first + Capability::kOffset + 1] = 0x40;
  refuses("a structure behind the BAR");
  config[first + Capability::kSize] = 0x10;
  refuses("a structure that is too small");
  config[first + Capability::kSize + 3] = 0xff;
  refuses("a structure that is too large");
  EXPECT_OK(Start());
}

}  // namespace
}  // namespace carryover::virtio
