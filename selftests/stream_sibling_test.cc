// SPDX-License-Identifier: GPL-2.0-only
// The claim `stream`: vfio-pci resets a bus when its last open device is closed that cannot be
// reset by itself. A device of that bus that goes on since the previous kernel, and that nobody has
// opened yet, is not reset with it. The device files of these tests are their own. Source:
// vfio_pci_dev_set_needs_reset() of the reference kernel (ci/kernel/patches).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "drivers/access/result_matchers.h"
#include "fixtures/device_file/saved_driver.h"
#include "fixtures/device_file/without_reset.h"
#include "fixtures/device_need/device_need.h"
#include "fixtures/dma/on_device.h"

namespace carryover {
namespace {

// Two functions of one card, each in an IOMMU group of its own.
constexpr ContinuityTraits kOfSibling{.claim = Claim::kStream, .driver = "igb", .device = 3};
constexpr unsigned kSibling = 4;

class StreamSibling : public OnDevice<SavedDriverContinuity, kOfSibling> {
 protected:
  void OpenAndCloseSibling() {
    ASSERT_OK_AND_ASSIGN(const ListedDevice sibling, Devices::Get().Bind("igb", kSibling));
    const WithoutReset without(sysfs(), sibling.address);
    ASSERT_THAT(sysfs().ResetMethods(sibling.address), testing::IsEmpty());
    ASSERT_OK(VfioPciDevice::Open(sibling.address, IommuMode::kIommufd, sysfs()));
  }
};
NEEDS_DEVICES(StreamSibling, "igb", kSibling + 1);

CONTINUITY_TEST(StreamSibling, IsClosedWithoutAResetOfTheBus, SavedDriverRecord,
                "A device is not reset when another function of its card, which cannot be reset by "
                "itself, is opened and closed before it is retrieved")
ARM(StreamSibling, IsClosedWithoutAResetOfTheBus) {
  ASSERT_OK_AND_ASSIGN(const ListedDevice sibling, Devices::Get().Find("igb", kSibling));
  if (sibling.address.domain != address().domain || sibling.address.bus != address().bus) {
    GTEST_SKIP() << sibling.address.ToString() << " is not on the bus of " << address().ToString();
  }
  ArmSavedDriver(65536, record);
}
VERIFY(StreamSibling, IsClosedWithoutAResetOfTheBus) {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kDriverBound));
  ASSERT_NO_FATAL_FAILURE(OpenAndCloseSibling());
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kRetrieved));
  ASSERT_OK_AND_ASSIGN(const SavedDriverMemory memory, RetrieveSaved(record));
  const auto& [region, source, destination] = memory;
  const CopySide from{source, record.copy.source, "source"};
  const CopySide to{destination, record.copy.destination, "destination"};
  carried().SetMappings({{.iova = kRegion, .memory = &region},
                         {.iova = from.at.iova, .memory = &source.memory()},
                         {.iova = to.at.iova, .memory = &destination.memory()}});
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kBound));
  ASSERT_OK(dma().AttachIn(region, kRegion));
  ASSERT_NO_FATAL_FAILURE(ExpectCopies(from, to, record.copy.key));
  ASSERT_OK(vfio().AttachFilled());
  ASSERT_NO_FATAL_FAILURE(ExpectCopies(from, to, record.copy.key));
  EXPECT_OK(dma().Stop());
}

}  // namespace
}  // namespace carryover
