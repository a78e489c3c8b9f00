// SPDX-License-Identifier: GPL-2.0-only
// The claims `mapping` and `stream`: a device goes on with DMA while there is no kernel, in the
// mappings that it had, and not an entry of its stream is lost. The device files of these tests are
// their own. Source: drivers/iommu/intel/handover.c and inherited.c of the reference kernel
// (ci/kernel/patches).
#include "fixtures/stream/stream_continuity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "drivers/access/result_matchers.h"
#include "fixtures/device_file/saved_driver.h"
#include "fixtures/dma/on_device.h"
#include "fixtures/dma/refused_dma.h"
#include "fixtures/kernel_log/expected_message.h"

namespace carryover {
namespace {

using std::chrono::microseconds;

constexpr std::size_t kKi = 1024;  // slots
constexpr std::size_t kKiB = 1024;

// The devices that are for these tests: those before are reset by others.
constexpr ContinuityTraits kStream{.claim = Claim::kStream, .driver = "dmac", .device = 2};
constexpr ContinuityTraits kFastStream{.claim = Claim::kStream, .driver = "dmac", .device = 3};
constexpr ContinuityTraits kChain{.claim = Claim::kStream, .driver = "dmac", .device = 4};
constexpr ContinuityTraits kMapping{.claim = Claim::kMapping, .driver = "dmac", .device = 19};
constexpr ContinuityTraits kIgb{.claim = Claim::kStream, .driver = "igb", .device = 1};
constexpr ContinuityTraits kE1000e{.claim = Claim::kStream, .driver = "e1000e", .device = 1};

constexpr microseconds kOfThePeer{0};  // the period is the peer's

class DmacStream : public OnDevice<StreamContinuity, kStream> {};

CONTINUITY_TEST(DmacStream, GoesOn, StreamCarried,
                "A device that writes an entry every millisecond loses none: across the kexec, "
                "binding, retrieving its file, and attaching it to a new iommufd")
ARM(DmacStream, GoesOn) { ArmStream(128 * kKi, microseconds(1000), record, PageKind::kBase); }
VERIFY(DmacStream, GoesOn) { VerifyStream(record); }

class DmacFastStream : public OnDevice<StreamContinuity, kFastStream> {};

CONTINUITY_TEST(DmacFastStream, GoesOn, StreamCarried, "The same with 5000 entries a second")
ARM(DmacFastStream, GoesOn) { ArmStream(512 * kKi, microseconds(200), record); }
VERIFY(DmacFastStream, GoesOn) { VerifyStream(record); }

class DmacStreamGenerations : public OnDevice<StreamContinuity, kChain> {};

CONTINUITY_CHAIN(DmacStreamGenerations, KexecAfterKexec, StreamCarried, 2,
                 "One stream runs through several kexecs, and loses none")
ARM(DmacStreamGenerations, KexecAfterKexec) { ArmStream(128 * kKi, microseconds(1000), record); }
VERIFY(DmacStreamGenerations, KexecAfterKexec) {
  if (IsLastGeneration()) {
    VerifyStream(record);
  } else {
    VerifyStreamGoesOn(record);
  }
}
CARRY(DmacStreamGenerations, KexecAfterKexec) { CarryStream(record); }

// What a traffic peer sends to a NIC (docs/peer.md).
class IgbStream : public OnDevice<StreamContinuity, kIgb> {};

CONTINUITY_TEST(
    IgbStream, GoesOn, StreamCarried,
    "A NIC receives what comes from the cable across the kexec, with nobody driving it: "
    "every frame is in its ring once, in order, whole")
ARM(IgbStream, GoesOn) { ArmStream(64 * kKi, kOfThePeer, record); }
VERIFY(IgbStream, GoesOn) { VerifyStream(record); }

class E1000eStream : public OnDevice<StreamContinuity, kE1000e> {};

CONTINUITY_TEST(E1000eStream, GoesOn, StreamCarried, "The same with the ring of an 82574")
ARM(E1000eStream, GoesOn) { ArmStream(64 * kKi, kOfThePeer, record); }
VERIFY(E1000eStream, GoesOn) { VerifyStream(record); }

class DmacMapping : public OnDevice<SavedDriverContinuity, kMapping> {
 protected:
  // With `to` not mapped in this kernel: page tables that lack it, take rights away or lead to
  // other memory are refused, and the device copies by those of the previous kernel as before.
  void ExpectOthersRefused(const CopySide& from, const CopySide& to, PatternKey key) {
    ASSERT_OK_AND_ASSIGN(VfioPciDevice* const file, VfioDeviceOf(dma().device()));
    ASSERT_OK_AND_ASSIGN(const GuardedMemory elsewhere, MakeGuarded(to.memory.payload_size()));
    EXPECT_THAT(file->Attach(), FailsWith(EINVAL)) << "page tables with nothing in them";
    EXPECT_THAT(file->AttachFilled(), FailsWith(EINVAL)) << "the destination is not mapped";
    ASSERT_OK(dma().MapAt(to.at.iova, to.memory.memory(), DmaAccess::kRead));
    EXPECT_THAT(file->AttachFilled(), FailsWith(EINVAL)) << "the destination is read-only";
    (void)dma().TakeMappings();
    ASSERT_OK(dma().MapAt(to.at.iova, elsewhere.memory()));
    EXPECT_THAT(file->AttachFilled(), FailsWith(EINVAL)) << "the destination is other memory";
    (void)dma().TakeMappings();
    ExpectCopies(from, to, key);
  }
  // What is mapped now is used, and what is not any more is refused: nothing is left of what the
  // unit had cached of the previous kernel's.
  void ExpectMappingsOfNow(const CopySide& from, const CopySide& to, PatternKey key) {
    ASSERT_OK_AND_ASSIGN(const GuardedMemory late, MakeGuarded(from.memory.payload_size()));
    ASSERT_OK_AND_ASSIGN(const Iova iova, dma().Map(late.memory()));
    ASSERT_NO_FATAL_FAILURE(CopyPattern(from.memory, from.at.iova, key, iova));
    ExpectPattern(late, key, iova, "memory that was mapped after the device was attached");
    (void)dma().TakeMappings();
    const DmaCopy stale{from.at.payload_iova(), to.at.payload_iova(), to.memory.payload_size()};
    std::ranges::fill(to.memory.payload(), std::byte{0xdb});
    ALLOW_KERNEL_MESSAGE(RefusedDma(stale.destination));
    EXPECT_THAT(dma().Copy(stale), FailsWith(EIO)) << "written after it was unmapped";
    EXPECT_TRUE(std::ranges::all_of(to.memory.payload(),
                                    [](std::byte byte) { return byte == std::byte{0xdb}; }));
  }
};

CONTINUITY_TEST(DmacMapping, IsUsedBeforeAnythingIsMapped, SavedDriverRecord,
                "A driver that was saved is attached, and the device copies by the IOVAs of the "
                "previous kernel, before it is attached to page tables of this one, after others "
                "were refused that do not map the same, and with those that do; what is unmapped "
                "then is out of its reach")
ARM(DmacMapping, IsUsedBeforeAnythingIsMapped) { ArmSavedDriver(64 * kKiB, record); }
VERIFY(DmacMapping, IsUsedBeforeAnythingIsMapped) {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kDriverBound));
  EXPECT_THAT(VfioPciDevice::Open(address(), IommuMode::kType1v2, sysfs()), FailsWith(EBUSY))
      << "a container would take its DMA from it";
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kRetrieved));
  ASSERT_OK_AND_ASSIGN(const SavedDriverMemory memory, RetrieveSaved(record));
  const auto& [region, source, destination] = memory;
  carried().SetMappings({{.iova = kRegion, .memory = &region},
                         {.iova = record.copy.source.iova, .memory = &source.memory()}});
  const CopySide from{source, record.copy.source, "source"};
  const CopySide to{destination, record.copy.destination, "destination"};
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kBound));
  ASSERT_OK(dma().AttachIn(region, kRegion));
  ASSERT_NO_FATAL_FAILURE(ExpectCopies(from, to, record.copy.key));
  ASSERT_NO_FATAL_FAILURE(ExpectOthersRefused(from, to, record.copy.key));
  ASSERT_OK(dma().MapAt(to.at.iova, destination.memory()));
  ASSERT_OK_AND_ASSIGN(VfioPciDevice* const file, VfioDeviceOf(dma().device()));
  ASSERT_OK(file->AttachFilled());
  ASSERT_NO_FATAL_FAILURE(ExpectCopies(from, to, record.copy.key));
  ASSERT_NO_FATAL_FAILURE(ExpectMappingsOfNow(from, to, record.copy.key));
  EXPECT_OK(dma().Stop());
}

}  // namespace
}  // namespace carryover
