// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/vfio_user/guest_memory.h"

#include <gmock/gmock.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "drivers/access/result_matchers.h"

namespace carryover::vfio_user {
namespace {

constexpr std::int64_t kPage = 4096;
constexpr std::int64_t kSize = 8 * kPage;

class MemoryOfGuest : public testing::Test {
 protected:
  MemoryOfGuest() : file_(memfd_create("guest", MFD_CLOEXEC)) {
    EXPECT_EQ(ftruncate(file_.get(), kSize), 0);
  }
  void Map(Iova iova, std::uint64_t offset, std::uint64_t size) {
    ASSERT_OK(memory_.Map({.offset = offset, .address = iova, .size = size}, file_));
  }
  // The offset in the file that is at this IOVA; -1 if nothing is.
  [[nodiscard]] std::int64_t OffsetAt(Iova iova) const {
    constexpr std::byte kMark{0xa5};
    if (!memory_.Write(iova, {&kMark, 1})) return -1;
    std::array<std::byte, kSize> bytes{};
    EXPECT_EQ(pread(file_.get(), bytes.data(), bytes.size(), 0), ssize_t{kSize});
    constexpr std::byte kNothing{};
    EXPECT_TRUE(memory_.Write(iova, {&kNothing, 1}));
    return std::ranges::find(bytes, kMark) - bytes.begin();
  }

  UniqueFd file_;
  GuestMemory memory_;
};

TEST_F(MemoryOfGuest, IsWhereItWasMapped) {
  Map(0x100000, 2 * kPage, 2 * kPage);
  EXPECT_EQ(OffsetAt(0x100000), 2 * kPage);
  EXPECT_EQ(OffsetAt(0x100000 + 2 * kPage - 1), 4 * kPage - 1);
  EXPECT_EQ(OffsetAt(0x100000 - 1), -1);
  EXPECT_EQ(OffsetAt(0x100000 + 2 * kPage), -1);
  std::array<std::byte, kPage + 1> bytes{};
  EXPECT_TRUE(memory_.Read(0x100000 + kPage - 1, bytes));
  EXPECT_FALSE(memory_.Read(0x100000 + kPage, bytes));
}

TEST_F(MemoryOfGuest, IsUnmappedByRange) {
  Map(0x100000, 0, 4 * kPage);
  Map(0x200000, 4 * kPage, kPage);
  memory_.Unmap(0x100000 + kPage, kPage);
  EXPECT_EQ(OffsetAt(0x100000), 0);
  EXPECT_EQ(OffsetAt(0x100000 + kPage), -1);
  EXPECT_EQ(OffsetAt(0x100000 + 2 * kPage), 2 * kPage);
  EXPECT_EQ(OffsetAt(0x200000), 4 * kPage);
  memory_.Unmap(0, 0x1000000);
  EXPECT_EQ(OffsetAt(0x100000), -1);
  EXPECT_EQ(OffsetAt(0x200000), -1);
  memory_.Unmap(0, 0x1000000);
}

TEST_F(MemoryOfGuest, IsReplacedByALaterMapping) {
  Map(0x100000, 0, 4 * kPage);
  Map(0x100000 + kPage, 6 * kPage, kPage);
  EXPECT_EQ(OffsetAt(0x100000), 0);
  EXPECT_EQ(OffsetAt(0x100000 + kPage), 6 * kPage);
  EXPECT_EQ(OffsetAt(0x100000 + 2 * kPage), 2 * kPage);
}

TEST_F(MemoryOfGuest, IsWithinItsFile) {
  EXPECT_THAT(memory_.Map({.offset = 7 * kPage, .address = 0, .size = 2 * kPage}, file_),
              FailsWith(ERANGE));
  EXPECT_THAT(memory_.Map({.offset = 9 * kPage, .address = 0, .size = 0}, file_),
              FailsWith(ERANGE));
  EXPECT_THAT(memory_.Map({.size = kPage}, UniqueFd()), FailsWith(EBADF));
}

}  // namespace
}  // namespace carryover::vfio_user
