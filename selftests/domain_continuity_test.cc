// SPDX-License-Identifier: GPL-2.0-only
// The claim `mapping`: a large domain goes over as a small one does, and its page tables come back
// as memory. The device file of this test is its own.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <thread>
#include <vector>

#include "drivers/access/result_matchers.h"
#include "fixtures/device_file/file_continuity.h"
#include "fixtures/dma/on_device.h"
#include "fixtures/memory/total_memory.h"
#include "fixtures/pattern/pattern_matchers.h"

namespace carryover {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr std::size_t kPayload = 65536;

// One of its own: QEMU tells a device's model of each page that is mapped, and igb has none.
constexpr ContinuityTraits kOfDomain{
    .claim = Claim::kMapping, .driver = "igb", .device = 2, .time_limit = std::chrono::seconds(60)};

constexpr Iova kRegion = 64 * kMiB;
constexpr Iova kDomain = Iova{16} * 1024 * kMiB;

// The same memory, mapped that often side by side: of no 2 MiB can the kernel make one page.
constexpr std::size_t kChunk = kMiB;
constexpr std::size_t kChunks = 1024;

// Page tables of the lowest level: each has 512 entries, and is a page.
constexpr std::size_t kPage = DmaMemory::kBasePage;
constexpr std::size_t kTables = kChunks * kChunk / kPage / 512 * kPage;

class IgbLargeDomain : public OnDevice<FileContinuity, kOfDomain> {
 protected:
  // Copies from some places of the domain.
  void ExpectReached(const GuardedMemory& destination, Iova to, PatternKey key) {
    for (const std::size_t chunk : {std::size_t{0}, kChunks / 2, kChunks - 1}) {
      std::ranges::fill(destination.payload(), std::byte{0xdb});
      ASSERT_OK(dma().Copy({kDomain + chunk * kChunk, to, kPayload}));
      EXPECT_THAT(destination.payload(), HoldsPattern(key)) << "from chunk " << chunk;
      ExpectGuards(destination, "destination");
    }
  }
  void ExpectTablesBack(std::size_t memory_before) {
    const Deadline deadline = DrivenDevice::Patience();
    while (TotalMemory() < memory_before + kTables && !deadline.Passed()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_GE(TotalMemory(), memory_before + kTables) << "the inherited page tables are not freed";
  }
};

struct LargeDomainRecord {
  PatternKey key;
  std::uint64_t memory;
  std::uint64_t region;
  GuardedRecord destination;
};

CONTINUITY_TEST(IgbLargeDomain, IsReachedBeforeAndAfterItIsAttached, LargeDomainRecord,
                "A device reaches all of a domain of 1 GiB in pages of 4 KiB: by the page tables "
                "of the previous kernel, and by those of this one")
ARM(IgbLargeDomain, IsReachedBeforeAndAfterItIsAttached) {
  ASSERT_OK(dma().device().StopShared());
  ASSERT_OK_AND_ASSIGN(const DmaMemory region,
                       DmaMemory::Create(dma().device().traits().region_size, PageKind::kBase));
  ASSERT_OK(region.Prefault());
  ASSERT_OK(dma().StartIn(region, kRegion));
  ASSERT_OK_AND_ASSIGN(const DmaMemory memory, MakeMemory(kChunk, PageKind::kBase));
  record.key = NewKey();
  FillPattern(memory.bytes(), record.key);
  for (std::size_t chunk = 0; chunk < kChunks; ++chunk) {
    ASSERT_OK(dma().MapAt(kDomain + chunk * kChunk, memory));
  }
  ASSERT_OK_AND_ASSIGN(const GuardedMemory destination, MakeGuarded(kPayload));
  ASSERT_OK_AND_ASSIGN(const Iova to, dma().Map(destination.memory()));
  ASSERT_NO_FATAL_FAILURE(PreserveGuarded(destination, to, record.destination));
  ASSERT_NO_FATAL_FAILURE(
      ExpectReached(destination, record.destination.payload_iova(), record.key));
  ASSERT_OK(dma().driver().Save());
  ASSERT_OK_AND_ASSIGN(record.region, Preserve(region.fd()));
  ASSERT_OK_AND_ASSIGN(record.memory, Preserve(memory.fd()));
  Keep(dma().TakeDriver());
  Keep(dma().TakeMappings());
}
VERIFY(IgbLargeDomain, IsReachedBeforeAndAfterItIsAttached) {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kRetrieved));
  ASSERT_OK_AND_ASSIGN(const DmaMemory region, RetrieveMemory(record.region));
  ASSERT_OK_AND_ASSIGN(const DmaMemory memory, RetrieveMemory(record.memory));
  ASSERT_OK_AND_ASSIGN(const GuardedMemory destination, RetrieveGuarded(record.destination));
  std::vector<KeptMapping> mappings{
      {.iova = kRegion, .memory = &region},
      {.iova = record.destination.iova, .memory = &destination.memory()}};
  for (std::size_t chunk = 0; chunk < kChunks; ++chunk) {
    mappings.push_back({.iova = kDomain + chunk * kChunk, .memory = &memory});
  }
  carried().SetMappings(std::move(mappings));
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kBound));
  ASSERT_OK(dma().AttachIn(region, kRegion));
  const Iova to = record.destination.payload_iova();
  ASSERT_NO_FATAL_FAILURE(ExpectReached(destination, to, record.key));
  const std::size_t memory_before = TotalMemory();
  ASSERT_OK(vfio().AttachFilled());
  ExpectTablesBack(memory_before);
  ASSERT_NO_FATAL_FAILURE(ExpectReached(destination, to, record.key));
  EXPECT_OK(dma().Stop());
}

}  // namespace
}  // namespace carryover
