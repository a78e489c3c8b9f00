// SPDX-License-Identifier: GPL-2.0-only
// The claim `memory` for memory that a device has written by DMA before the kexec, and for DMA from
// and into that memory after it: with every driver.
#include "fixtures/driver_suites/driver_continuity.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/memfd.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "drivers/access/result_matchers.h"
#include "fixtures/pattern/pattern_matchers.h"

namespace carryover {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kKiB = 1024;
constexpr std::size_t kMiB = 1024 * kKiB;
constexpr std::size_t kGuard = GuardedMemory::kGuard;

// A copy of each size: intact after the kexec, guards too, and the device copies it back from
// there.

#define COPY_IS_KEPT(Name, bytes, kind)                                                            \
  DRIVER_CONTINUITY_TEST_NEEDS(                                                                    \
      DriverContinuity, Name, DmaCopyRecord,                                                       \
      "A copy of " #bytes " bytes by DMA is kept, and DMA goes on from there", {.payload = bytes}) \
  ARM(DriverContinuity, Name) { ArmCopy(bytes, kind, record); }                                    \
  VERIFY(DriverContinuity, Name) {                                                                 \
    ASSERT_NO_FATAL_FAILURE(VerifyCopy(record));                                                   \
    VerifyCopyGoesOn(record);                                                                      \
  }

COPY_IS_KEPT(OneByte, 1, PageKind::kBase)
COPY_IS_KEPT(OnePage, kPage, PageKind::kBase)
COPY_IS_KEPT(OddLength, 3 * kPage + 1234, PageKind::kBase)
COPY_IS_KEPT(OneMiB, kMiB, PageKind::kBase)
COPY_IS_KEPT(SixteenMiB, 16 * kMiB, PageKind::kBase)
COPY_IS_KEPT(TransparentHugePages, 8 * kMiB, PageKind::kHuge)

DRIVER_CONTINUITY_TEST(DriverContinuity, WrittenByDmaAfterPreserve, DmaCopyRecord,
                       "What the device writes after preserve is carried over")
ARM(DriverContinuity, WrittenByDmaAfterPreserve) {
  ASSERT_OK_AND_ASSIGN(const GuardedMemory source, MakeGuarded(Payload(64 * kKiB)));
  ASSERT_OK_AND_ASSIGN(const GuardedMemory destination, MakeGuarded(Payload(64 * kKiB)));
  ASSERT_OK_AND_ASSIGN(const Iova from, dma().Map(source.memory()));
  ASSERT_OK_AND_ASSIGN(const Iova to, dma().Map(destination.memory()));
  ASSERT_NO_FATAL_FAILURE(PreserveGuarded(source, from, record.source));
  ASSERT_NO_FATAL_FAILURE(PreserveGuarded(destination, to, record.destination));
  ASSERT_OK(dma().Start());
  record.key = NewKey();
  ASSERT_NO_FATAL_FAILURE(CopyPattern(source, from, record.key, to));
}
VERIFY(DriverContinuity, WrittenByDmaAfterPreserve) { VerifyCopy(record); }

// Nobody stops the device: its queues run, and iommufd (or type1) holds a pin on every page, while
// they are preserved and while the kernel jumps.
DRIVER_CONTINUITY_TEST(DriverContinuity, PinnedAndRunningAtTheJump, DmaCopyRecord,
                       "Memory that is still mapped for a running device at the jump is kept")
ARM(DriverContinuity, PinnedAndRunningAtTheJump) {
  ArmCopy(Payload(64 * kKiB), PageKind::kBase, record);
  Keep(dma().TakeMappings());
}
VERIFY(DriverContinuity, PinnedAndRunningAtTheJump) { VerifyCopy(record); }

// Pages that nobody had touched are allocated when the IOMMU pins them.
struct UntouchedRecord {
  std::uint64_t token;
  PatternKey key;
};

DRIVER_CONTINUITY_TEST_NEEDS(
    DriverContinuity, PagesThatOnlyTheDeviceTouched, UntouchedRecord,
    "A memfd that no CPU has touched is written by DMA and kept, its other pages zero",
    {.payload = 8 * kPage})
ARM(DriverContinuity, PagesThatOnlyTheDeviceTouched) {
  ASSERT_OK_AND_ASSIGN(const GuardedMemory source, MakeGuarded(8 * kPage));
  ASSERT_OK_AND_ASSIGN(const DmaMemory untouched, DmaMemory::Create(24 * kPage, PageKind::kBase));
  ASSERT_OK_AND_ASSIGN(const Iova from, dma().Map(source.memory()));
  ASSERT_OK_AND_ASSIGN(const Iova to, dma().Map(untouched));
  ASSERT_OK(dma().Start());
  record.key = NewKey();
  ASSERT_NO_FATAL_FAILURE(CopyPattern(source, from, record.key, to + 8 * kPage - kGuard));
  ASSERT_OK_AND_ASSIGN(record.token, Preserve(untouched.fd()));
}
VERIFY(DriverContinuity, PagesThatOnlyTheDeviceTouched) {
  ASSERT_OK_AND_ASSIGN(const DmaMemory memory, RetrieveMemory(record.token));
  ASSERT_EQ(memory.size(), 24 * kPage);
  const auto bytes = memory.bytes();
  EXPECT_THAT(bytes.first(8 * kPage), IsAllZero());
  EXPECT_THAT(bytes.subspan(8 * kPage, 8 * kPage), HoldsPattern(record.key));
  EXPECT_THAT(bytes.last(8 * kPage), IsAllZero());
}

// A permutation of `pages` that leaves none in its place; 7 has no common divisor with it.
std::size_t Scattered(std::size_t page, std::size_t pages) { return (page * 7 + 3) % pages; }

DRIVER_CONTINUITY_TEST_NEEDS(DriverContinuity, ScatteredPages, DmaCopyRecord,
                             "256 pages copied each to another place by one batch of descriptors",
                             {.payload = 256 * kPage})
ARM(DriverContinuity, ScatteredPages) {
  constexpr std::size_t kPages = 256;
  ASSERT_OK_AND_ASSIGN(const GuardedMemory source, MakeGuarded(kPages * kPage));
  ASSERT_OK_AND_ASSIGN(const GuardedMemory destination, MakeGuarded(kPages * kPage));
  ASSERT_OK_AND_ASSIGN(const Iova from, dma().Map(source.memory()));
  ASSERT_OK_AND_ASSIGN(const Iova to, dma().Map(destination.memory()));
  ASSERT_OK(dma().Start());
  record.key = NewKey();
  FillPattern(source.payload(), record.key);
  std::vector<DmaCopy> copies;
  for (std::size_t page = 0; page < kPages; ++page) {
    copies.push_back(
        {from + kGuard + page * kPage, to + kGuard + Scattered(page, kPages) * kPage, kPage});
  }
  ASSERT_OK(dma().Copy(copies));
  ASSERT_NO_FATAL_FAILURE(PreserveGuarded(destination, to, record.destination));
}
VERIFY(DriverContinuity, ScatteredPages) {
  ASSERT_OK_AND_ASSIGN(const GuardedMemory memory, RetrieveGuarded(record.destination));
  const std::size_t pages = memory.payload_size() / kPage;
  for (std::size_t page = 0; page < pages; ++page) {
    CheckContext context;
    context.pattern_offset = page * kPage;
    const auto moved = memory.payload().subspan(Scattered(page, pages) * kPage, kPage);
    ASSERT_THAT(moved, HoldsPattern(record.key, context)) << "page " << page;
  }
  ExpectGuards(memory, "destination");
}

DRIVER_CONTINUITY_TEST_NEEDS(DriverContinuity, UnalignedCopies, DmaCopyRecord,
                             "Copies of 1 to 8191 bytes from and to odd addresses, side by side",
                             {.payload = 160 * kKiB})
ARM(DriverContinuity, UnalignedCopies) {
  constexpr std::size_t kShift = 13;  // source and destination are never aligned alike
  constexpr std::size_t kPayload = 160 * kKiB;
  ASSERT_OK_AND_ASSIGN(const GuardedMemory source, MakeGuarded(kPayload + kShift));
  ASSERT_OK_AND_ASSIGN(const GuardedMemory destination, MakeGuarded(kPayload));
  ASSERT_OK_AND_ASSIGN(const Iova from, dma().Map(source.memory()));
  ASSERT_OK_AND_ASSIGN(const Iova to, dma().Map(destination.memory()));
  ASSERT_OK(dma().Start());
  record.key = NewKey();
  FillPattern(source.payload().subspan(kShift), record.key);
  std::vector<DmaCopy> copies;
  std::size_t length = 1;
  for (std::size_t at = 0; at < kPayload; at += copies.back().length) {
    copies.push_back(
        {from + kGuard + kShift + at, to + kGuard + at, std::min(length, kPayload - at)});
    length = length * 5 % 8191 + 1;
  }
  ASSERT_OK(dma().Copy(copies));
  RecordProperty("copies", std::to_string(copies.size()));
  ASSERT_NO_FATAL_FAILURE(PreserveGuarded(destination, to, record.destination));
}
VERIFY(DriverContinuity, UnalignedCopies) {
  ASSERT_OK_AND_ASSIGN(const GuardedMemory memory, RetrieveGuarded(record.destination));
  ExpectPattern(memory, record.key, record.destination.iova, "destination");
  ExpectGuards(memory, "destination");
}

struct TwoIovasRecord {
  DmaCopyRecord copy;
  Iova second;  // of the destination's first guard, too
};

// The second half goes in, and is later read back, by the second IOVA.
DRIVER_CONTINUITY_TEST(
    DriverContinuity, SamePageAtTwoIovas, TwoIovasRecord,
    "Memory mapped at two IOVAs, written through both, is kept and mapped so again")
ARM(DriverContinuity, SamePageAtTwoIovas) {
  const std::size_t half = Payload(12 * kPage) / 2;
  ASSERT_OK_AND_ASSIGN(const GuardedMemory source, MakeGuarded(2 * half));
  ASSERT_OK_AND_ASSIGN(const GuardedMemory destination, MakeGuarded(2 * half));
  ASSERT_OK_AND_ASSIGN(const Iova from, dma().Map(source.memory()));
  ASSERT_OK_AND_ASSIGN(const Iova first, dma().Map(destination.memory()));
  ASSERT_OK_AND_ASSIGN(record.second, dma().Map(destination.memory()));
  ASSERT_NE(first, record.second);
  ASSERT_OK(dma().Start());
  record.copy.key = NewKey();
  FillPattern(source.payload(), record.copy.key);
  const std::vector<DmaCopy> copies{{from + kGuard, first + kGuard, half},
                                    {from + kGuard + half, record.second + kGuard + half, half}};
  ASSERT_OK(dma().Copy(copies));
  ASSERT_NO_FATAL_FAILURE(PreserveGuarded(source, from, record.copy.source));
  ASSERT_NO_FATAL_FAILURE(PreserveGuarded(destination, first, record.copy.destination));
}
VERIFY(DriverContinuity, SamePageAtTwoIovas) {
  ASSERT_NO_FATAL_FAILURE(VerifyCopy(record.copy));
  ASSERT_OK_AND_ASSIGN(const GuardedMemory memory, RetrieveGuarded(record.copy.destination));
  ASSERT_OK_AND_ASSIGN(const GuardedMemory target, MakeGuarded(memory.payload_size()));
  ASSERT_OK(dma().MapAt(record.copy.destination.iova, memory.memory()));
  ASSERT_OK(dma().MapAt(record.second, memory.memory()));
  ASSERT_OK_AND_ASSIGN(const Iova to, dma().Map(target.memory()));
  ASSERT_OK(dma().Start());
  const std::size_t half = memory.payload_size() / 2;
  const std::vector<DmaCopy> copies{
      {record.second + kGuard, to + kGuard, half},
      {record.copy.destination.payload_iova() + half, to + kGuard + half, half}};
  ASSERT_OK(dma().Copy(copies));
  ExpectPattern(target, record.copy.key, to, "copy through both IOVAs");
}

struct SealedRecord {
  std::uint64_t token;
  std::uint64_t size;
  Iova iova;
  PatternKey key;
};

// Copies sealed memory out by DMA, and checks what arrived.
class DriverSealedMemory : public DriverContinuity {
 protected:
  using DriverContinuity::DriverContinuity;

  void CopyOut(const DmaMemory& sealed, Iova iova, PatternKey key) {
    ASSERT_FALSE(sealed.writable());
    ASSERT_OK_AND_ASSIGN(const GuardedMemory target, MakeGuarded(sealed.size()));
    ASSERT_OK_AND_ASSIGN(const Iova to, dma().Map(target.memory()));
    ASSERT_OK(dma().Start());
    ASSERT_OK(dma().Copy({iova, to + kGuard, sealed.size()}));
    ExpectPattern(target, key, to, "copy of sealed memory");
  }
};

DRIVER_CONTINUITY_TEST(DriverSealedMemory, SealedMemoryIsASource, SealedRecord,
                       "Memory sealed against writing is read by DMA before the kexec and after it")
ARM(DriverSealedMemory, SealedMemoryIsASource) {
  ASSERT_OK_AND_ASSIGN(DmaMemory memory, DmaMemory::Create(Payload(32 * kPage), PageKind::kBase,
                                                           "sealed", MFD_ALLOW_SEALING));
  record.key = NewKey();
  record.size = memory.size();
  FillPattern(memory.bytes(), record.key);
  UniqueFd fd(dup(memory.fd()));
  {
    const DmaMemory unmapped = std::move(memory);  // a writable mapping would forbid the seal
  }
  ASSERT_EQ(fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0)
      << strerrordesc_np(errno);
  ASSERT_OK_AND_ASSIGN(record.token, Preserve(fd.get()));
  ASSERT_OK_AND_ASSIGN(const DmaMemory sealed, DmaMemory::FromFd(std::move(fd)));
  ASSERT_OK(sealed.Prefault(1));
  ASSERT_OK_AND_ASSIGN(record.iova, dma().Map(sealed, DmaAccess::kRead));
  CopyOut(sealed, record.iova, record.key);
}
VERIFY(DriverSealedMemory, SealedMemoryIsASource) {
  ASSERT_OK_AND_ASSIGN(const DmaMemory sealed, RetrieveMemory(record.token));
  ASSERT_EQ(sealed.size(), record.size);
  ASSERT_OK(sealed.Prefault(1));
  EXPECT_THAT(sealed.bytes(), HoldsPattern(record.key));
  ASSERT_OK(dma().MapAt(record.iova, sealed, DmaAccess::kRead));
  CopyOut(sealed, record.iova, record.key);
}

DRIVER_CONTINUITY_TEST_NEEDS(
    DriverContinuity, ManyBuffersInFlight, NothingRecord,
    "As many copies as the rings hold, each with memfds of its own, are all kept",
    {.payload = kMiB})
ARM(DriverContinuity, ManyBuffersInFlight) {
  const DriverTraits traits = dma().device().traits();
  RecordProperty("in_flight", std::to_string(traits.max_in_flight));
  ASSERT_OK(dma().Start());
  ASSERT_OK_AND_ASSIGN(const GuardedMemory source, MakeGuarded(16 * kPage));
  ASSERT_OK_AND_ASSIGN(const Iova from, dma().Map(source.memory()));
  FillPattern(source.payload(), NewKey());
  std::vector<GuardedMemory> destinations;
  std::vector<DmaCopy> copies;
  for (std::size_t i = 0; i < traits.max_in_flight; ++i) {
    ASSERT_OK_AND_ASSIGN(GuardedMemory destination, MakeGuarded(source.payload_size()));
    ASSERT_OK_AND_ASSIGN(const Iova to, dma().Map(destination.memory()));
    copies.push_back({from + kGuard, to + kGuard, source.payload_size()});
    destinations.push_back(std::move(destination));
  }
  ASSERT_OK(dma().Copy(copies));
  for (const GuardedMemory& destination : destinations) {
    ASSERT_OK(Preserve(destination.memory().fd()));
  }
}
VERIFY(DriverContinuity, ManyBuffersInFlight) {
  const PatternKey key = KeyOfGeneration(0);
  const std::size_t count = dma().device().traits().max_in_flight;
  for (std::uint64_t token = 1; token <= count; ++token) {
    ASSERT_OK_AND_ASSIGN(UniqueFd fd, Retrieve(token));
    ASSERT_OK_AND_ASSIGN(const GuardedMemory memory,
                         GuardedMemory::FromFd(std::move(fd), 16 * kPage, GuardOf(token + 1)));
    ExpectPattern(memory, key, 0, "destination");
    ExpectGuards(memory, "destination");
  }
}

struct InterruptRecord {
  std::uint64_t before;  // interrupts that came in the outgoing kernel
};

DRIVER_CONTINUITY_TEST(DriverContinuity, InterruptsBeforeAndAfter, InterruptRecord,
                       "The device raises an interrupt before the kexec and after it, once each")
ARM(DriverContinuity, InterruptsBeforeAndAfter) {
  ASSERT_OK(dma().Start());
  ASSERT_OK_AND_ASSIGN(record.before, dma().RaiseAndAwaitInterrupt());
  EXPECT_EQ(record.before, 1U);
}
VERIFY(DriverContinuity, InterruptsBeforeAndAfter) {
  EXPECT_EQ(record.before, 1U);
  ASSERT_OK(dma().Start());
  ASSERT_OK_AND_ASSIGN(const std::uint64_t after, dma().RaiseAndAwaitInterrupt());
  EXPECT_EQ(after, 1U);
}

// Memory that each kernel's DMA has written over that of the one before.
class DriverGenerations : public DriverContinuity {
 protected:
  using DriverContinuity::DriverContinuity;

  // The last kernel only looks: it needs no device.
  void SetUp() override {}

  std::optional<GuardedMemory> source_;  // from verify to carry
  std::optional<GuardedMemory> destination_;
};

DRIVER_CONTINUITY_CHAIN(
    DriverGenerations, KexecAfterKexec, DmaCopyRecord, 2,
    "An incoming kernel's DMA into memory it inherited is there in the next one")
ARM(DriverGenerations, KexecAfterKexec) {
  ASSERT_NO_FATAL_FAILURE(OpenDevice());
  ArmCopy(Payload(256 * kKiB), PageKind::kBase, record);
}
VERIFY(DriverGenerations, KexecAfterKexec) {
  EXPECT_EQ(record.key.generation, generation() - 1) << "the ledger's record is stale";
  auto source = RetrieveGuarded(record.source);
  ASSERT_OK(source);
  auto destination = RetrieveGuarded(record.destination);
  ASSERT_OK(destination);
  source_ = std::move(*source);
  destination_ = std::move(*destination);
  ExpectPattern(*source_, record.key, record.source.iova, "source");
  ExpectPattern(*destination_, record.key, record.destination.iova, "destination");
  ExpectGuards(*source_, "source");
  ExpectGuards(*destination_, "destination");
}
CARRY(DriverGenerations, KexecAfterKexec) {
  ASSERT_NO_FATAL_FAILURE(OpenDevice());
  ASSERT_OK(dma().MapAt(record.source.iova, source_->memory()));
  ASSERT_OK(dma().MapAt(record.destination.iova, destination_->memory()));
  ASSERT_OK(dma().Start());
  record.key = NewKey();
  ASSERT_NO_FATAL_FAILURE(
      CopyPattern(*source_, record.source.iova, record.key, record.destination.iova));
  ASSERT_OK_AND_ASSIGN(record.source.token, Preserve(source_->memory().fd()));
  ASSERT_OK_AND_ASSIGN(record.destination.token, Preserve(destination_->memory().fd()));
}

// The last one: nobody may use the rings any more when they are preserved.
class DriverRings : public DriverContinuity {
 protected:
  using DriverContinuity::DriverContinuity;
};

DRIVER_CONTINUITY_TEST(
    DriverRings, DescriptorRings, DmaRingsRecord,
    "Rings, descriptors and driver state are kept, and the driver starts in them again")
ARM(DriverRings, DescriptorRings) { ArmCopyWithRings(Payload(64 * kKiB), record); }
VERIFY(DriverRings, DescriptorRings) {
  ASSERT_NO_FATAL_FAILURE(VerifyCopy(record.copy));
  VerifyRings(record);
}

}  // namespace
}  // namespace carryover
