// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/conformance/arena.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <stdexcept>
#include <utility>

namespace carryover {
namespace {

// A test without memory is over.
DmaMemory Allocate(std::size_t size) {
  auto memory = DmaMemory::Create(size, PageKind::kBase, "conformance");
  if (!memory) throw std::runtime_error(memory.error().ToString());
  return std::move(*memory);
}

std::size_t WholePages(std::size_t size) {
  return (size + Arena::kPage - 1) / Arena::kPage * Arena::kPage;
}

}  // namespace

Arena::Arena(std::size_t region_size, std::size_t pool_size)
    : region_size_(region_size),
      pool_size_(WholePages(pool_size)),
      memory_(Allocate(pool_offset() + pool_size_ + kPage)),
      expected_(memory_.size()) {
  std::ranges::fill(region().memory, std::byte{0xff});
  Refill(1);
}

void Arena::MapIn(FakeIommu& iommu, Iova base) const {
  const auto mapped = iommu.Map(base, memory_.address(), memory_.size(), DmaAccess::kReadWrite);
  ASSERT_TRUE(mapped) << mapped.error().ToString();
}

DmaRegion Arena::region() const {
  return {.memory = memory_.bytes().subspan(kPage, region_size_), .iova = kBase + kPage};
}

std::span<std::byte> Arena::pool() const {
  return memory_.bytes().subspan(pool_offset(), pool_size_);
}

void Arena::Refill(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  for (std::size_t i = 0; i < memory_.size(); i += sizeof(std::uint64_t)) {
    if (i >= kPage && i < kPage + region_size_) continue;
    const std::uint64_t value = random();
    std::memcpy(memory_.address() + i, &value, sizeof(value));
  }
  std::ranges::copy(memory_.bytes(), expected_.begin());
}

void Arena::Fill(std::size_t offset, std::size_t length, std::byte value) {
  std::ranges::fill(pool().subspan(offset, length), value);
  std::ranges::fill(std::span(expected_).subspan(pool_offset() + offset, length), value);
}

void Arena::Expect(const DmaCopy& copy) {
  std::memmove(expected_.data() + (copy.destination - kBase),
               expected_.data() + (copy.source - kBase), copy.length);
}

void Arena::Forgive(const DmaCopy& copy) {
  const std::size_t begin = copy.destination - kBase;
  const std::size_t length = std::min(copy.length, memory_.size() - begin);
  std::memcpy(expected_.data() + begin, memory_.address() + begin, length);
}

testing::AssertionResult Arena::Matches() const {
  const auto check = [this](std::size_t begin, std::size_t size) -> std::ptrdiff_t {
    const auto is = memory_.bytes().subspan(begin, size);
    const auto should = std::span(expected_).subspan(begin, size);
    if (std::memcmp(is.data(), should.data(), size) == 0) return -1;
    return static_cast<std::ptrdiff_t>(begin) +
           (std::ranges::mismatch(is, should).in1 - is.begin());
  };
  const std::size_t behind = kPage + region_size_;
  auto wrong = check(0, kPage);
  if (wrong < 0) wrong = check(behind, memory_.size() - behind);
  if (wrong < 0) return testing::AssertionSuccess();
  const auto at = static_cast<std::size_t>(wrong);
  return testing::AssertionFailure()
         << "byte at IOVA 0x" << std::hex << kBase + at << " is 0x"
         << std::to_integer<unsigned>(memory_.bytes()[at]) << ", should be 0x"
         << std::to_integer<unsigned>(expected_[at]) << std::dec << " (pool offset "
         << static_cast<std::ptrdiff_t>(at) - static_cast<std::ptrdiff_t>(pool_offset()) << " of "
         << pool_size_ << ")";
}

}  // namespace carryover
