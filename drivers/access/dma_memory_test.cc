// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/dma_memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <limits>
#include <string>

namespace carryover {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

std::uintptr_t Number(const std::byte* address) {
  return reinterpret_cast<std::uintptr_t>(address);
}

// Resident pages of the mapping, by mincore(2).
std::size_t ResidentPages(const DmaMemory& memory) {
  std::vector<unsigned char> pages(memory.mapped_size() / DmaMemory::kBasePage);
  if (mincore(memory.address(), memory.mapped_size(), pages.data()) != 0) return 0;
  return static_cast<std::size_t>(
      std::ranges::count_if(pages, [](unsigned char page) { return (page & 1) != 0; }));
}

TEST(DmaMemoryTest, IsZeroedAndSharedWithItsFile) {
  auto memory = DmaMemory::Create(3 * DmaMemory::kBasePage + 5, PageKind::kBase, "test");
  ASSERT_TRUE(memory) << memory.error().ToString();
  EXPECT_EQ(memory->size(), 3 * DmaMemory::kBasePage + 5);
  EXPECT_EQ(memory->mapped_size(), 4 * DmaMemory::kBasePage);
  EXPECT_TRUE(std::ranges::all_of(memory->bytes(), [](std::byte b) { return b == std::byte{}; }));
  memory->bytes().back() = std::byte{0x5a};
  std::byte last{};
  ASSERT_EQ(pread(memory->fd(), &last, 1, static_cast<off_t>(memory->size() - 1)), 1);
  EXPECT_EQ(last, std::byte{0x5a});
}

// A retrieved memfd is mapped again, whoever made it.
TEST(DmaMemoryTest, MapsAnOpenFile) {
  auto memory = DmaMemory::Create(5 * kMiB, PageKind::kBase);
  ASSERT_TRUE(memory);
  memory->bytes()[4 * kMiB] = std::byte{7};
  auto again = DmaMemory::FromFd(UniqueFd(dup(memory->fd())));
  ASSERT_TRUE(again) << again.error().ToString();
  EXPECT_EQ(again->size(), 5 * kMiB);
  EXPECT_TRUE(again->writable());
  EXPECT_EQ(again->bytes()[4 * kMiB], std::byte{7});
}

TEST(DmaMemoryTest, MapsAFileSealedAgainstWritingForReading) {
  const UniqueFd fd(memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(ftruncate(fd.get(), 8192), 0);
  ASSERT_EQ(pwrite(fd.get(), "x", 1, 4096), 1);
  ASSERT_EQ(fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE), 0);
  auto memory = DmaMemory::FromFd(UniqueFd(dup(fd.get())));
  ASSERT_TRUE(memory) << memory.error().ToString();
  EXPECT_FALSE(memory->writable());
  EXPECT_EQ(memory->bytes()[4096], std::byte{'x'});
  EXPECT_TRUE(memory->Prefault(2));
}

// Huge pages, and IOVAs for them, need addresses that are multiples of their size.
TEST(DmaMemoryTest, AlignsLargeMemoryToHugePages) {
  for (int i = 0; i < 8; ++i) {
    auto memory = DmaMemory::Create(2 * kMiB + DmaMemory::kBasePage, PageKind::kBase);
    ASSERT_TRUE(memory);
    EXPECT_EQ(Number(memory->address()) % DmaMemory::kHugePage, 0);
  }
}

TEST(DmaMemoryTest, PrefaultsAllPagesAndKeepsTheirContent) {
  for (const std::size_t size : {DmaMemory::kBasePage, 2 * kMiB, 9 * kMiB + 4097}) {
    auto memory = DmaMemory::Create(size, PageKind::kBase);
    ASSERT_TRUE(memory);
    memory->bytes()[size / 2] = std::byte{9};
    EXPECT_LE(ResidentPages(*memory), 1);
    ASSERT_TRUE(memory->Prefault(3));
    EXPECT_EQ(ResidentPages(*memory), memory->mapped_size() / DmaMemory::kBasePage);
    EXPECT_EQ(memory->bytes()[size / 2], std::byte{9});
  }
}

TEST(DmaMemoryTest, MayBeEmpty) {
  auto memory = DmaMemory::Create(0, PageKind::kBase);
  ASSERT_TRUE(memory) << memory.error().ToString();
  EXPECT_TRUE(memory->bytes().empty());
  EXPECT_TRUE(memory->Prefault(2));
}

TEST(DmaMemoryTest, FailsForAFileThatIsTooLarge) {
  const auto memory = DmaMemory::Create(static_cast<std::size_t>(std::numeric_limits<off_t>::max()),
                                        PageKind::kBase);
  ASSERT_FALSE(memory);
  EXPECT_FALSE(memory.error().message.empty());
}

TEST(DmaMemoryTest, MovesWithoutUnmappingTwice) {
  auto memory = DmaMemory::Create(8192, PageKind::kBase);
  ASSERT_TRUE(memory);
  memory->bytes()[0] = std::byte{1};
  DmaMemory moved = std::move(*memory);
  EXPECT_EQ(moved.bytes()[0], std::byte{1});
  auto other = DmaMemory::Create(4096, PageKind::kBase);
  ASSERT_TRUE(other);
  moved = std::move(*other);
  EXPECT_EQ(moved.size(), 4096);
  EXPECT_EQ(moved.bytes()[0], std::byte{0});
}

// Asked for and given are two things: the answer comes from the kernel.
TEST(DmaMemoryTest, CountsHugePages) {
  auto base = DmaMemory::Create(4 * kMiB, PageKind::kBase);
  ASSERT_TRUE(base);
  ASSERT_TRUE(base->Prefault(1));
  EXPECT_EQ(base->HugeBytes(), 0);
  auto huge = DmaMemory::Create(4 * kMiB, PageKind::kHuge);
  ASSERT_TRUE(huge);
  ASSERT_TRUE(huge->Prefault(1));
  const auto bytes = huge->HugeBytes();
  ASSERT_TRUE(bytes) << bytes.error().ToString();
  if (*bytes == 0) GTEST_SKIP() << "this kernel gives no transparent huge pages for memfds";
  EXPECT_EQ(*bytes % DmaMemory::kHugePage, 0);
  EXPECT_LE(*bytes, 4 * kMiB);
}

TEST(DmaMemoryTest, UsesTheHugetlbPoolOrSaysHowToFillIt) {
  auto memory = DmaMemory::Create(100, PageKind::kHugetlb);
  if (memory) {
    EXPECT_EQ(memory->size(), DmaMemory::kHugePage);
    ASSERT_TRUE(memory->Prefault(1));
    EXPECT_EQ(memory->HugeBytes(), DmaMemory::kHugePage);
  } else if (memory.error().code == ENOMEM) {
    EXPECT_TRUE(memory.error().message.contains("nr_hugepages")) << memory.error().ToString();
  } else {
    GTEST_SKIP() << memory.error().ToString();
  }
}

TEST(PhysicalPagesTest, TellsEveryPageAndOnlyPresentOnes) {
  auto memory = DmaMemory::Create(4 * DmaMemory::kBasePage, PageKind::kBase);
  ASSERT_TRUE(memory);
  const auto absent = PhysicalPages(memory->address(), memory->size());
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code, EFAULT);
  ASSERT_TRUE(memory->Prefault(1));
  auto pages = PhysicalPages(memory->address() + 100, memory->size() - 100);
  if (!pages && pages.error().code == EPERM) GTEST_SKIP() << pages.error().ToString();
  ASSERT_TRUE(pages) << pages.error().ToString();
  ASSERT_EQ(pages->size(), 4);
  // Another mapping of the same file shows the same pages.
  auto again = DmaMemory::FromFd(UniqueFd(dup(memory->fd())));
  ASSERT_TRUE(again);
  ASSERT_TRUE(again->Prefault(1));
  EXPECT_EQ(PhysicalPages(again->address(), again->size()), *pages);
  std::ranges::sort(*pages);
  EXPECT_EQ(std::ranges::adjacent_find(*pages), pages->end());
}

}  // namespace
}  // namespace carryover
