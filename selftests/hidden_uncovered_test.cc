// SPDX-License-Identifier: GPL-2.0-only
// A device whose mappings the reference kernel does not cover: behind an IOMMU in scalable mode, or
// behind a bridge that makes its DMA look like another's. Selected only with --hidden, on a machine
// that has such a one as its first dmac.
#include <gtest/gtest.h>

#include "fixtures/device_file/freeze_test.h"

namespace carryover {
namespace {

class HiddenUncovered : public FreezeTest {
 protected:
  HiddenUncovered() : FreezeTest("dmac") {}
};
NEEDS_DEVICES(HiddenUncovered, "dmac", 1);
NEEDS_CLAIM(HiddenUncovered, Claim::kStream);

// All memory that is mapped is preserved: that is not what it is refused for.
TEST_F(HiddenUncovered, IsRefusedAndGoesOn) {
  ASSERT_OK(session().Preserve(dma().device().region().fd(), 101));
  ASSERT_NO_FATAL_FAILURE(Preserve(dma(), 1));
  ASSERT_NO_FATAL_FAILURE(ExpectRefused(EOPNOTSUPP, 1));
  ASSERT_NO_FATAL_FAILURE(ExpectCopies(dma()));
}

}  // namespace
}  // namespace carryover
