// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/iova_allocator.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

namespace carryover {
namespace {

constexpr Iova kEnd = std::numeric_limits<Iova>::max();
constexpr std::size_t kPage = 4096;
constexpr std::size_t kHuge = std::size_t{2} << 20;

int CodeOf(const Result<Iova>& result) { return result ? 0 : result.error().code; }

TEST(IovaAllocatorTest, NeverHandsOutZero) {
  IovaAllocator allocator({{0, 4 * kPage - 1}});
  EXPECT_EQ(allocator.Allocate(kPage), kPage);
  EXPECT_EQ(allocator.Allocate(2 * kPage), 2 * kPage);
  EXPECT_EQ(CodeOf(allocator.Allocate(kPage)), ENOSPC);
}

// Nothing is handed out across the gap between two ranges, however small it is.
TEST(IovaAllocatorTest, HonoursReservedRanges) {
  IovaAllocator allocator({{kPage, 3 * kPage - 1}, {4 * kPage, 8 * kPage - 1}});
  EXPECT_EQ(allocator.Allocate(3 * kPage), 4 * kPage);
  EXPECT_EQ(allocator.Allocate(2 * kPage), kPage);
  EXPECT_EQ(allocator.Allocate(kPage), 7 * kPage);
  EXPECT_EQ(CodeOf(allocator.Allocate(kPage)), ENOSPC);
}

TEST(IovaAllocatorTest, Aligns) {
  IovaAllocator allocator({{kPage, 4 * kHuge - 1}});
  EXPECT_EQ(allocator.Allocate(kPage, kHuge), kHuge);
  EXPECT_EQ(allocator.Allocate(kPage), kPage) << "what alignment skipped is still free";
  EXPECT_EQ(allocator.Allocate(kHuge, kHuge), 2 * kHuge);
  EXPECT_EQ(CodeOf(allocator.Allocate(2 * kHuge, kHuge)), ENOSPC);
}

TEST(IovaAllocatorTest, RefusesNonsense) {
  IovaAllocator allocator({{0, kEnd}});
  EXPECT_EQ(CodeOf(allocator.Allocate(0)), EINVAL);
  EXPECT_EQ(CodeOf(allocator.Allocate(kPage, 3 * kPage)), EINVAL);
  EXPECT_EQ(CodeOf(allocator.Allocate(kPage, 512)), EINVAL);
}

// The last byte of the address space is usable, and arithmetic does not wrap there.
TEST(IovaAllocatorTest, WorksUpToTheEndOfTheAddressSpace) {
  const Iova last_page = kEnd - (kPage - 1);
  IovaAllocator allocator({{last_page - kPage, kEnd}});
  EXPECT_EQ(CodeOf(allocator.Allocate(kPage, kHuge)), ENOSPC);
  EXPECT_EQ(CodeOf(allocator.Allocate(3 * kPage)), ENOSPC);
  EXPECT_EQ(allocator.Allocate(2 * kPage), last_page - kPage);
  EXPECT_EQ(CodeOf(allocator.Allocate(kPage)), ENOSPC);
  allocator.Free(last_page, kPage);
  EXPECT_EQ(allocator.Allocate(kPage), last_page);
  allocator.Free(last_page - kPage, 2 * kPage);
  EXPECT_TRUE(allocator.Reserve(last_page, kPage));
  EXPECT_FALSE(allocator.Reserve(last_page, 2 * kPage)) << "it would wrap";
  EXPECT_EQ(allocator.Allocate(kPage), last_page - kPage);
}

TEST(IovaAllocatorTest, ReservesAGivenRange) {
  IovaAllocator allocator({{0, 16 * kPage - 1}});
  ASSERT_TRUE(allocator.Reserve(4 * kPage, 2 * kPage));
  EXPECT_EQ(allocator.Reserve(5 * kPage, kPage).error().code, EEXIST);
  EXPECT_EQ(allocator.Reserve(3 * kPage, 2 * kPage).error().code, EEXIST);
  EXPECT_EQ(allocator.Reserve(15 * kPage, 2 * kPage).error().code, EEXIST);
  EXPECT_EQ(allocator.Allocate(4 * kPage), 6 * kPage);
  EXPECT_EQ(allocator.Allocate(3 * kPage), kPage);
}

// What was given back joins its neighbours on both sides.
TEST(IovaAllocatorTest, JoinsFreedRanges) {
  IovaAllocator allocator({{kPage, 5 * kPage - 1}});
  for (Iova page = 1; page < 5; ++page) ASSERT_EQ(allocator.Allocate(kPage), page * kPage);
  allocator.Free(kPage, kPage);
  allocator.Free(3 * kPage, kPage);
  EXPECT_EQ(CodeOf(allocator.Allocate(2 * kPage)), ENOSPC);
  allocator.Free(2 * kPage, kPage);
  EXPECT_EQ(allocator.Allocate(3 * kPage), kPage);
}

// Whatever the order, no two live ranges overlap, and all comes back.
TEST(IovaAllocatorTest, KeepsRangesApartUnderRandomUse) {
  IovaAllocator allocator({{0, 64 * kPage - 1}, {80 * kPage, 256 * kPage - 1}});
  std::mt19937 random(20261124);  // NOLINT(bugprone-random-generator-seed): to be repeatable
  std::map<Iova, std::size_t> live;
  for (int step = 0; step < 5000; ++step) {
    if (random() % 2 == 0 || live.empty()) {
      const std::size_t size = (random() % 16 + 1) * kPage;
      const std::size_t alignment = kPage << (random() % 4);
      const auto iova = allocator.Allocate(size, alignment);
      if (!iova) continue;
      ASSERT_EQ(*iova % alignment, 0);
      const auto next = live.lower_bound(*iova);
      ASSERT_TRUE(next == live.end() || *iova + size <= next->first);
      ASSERT_TRUE(next == live.begin() ||
                  std::prev(next)->first + std::prev(next)->second <= *iova);
      live.emplace(*iova, size);
    } else {
      const auto victim = std::next(live.begin(), static_cast<long>(random() % live.size()));
      allocator.Free(victim->first, victim->second);
      live.erase(victim);
    }
  }
  for (const auto& [iova, size] : live) allocator.Free(iova, size);
  EXPECT_EQ(allocator.Allocate(63 * kPage), kPage);
  EXPECT_EQ(allocator.Allocate(176 * kPage), 80 * kPage);
}

}  // namespace
}  // namespace carryover
