// SPDX-License-Identifier: GPL-2.0-only
// All memory that the device under test can reach, and what it should contain.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "drivers/access/dma_memory.h"
#include "drivers/access/fake/fake_iommu.h"
#include "drivers/driver.h"

namespace carryover {

// One mapping at consecutive IOVAs: guard page, region, guard page, pool, guard page. The copies
// are made in the pool. What lies before and after it is not mapped.
class Arena {
 public:
  static constexpr std::size_t kPage = 4096;
  // Both halves of it matter, and it is not what the CPU uses.
  static constexpr Iova kBase = 0x12'3456'7000;

  // Pool and guards get random bytes; the region is filled with 0xff.
  Arena(std::size_t region_size, std::size_t pool_size);

  void MapIn(FakeIommu& iommu, Iova base = kBase) const;

  [[nodiscard]] DmaRegion region() const;
  [[nodiscard]] std::span<std::byte> pool() const;
  // The IOVA of a byte of the pool.
  [[nodiscard]] Iova At(std::size_t offset) const { return kBase + pool_offset() + offset; }
  [[nodiscard]] Iova end() const { return kBase + memory_.size(); }

  // Gives every byte of pool and guards a new value.
  void Refill(std::uint64_t seed);
  // Gives bytes of the pool this value.
  void Fill(std::size_t offset, std::size_t length, std::byte value);

  // The pool shall have this copy's result. Sources are read as they should be now.
  void Expect(const DmaCopy& copy);
  // The copy may be done in part: its destination shall be anything.
  void Forgive(const DmaCopy& copy);
  // True if all but the region is as it should be.
  [[nodiscard]] testing::AssertionResult Matches() const;

 private:
  [[nodiscard]] std::size_t pool_offset() const { return kPage + region_size_ + kPage; }

  std::size_t region_size_;
  std::size_t pool_size_;
  DmaMemory memory_;
  std::vector<std::byte> expected_;
};

}  // namespace carryover
