// SPDX-License-Identifier: GPL-2.0-only
// The claim `file` for an igb (Intel 82576): its VFIO device file and the memory of its DMA go over
// together, and the device is used on through the retrieved file.
#include <gtest/gtest.h>

#include <type_traits>

#include "drivers/access/result_matchers.h"
#include "fixtures/igb/igb_continuity.h"

namespace carryover {
namespace {

constexpr std::size_t kKiB = 1024;
constexpr std::size_t kMiB = 1024 * kKiB;

// After the rules of a file that is not in use yet (vfio_incoming_rules_test.cc).
class IgbFileContinuity : public IgbFile {};

static_assert(std::has_unique_object_representations_v<DeviceIdentity>);

CONTINUITY_TEST(IgbFileContinuity, IsTheSameDevice, DeviceIdentity,
                "The retrieved file has the ids, serial number, capabilities, regions and "
                "interrupts that the preserved one had")
ARM(IgbFileContinuity, IsTheSameDevice) {
  ASSERT_OK_AND_ASSIGN(record, ReadDeviceIdentity(vfio()));
  ASSERT_NE(record.capabilities.front(), 0U);
  ASSERT_NE(record.region_sizes.front(), 0U);
}
VERIFY(IgbFileContinuity, IsTheSameDevice) {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kInUse));
  ASSERT_OK_AND_ASSIGN(const DeviceIdentity now, ReadDeviceIdentity(vfio()));
  EXPECT_EQ(Differences(record, now), "");
}

CONTINUITY_TEST(IgbFileContinuity, DmaGoesOn, DmaCopyRecord,
                "DMA, file and memory preserved, and through the retrieved file DMA in the "
                "retrieved memory at the same IOVAs")
ARM(IgbFileContinuity, DmaGoesOn) { ArmCopy(kMiB, PageKind::kBase, record); }
VERIFY(IgbFileContinuity, DmaGoesOn) {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kInUse));
  ASSERT_NO_FATAL_FAILURE(VerifyCopy(record));
  VerifyCopyGoesOn(record);
}

struct InterruptRecord {
  std::uint64_t before;  // interrupts that came in the outgoing kernel
};

CONTINUITY_TEST(IgbFileContinuity, InterruptsGoOn, InterruptRecord,
                "The device raises an interrupt by the preserved file, and by the retrieved one")
ARM(IgbFileContinuity, InterruptsGoOn) {
  ASSERT_OK(dma().Start());
  ASSERT_OK_AND_ASSIGN(record.before, dma().RaiseAndAwaitInterrupt());
  EXPECT_EQ(record.before, 1U);
}
VERIFY(IgbFileContinuity, InterruptsGoOn) {
  EXPECT_EQ(record.before, 1U);
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kInUse));
  ASSERT_OK(dma().Start());
  ASSERT_OK_AND_ASSIGN(const std::uint64_t after, dma().RaiseAndAwaitInterrupt());
  EXPECT_EQ(after, 1U);
}

// The last one of this suite: it ends the live update of the file.
CONTINUITY_TEST(IgbFileContinuity, DmaGoesOnAfterFinish, DmaCopyRecord,
                "Finishing the session does not disturb the device that is in use")
ARM(IgbFileContinuity, DmaGoesOnAfterFinish) { ArmCopy(64 * kKiB, PageKind::kBase, record); }
VERIFY(IgbFileContinuity, DmaGoesOnAfterFinish) {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kInUse));
  ASSERT_OK(dma().Start());
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kFinished));
  ASSERT_NO_FATAL_FAILURE(VerifyCopy(record));
  VerifyCopyGoesOn(record);
}

}  // namespace
}  // namespace carryover
