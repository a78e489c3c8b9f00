// SPDX-License-Identifier: GPL-2.0-only
// A device whose mappings the reference kernel does not cover: behind an IOMMU in scalable mode,
// behind a bridge that makes its DMA look like another's, or with ATS. Selected only with --hidden,
// on a machine that has such a one as its first of this driver.
#include <gtest/gtest.h>

#include <string_view>

#include "fixtures/device_file/freeze_test.h"

namespace carryover {
namespace {

class HiddenUncovered : public FreezeTest {
 protected:
  HiddenUncovered() : HiddenUncovered("dmac") {}
  explicit HiddenUncovered(std::string_view driver) : FreezeTest(driver) {}

  // All memory that is mapped is preserved: that is not what it is refused for.
  void ExpectRefusedAndGoesOn() {
    ASSERT_OK(session().Preserve(dma().device().region().fd(), 101));
    ASSERT_NO_FATAL_FAILURE(Preserve(dma(), 1));
    ASSERT_NO_FATAL_FAILURE(ExpectRefused(EOPNOTSUPP, 1));
    ASSERT_NO_FATAL_FAILURE(ExpectCopies(dma()));
  }
};
NEEDS_DEVICES(HiddenUncovered, "dmac", 1);
NEEDS_CLAIM(HiddenUncovered, Claim::kStream);

TEST_F(HiddenUncovered, IsRefusedAndGoesOn) { ExpectRefusedAndGoesOn(); }

class HiddenUncoveredDisk : public HiddenUncovered {
 protected:
  HiddenUncoveredDisk() : HiddenUncovered("virtio") {}
};
NEEDS_DEVICES(HiddenUncoveredDisk, "virtio", 1);
NEEDS_CLAIM(HiddenUncoveredDisk, Claim::kStream);

TEST_F(HiddenUncoveredDisk, IsRefusedAndGoesOn) { ExpectRefusedAndGoesOn(); }

}  // namespace
}  // namespace carryover
