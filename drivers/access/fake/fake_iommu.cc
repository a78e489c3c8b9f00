// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/fake/fake_iommu.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <iterator>

namespace carryover {

Result<void> FakeIommu::Map(Iova iova, void* address, std::size_t size, DmaAccess access) {
  const auto host = reinterpret_cast<std::uintptr_t>(address);
  if (size == 0 || (iova | host | size) % PageSize() != 0) {
    return Fail(EINVAL, fmt::format("map {} bytes at IOVA {:#x}: not page aligned", size, iova));
  }
  const Iova last = iova + (size - 1);
  const bool usable = std::ranges::any_of(*UsableRanges(), [=](const IovaRange& range) {
    return range.first <= iova && iova <= last && last <= range.last;
  });
  if (!usable) return Fail(EINVAL, fmt::format("IOVA {:#x} of {} bytes is reserved", iova, size));
  const auto next = mappings_.lower_bound(iova);
  const bool hits_next = next != mappings_.end() && next->first - iova < size;
  const bool hits_previous =
      next != mappings_.begin() && iova - std::prev(next)->first < std::prev(next)->second.size;
  if (hits_next || hits_previous) return Fail(EEXIST, fmt::format("IOVA {:#x} is mapped", iova));
  mappings_.emplace(iova, Mapping{static_cast<std::byte*>(address), size, access});
  return {};
}

Result<void> FakeIommu::Unmap(Iova iova, std::size_t size) {
  const auto found = mappings_.find(iova);
  if (found == mappings_.end() || found->second.size != size) {
    return Fail(ENOENT, fmt::format("no mapping of {} bytes at IOVA {:#x}", size, iova));
  }
  mappings_.erase(found);
  return {};
}

Result<std::vector<IovaRange>> FakeIommu::UsableRanges() const {
  // As VT-d: the MSI window is cut out.
  return std::vector<IovaRange>{{0, 0xfedfffff}, {0xfef00000, (Iova{1} << 39) - 1}};
}

template <typename Transfer>
bool FakeIommu::Access(Iova iova, std::size_t size, DmaAccess refused, Transfer transfer) {
  for (const bool check_only : {true, false}) {
    std::size_t done = 0;
    while (done < size) {
      const auto next = mappings_.upper_bound(iova + done);
      if (next == mappings_.begin()) break;
      const auto& [start, mapping] = *std::prev(next);
      const std::size_t inside = static_cast<std::size_t>(iova + done - start);
      if (inside >= mapping.size || mapping.access == refused) break;
      const std::size_t length = std::min(size - done, mapping.size - inside);
      if (!check_only) transfer(mapping.address + inside, done, length);
      done += length;
    }
    if (done < size) {
      ++faults_;
      return false;
    }
  }
  return true;
}

bool FakeIommu::DeviceRead(Iova iova, std::span<std::byte> to) {
  return Access(iova, to.size(), DmaAccess::kWrite,
                [to](const std::byte* host, std::size_t offset, std::size_t length) {
                  std::memcpy(to.data() + offset, host, length);
                });
}

bool FakeIommu::DeviceWrite(Iova iova, std::span<const std::byte> from) {
  return Access(iova, from.size(), DmaAccess::kRead,
                [from](std::byte* host, std::size_t offset, std::size_t length) {
                  std::memcpy(host, from.data() + offset, length);
                });
}

}  // namespace carryover
