// SPDX-License-Identifier: GPL-2.0-only
// The claim `stream`: a device that has no mappings when it is frozen does not go on. It would
// write to any memory while translation is off, or is by mappings that the next kernel made for it.
// The device file of this test is its own. Source: vfio_pci_leave_running() in
// drivers/vfio/pci/vfio_pci_freeze.c of the reference kernel (ci/kernel/patches).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/pci_regs.h>

#include "drivers/access/result_matchers.h"
#include "fixtures/device_file/file_continuity.h"
#include "fixtures/dma/on_device.h"

namespace carryover {
namespace {

constexpr std::size_t kPayload = 4096;

constexpr ContinuityTraits kOfUnattached{.claim = Claim::kStream, .driver = "dmac", .device = 1};

class StreamUnattached : public OnDevice<FileContinuity, kOfUnattached> {};

CONTINUITY_TEST(StreamUnattached, DoesNotMasterTheBus, NothingRecord,
                "A device that masters the bus, and is detached from all page tables, is inherited "
                "without bus mastering; attached anew it copies")
ARM(StreamUnattached, DoesNotMasterTheBus) {
  ASSERT_OK(dma().device().StopShared());
  ASSERT_OK(vfio().Detach());
  ASSERT_OK(vfio().SetBusMaster(true));
}
VERIFY(StreamUnattached, DoesNotMasterTheBus) {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kInherited));
  ASSERT_OK_AND_ASSIGN(const std::uint16_t command, CommandNow());
  EXPECT_EQ(command & PCI_COMMAND_MASTER, 0);
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kInUse));
  ASSERT_OK(dma().Start());
  ASSERT_OK_AND_ASSIGN(const GuardedMemory source, MakeGuarded(kPayload));
  ASSERT_OK_AND_ASSIGN(const GuardedMemory destination, MakeGuarded(kPayload));
  ASSERT_OK_AND_ASSIGN(const Iova from, dma().Map(source.memory()));
  ASSERT_OK_AND_ASSIGN(const Iova to, dma().Map(destination.memory()));
  const PatternKey key = NewKey();
  ASSERT_NO_FATAL_FAILURE(CopyPattern(source, from, key, to));
  ExpectPattern(destination, key, to, "destination");
}

}  // namespace
}  // namespace carryover
