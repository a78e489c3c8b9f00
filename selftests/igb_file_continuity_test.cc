// SPDX-License-Identifier: GPL-2.0-only
// The claim `file` for an igb (Intel 82576): its VFIO device file and the memory of its DMA go over
// together, and the device is used on through the retrieved file.
#include <gtest/gtest.h>

#include <type_traits>

#include "drivers/access/result_matchers.h"
#include "fixtures/igb/igb_file.h"

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

CONTINUITY_TEST(IgbFileContinuity, DmaInHugePagesGoesOn, DmaCopyRecord,
                "The same with memory in transparent huge pages, which are mapped as such")
ARM(IgbFileContinuity, DmaInHugePagesGoesOn) { ArmCopy(4 * kMiB, PageKind::kHuge, record); }
VERIFY(IgbFileContinuity, DmaInHugePagesGoesOn) {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kInUse));
  ASSERT_NO_FATAL_FAILURE(VerifyCopy(record));
  VerifyCopyGoesOn(record);
}

struct OneSessionRecord {
  PatternKey key;
  GuardedRecord memory;
};

CONTINUITY_TEST(IgbFileContinuity, FileAndMemoryOfOneSession, OneSessionRecord,
                "A session hands over the device's file and memory, and one does DMA in the other")
ARM(IgbFileContinuity, FileAndMemoryOfOneSession) {
  ASSERT_OK_AND_ASSIGN(const GuardedMemory memory, MakeGuarded(64 * kKiB));
  ASSERT_OK_AND_ASSIGN(const Iova iova, dma().Map(memory.memory()));
  record.key = NewKey();
  FillPattern(memory.payload(), record.key);
  record.memory = {.token = CarriedDevice::kFileToken + 1,
                   .payload = memory.payload_size(),
                   .iova = iova,
                   .guard = memory.guard()};
  ASSERT_OK(carried().outgoing().Preserve(memory.memory().fd(), record.memory.token));
}
VERIFY(IgbFileContinuity, FileAndMemoryOfOneSession) {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kInUse));
  ASSERT_OK_AND_ASSIGN(UniqueFd file, RetrieveFrom(carried().incoming(), record.memory.token));
  ASSERT_OK_AND_ASSIGN(
      const GuardedMemory memory,
      GuardedMemory::FromFd(std::move(file), record.memory.payload, record.memory.guard));
  ASSERT_OK_AND_ASSIGN(const GuardedMemory target, MakeGuarded(memory.payload_size()));
  ASSERT_OK(dma().Start());
  ASSERT_OK(dma().MapAt(record.memory.iova, memory.memory()));
  ASSERT_OK_AND_ASSIGN(const Iova to, dma().Map(target.memory()));
  ASSERT_OK(dma().Copy(
      {record.memory.payload_iova(), to + GuardedMemory::kGuard, memory.payload_size()}));
  ExpectPattern(target, record.key, to, "copy of the retrieved memory");
  ExpectGuards(memory, "retrieved memory");
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
