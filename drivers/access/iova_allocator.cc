// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/iova_allocator.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace carryover {

IovaAllocator::IovaAllocator(const std::vector<IovaRange>& usable) {
  constexpr Iova kLowest = 4096;
  for (const IovaRange& range : usable) {
    const Iova first = std::max(range.first, kLowest);
    if (first <= range.last) free_.emplace(first, range.last);
  }
}

Result<Iova> IovaAllocator::Allocate(std::size_t size, std::size_t alignment) {
  if (size == 0 || alignment < 4096 || !std::has_single_bit(alignment)) {
    return Fail(EINVAL, fmt::format("IOVA of {} bytes aligned to {}", size, alignment));
  }
  for (auto range = free_.begin(); range != free_.end(); ++range) {
    const auto [first, last] = *range;
    const Iova aligned = (first + alignment - 1) & ~(static_cast<Iova>(alignment) - 1);
    // Differences, not sums: a range may end at 2^64 - 1.
    if (aligned < first || aligned > last || last - aligned < size - 1) continue;
    Take(range, aligned, aligned + (size - 1));
    return aligned;
  }
  return Fail(ENOSPC, fmt::format("no free IOVA of {} bytes aligned to {}", size, alignment));
}

Result<void> IovaAllocator::Reserve(Iova iova, std::size_t size) {
  if (size == 0 || iova + (size - 1) < iova) {
    return Fail(EINVAL, fmt::format("IOVA range {:#x} of {} bytes", iova, size));
  }
  auto range = free_.upper_bound(iova);
  if (range == free_.begin()) return Fail(EEXIST, fmt::format("IOVA {:#x} is not free", iova));
  --range;
  if (range->second < iova || range->second - iova < size - 1) {
    return Fail(EEXIST, fmt::format("IOVA {:#x} of {} bytes is not free", iova, size));
  }
  Take(range, iova, iova + (size - 1));
  return {};
}

void IovaAllocator::Take(std::map<Iova, Iova>::iterator range, Iova first, Iova last) {
  const auto [free_first, free_last] = *range;
  free_.erase(range);
  if (free_first < first) free_.emplace(free_first, first - 1);
  if (last < free_last) free_.emplace(last + 1, free_last);
}

void IovaAllocator::Free(Iova iova, std::size_t size) {
  Iova first = iova;
  Iova last = iova + (size - 1);
  auto next = free_.upper_bound(first);
  if (next != free_.end() && last + 1 == next->first) {
    last = next->second;
    next = free_.erase(next);
  }
  if (next != free_.begin()) {
    const auto previous = std::prev(next);
    if (previous->second + 1 == first) {
      first = previous->first;
      free_.erase(previous);
    }
  }
  free_.emplace(first, last);
}

}  // namespace carryover
