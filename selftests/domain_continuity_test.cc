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
#include "fixtures/device_file/saved_driver.h"
#include "fixtures/dma/on_device.h"
#include "fixtures/memory/total_memory.h"
#include "fixtures/pattern/pattern_matchers.h"

namespace carryover {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

// One of its own: QEMU tells a device's model of each page that is mapped, and igb has none.
constexpr ContinuityTraits kOfDomain{
    .claim = Claim::kMapping, .driver = "igb", .device = 2, .time_limit = std::chrono::seconds(60)};

constexpr Iova kDomain = Iova{16} * 1024 * kMiB;

// Pieces of memory, mapped in turn side by side: of no 2 MiB can the kernel make one page, and no
// two page tables in a row are alike.
constexpr std::size_t kPieces = 5;
constexpr std::size_t kChunk = kMiB;
constexpr std::size_t kChunks = 1024;

// Page tables of the lowest level: each has 512 entries, and is a page.
constexpr std::size_t kPage = DmaMemory::kBasePage;
constexpr std::size_t kChunksOfTable = 512 * kPage / kChunk;
constexpr std::size_t kTables = kChunks / kChunksOfTable;

// A page of each table, so many at once.
constexpr std::size_t kAtOnce = 16;
constexpr std::size_t kPayload = kAtOnce * kPage;

using Pieces = std::vector<DmaMemory>;

class IgbLargeDomain : public OnDevice<SavedDriverContinuity, kOfDomain> {
 protected:
  [[nodiscard]] static PatternKey KeyOf(std::size_t piece) {
    return {.seed = 0xd0, .generation = static_cast<std::uint32_t>(piece)};
  }
  // Copies from one page that each of the tables maps.
  void ExpectReached(const GuardedMemory& destination, Iova to) {
    for (std::size_t table = 0; table < kTables; table += kAtOnce) {
      std::ranges::fill(destination.payload(), std::byte{0xdb});
      std::vector<DmaCopy> copies;
      for (std::size_t i = 0; i < kAtOnce; ++i) {
        copies.push_back({kDomain + ChunkOf(table + i) * kChunk, to + i * kPage, kPage});
      }
      ASSERT_OK(dma().Copy(copies));
      for (std::size_t i = 0; i < kAtOnce; ++i) {
        ASSERT_THAT(destination.payload().subspan(i * kPage, kPage),
                    HoldsPattern(KeyOf(ChunkOf(table + i) % kPieces)))
            << "by table " << table + i;
      }
      ExpectGuards(destination, "destination");
    }
  }
  // Of its first and its second chunk in turn.
  [[nodiscard]] static std::size_t ChunkOf(std::size_t table) {
    return table * kChunksOfTable + table % kChunksOfTable;
  }
  void ExpectTablesBack(std::size_t memory_before) {
    const Deadline deadline = DrivenDevice::Patience();
    while (TotalMemory() < memory_before + kTables * kPage && !deadline.Passed()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_GE(TotalMemory(), memory_before + kTables * kPage)
        << "the inherited page tables are not freed";
  }
};

struct LargeDomainRecord {
  std::array<std::uint64_t, kPieces> pieces;
  std::uint64_t region;
  GuardedRecord destination;
};

CONTINUITY_TEST(IgbLargeDomain, IsReachedBeforeAndAfterItIsAttached, LargeDomainRecord,
                "A device reads by each of the 512 page tables of a domain of 1 GiB in pages of "
                "4 KiB: by those of the previous kernel, and by those of this one")
ARM(IgbLargeDomain, IsReachedBeforeAndAfterItIsAttached) {
  ASSERT_OK_AND_ASSIGN(const DmaMemory region, StartInRegion());
  Pieces pieces;
  for (std::size_t piece = 0; piece < kPieces; ++piece) {
    ASSERT_OK_AND_ASSIGN(DmaMemory memory, MakeMemory(kChunk, PageKind::kBase));
    FillPattern(memory.bytes(), KeyOf(piece));
    ASSERT_OK_AND_ASSIGN(record.pieces.at(piece), Preserve(memory.fd()));
    pieces.push_back(std::move(memory));
  }
  for (std::size_t chunk = 0; chunk < kChunks; ++chunk) {
    ASSERT_OK(dma().MapAt(kDomain + chunk * kChunk, pieces.at(chunk % kPieces)));
  }
  ASSERT_OK_AND_ASSIGN(const GuardedMemory destination, MakeGuarded(kPayload));
  ASSERT_OK_AND_ASSIGN(const Iova to, dma().Map(destination.memory()));
  ASSERT_NO_FATAL_FAILURE(PreserveGuarded(destination, to, record.destination));
  ASSERT_NO_FATAL_FAILURE(ExpectReached(destination, record.destination.payload_iova()));
  ASSERT_OK_AND_ASSIGN(record.region, SaveDriver(region));
}
VERIFY(IgbLargeDomain, IsReachedBeforeAndAfterItIsAttached) {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kRetrieved));
  ASSERT_OK_AND_ASSIGN(const DmaMemory region, RetrieveMemory(record.region));
  Pieces pieces;
  for (const std::uint64_t piece : record.pieces) {
    ASSERT_OK_AND_ASSIGN(DmaMemory memory, RetrieveMemory(piece));
    pieces.push_back(std::move(memory));
  }
  ASSERT_OK_AND_ASSIGN(const GuardedMemory destination, RetrieveGuarded(record.destination));
  std::vector<KeptMapping> mappings{
      {.iova = kRegion, .memory = &region},
      {.iova = record.destination.iova, .memory = &destination.memory()}};
  for (std::size_t chunk = 0; chunk < kChunks; ++chunk) {
    mappings.push_back({.iova = kDomain + chunk * kChunk, .memory = &pieces.at(chunk % kPieces)});
  }
  carried().SetMappings(std::move(mappings));
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kBound));
  ASSERT_OK(dma().AttachIn(region, kRegion));
  const Iova to = record.destination.payload_iova();
  ASSERT_NO_FATAL_FAILURE(ExpectReached(destination, to));
  const std::size_t memory_before = TotalMemory();
  ASSERT_OK(vfio().AttachFilled());
  ExpectTablesBack(memory_before);
  ASSERT_NO_FATAL_FAILURE(ExpectReached(destination, to));
  EXPECT_OK(dma().Stop());
}

}  // namespace
}  // namespace carryover
