// SPDX-License-Identifier: GPL-2.0-only
// The claim `memory`: a preserved memfd keeps every byte, at the same physical place. No device is
// needed.
#include "fixtures/memory/memory_continuity.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "drivers/access/result_matchers.h"

namespace carryover {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kKiB = 1024;
constexpr std::size_t kMiB = 1024 * kKiB;

// Sizes. One test a size, so that a verdict names the size at which memory is lost.

#define SIZE_IS_KEPT(Name, bytes, kind)                                                       \
  CONTINUITY_TEST(MemoryContinuity, Name, PatternRecord, #bytes " of memory keep every byte") \
  ARM(MemoryContinuity, Name) { ArmPattern(bytes, kind, record); }                            \
  VERIFY(MemoryContinuity, Name) { VerifyPattern(record); }

SIZE_IS_KEPT(OnePage, kPage, PageKind::kBase)
SIZE_IS_KEPT(TwoPages, 2 * kPage, PageKind::kBase)
SIZE_IS_KEPT(SixtyFourKiB, 64 * kKiB, PageKind::kBase)
SIZE_IS_KEPT(OneMiBAndAPage, kMiB + kPage, PageKind::kBase)
SIZE_IS_KEPT(TwoMiB, 2 * kMiB, PageKind::kBase)
SIZE_IS_KEPT(SixteenMiB, 16 * kMiB, PageKind::kBase)
SIZE_IS_KEPT(SixtyFourMiB, 64 * kMiB, PageKind::kBase)
SIZE_IS_KEPT(TwoHundredFiftySixMiB, 256 * kMiB, PageKind::kHuge)
SIZE_IS_KEPT(OneByte, 1, PageKind::kBase)
SIZE_IS_KEPT(OddLength, 3 * kPage + 1234, PageKind::kBase)

CONTINUITY_TEST(MemoryContinuity, EmptyMemfd, TokenRecord, "A memfd of size 0 comes back, empty")
ARM(MemoryContinuity, EmptyMemfd) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd memory, MakeMemfd(0));
  ASSERT_OK_AND_ASSIGN(record.token, Preserve(memory.get()));
}
VERIFY(MemoryContinuity, EmptyMemfd) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd memory, Retrieve(record.token));
  EXPECT_EQ(SizeOf(memory), 0);
}

// Behind the end of an odd-sized file, the rest of its last page reads as zeros.
CONTINUITY_TEST(MemoryContinuity, TailOfLastPageIsZero, TokenRecord,
                "The last page is zero behind the end of the file")
ARM(MemoryContinuity, TailOfLastPageIsZero) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd memory, MakeMemfd(100));
  ASSERT_EQ(pwrite(memory.get(), "carryover", 9, 91), 9);
  ASSERT_OK_AND_ASSIGN(record.token, Preserve(memory.get()));
}
VERIFY(MemoryContinuity, TailOfLastPageIsZero) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd memory, Retrieve(record.token));
  ASSERT_EQ(SizeOf(memory), 100);
  ASSERT_EQ(ftruncate(memory.get(), kPage), 0);
  std::array<char, kPage> bytes{};
  ASSERT_EQ(pread(memory.get(), bytes.data(), bytes.size(), 0), bytes.size());
  EXPECT_EQ(std::string_view(bytes.data() + 91, 9), "carryover");
  EXPECT_THAT(std::string_view(bytes.data() + 100, kPage - 100), ::testing::Each('\0'));
}

// Preserving fills holes with zeroed pages (Documentation in mm/memfd_luo.c).
CONTINUITY_TEST(MemoryContinuity, HolesReadAsZero, HoleRecord,
                "A memfd with holes: data is kept, holes read as zero")
ARM(MemoryContinuity, HolesReadAsZero) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd memory, MakeMemfd(64 * kPage));
  record.pages = 64;
  for (std::uint32_t page = 0; page < record.pages; page += 5) {
    WriteWord(memory, page * kPage + 8, 0xc0ffee00 + page);
  }
  ASSERT_OK_AND_ASSIGN(record.token, Preserve(memory.get()));
}
VERIFY(MemoryContinuity, HolesReadAsZero) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd memory, Retrieve(record.token));
  for (std::uint32_t page = 0; page < record.pages; ++page) {
    EXPECT_EQ(ReadWord(memory, page * kPage + 8), page % 5 == 0 ? 0xc0ffee00 + page : 0);
    EXPECT_EQ(ReadWord(memory, page * kPage + 2048), 0U) << "page " << page;
  }
}

CONTINUITY_TEST(MemoryContinuity, LargerThanWhatWasTouched, TokenRecord,
                "Of a 32 MiB memfd only one word was written: it is kept, the rest is zero")
ARM(MemoryContinuity, LargerThanWhatWasTouched) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd memory, MakeMemfd(32 * kMiB));
  WriteWord(memory, 17 * kMiB, 0x5eed);
  ASSERT_OK_AND_ASSIGN(record.token, Preserve(memory.get()));
}
VERIFY(MemoryContinuity, LargerThanWhatWasTouched) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd memory, Retrieve(record.token));
  ASSERT_EQ(SizeOf(memory), 32 * kMiB);
  EXPECT_EQ(ReadWord(memory, 17 * kMiB), 0x5eedU);
  EXPECT_EQ(CountNonZeroBytes(memory, 32 * kMiB), 2U);
}

// shmem_fallocate() gives pages that are not up to date: whatever they held before is in them, and
// preserving has to zero them (memfd_luo_preserve_folios()).
CONTINUITY_TEST(MemoryContinuity, AllocatedPagesThatNobodyWroteAreZero, TokenRecord,
                "Pages that fallocate() reserved and nobody wrote read as zero, once carried over")
ARM(MemoryContinuity, AllocatedPagesThatNobodyWroteAreZero) {
  constexpr std::size_t kSize = 64 * kPage;
  {
    // Used pages for the allocator to give out again.
    ASSERT_OK_AND_ASSIGN(const DmaMemory used, MakeMemory(kSize, PageKind::kBase));
    std::ranges::fill(used.bytes(), std::byte{0xff});
  }
  ASSERT_OK_AND_ASSIGN(const UniqueFd memory, MakeMemfd(kSize));
  ASSERT_EQ(fallocate(memory.get(), 0, 0, kSize), 0);
  WriteWord(memory, 5 * kPage + 8, 0x5eed);
  ASSERT_OK_AND_ASSIGN(record.token, Preserve(memory.get()));
}
VERIFY(MemoryContinuity, AllocatedPagesThatNobodyWroteAreZero) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd memory, Retrieve(record.token));
  ASSERT_EQ(SizeOf(memory), 64 * kPage);
  EXPECT_EQ(ReadWord(memory, 5 * kPage + 8), 0x5eedU);
  EXPECT_EQ(CountNonZeroBytes(memory, 64 * kPage), 2U);
}

CONTINUITY_TEST(MemoryContinuity, TransparentHugePages, PatternRecord,
                "Memory in transparent huge pages keeps every byte, at the same place")
ARM(MemoryContinuity, TransparentHugePages) { ArmPattern(8 * kMiB, PageKind::kHuge, record); }
VERIFY(MemoryContinuity, TransparentHugePages) {
  VerifyPattern(record);
  VerifyPhysicalPages(record);
}

CONTINUITY_TEST(MemoryContinuity, SamePhysicalPages, PatternRecord,
                "Every page is where it was (pagemap before and after)")
ARM(MemoryContinuity, SamePhysicalPages) { ArmPattern(256 * kPage, PageKind::kBase, record); }
VERIFY(MemoryContinuity, SamePhysicalPages) { VerifyPhysicalPages(record); }

// The bytes are fixed by the jump, not by preserve.
CONTINUITY_TEST(MemoryContinuity, WrittenAfterPreserve, PatternRecord,
                "Bytes written after preserve are carried over")
ARM(MemoryContinuity, WrittenAfterPreserve) {
  ASSERT_OK_AND_ASSIGN(const DmaMemory memory, MakeMemory(96 * kPage, PageKind::kBase));
  record.key = NewKey();
  record.size = memory.size();
  ASSERT_OK_AND_ASSIGN(record.token, Preserve(memory.fd()));
  FillPattern(memory.bytes(), record.key);
}
VERIFY(MemoryContinuity, WrittenAfterPreserve) { VerifyPattern(record); }

CONTINUITY_TEST(MemoryContinuity, OwnerClosedIt, PatternRecord,
                "Memory whose last descriptor and mapping are gone before the kexec is kept")
ARM(MemoryContinuity, OwnerClosedIt) {
  ArmPattern(16 * kPage, PageKind::kBase, record);  // closes and unmaps on return
}
VERIFY(MemoryContinuity, OwnerClosedIt) { VerifyPattern(record); }

CONTINUITY_TEST(MemoryContinuity, OwnerKeepsItMapped, PatternRecord,
                "Memory that is open and mapped at the jump is kept")
ARM(MemoryContinuity, OwnerKeepsItMapped) {
  ASSERT_OK_AND_ASSIGN(DmaMemory memory, MakeMemory(16 * kPage, PageKind::kBase));
  ASSERT_NO_FATAL_FAILURE(PreservePattern(memory, record));
  Keep(std::move(memory));
}
VERIFY(MemoryContinuity, OwnerKeepsItMapped) { VerifyPattern(record); }

// io_uring's registered buffers are pinned for as long as the ring lives (io_uring_register(2)).
CONTINUITY_TEST(MemoryContinuity, PinnedByIoUring, PatternRecord,
                "Memory that is a registered buffer of an io_uring at the jump is kept")
ARM(MemoryContinuity, PinnedByIoUring) {
  ASSERT_OK_AND_ASSIGN(DmaMemory memory, MakeMemory(64 * kPage, PageKind::kBase));
  io_uring_params params{};
  UniqueFd ring(static_cast<int>(syscall(SYS_io_uring_setup, 4U, &params)));
  ASSERT_TRUE(ring.valid()) << strerrordesc_np(errno);
  const iovec buffer{memory.address(), memory.size()};
  ASSERT_EQ(syscall(SYS_io_uring_register, ring.get(), IORING_REGISTER_BUFFERS, &buffer, 1), 0)
      << strerrordesc_np(errno);
  ASSERT_NO_FATAL_FAILURE(PreservePattern(memory, record));
  Keep(std::move(memory));
  Keep(std::move(ring));
}
VERIFY(MemoryContinuity, PinnedByIoUring) {
  ASSERT_NO_FATAL_FAILURE(VerifyPattern(record));
  VerifyPhysicalPages(record);
}

CONTINUITY_TEST(MemoryContinuity, OwnerProcessDied, PatternRecord,
                "Memory of a process that died after preserving is kept by the session's holder")
ARM(MemoryContinuity, OwnerProcessDied) {
  ASSERT_NO_FATAL_FAILURE(ArmPatternInChildProcess(16 * kPage, record));
}
VERIFY(MemoryContinuity, OwnerProcessDied) { VerifyPattern(record); }

CONTINUITY_TEST(MemoryContinuity, UnlinkedTmpfsFile, PatternRecord,
                "An unlinked tmpfs file is preserved as a memfd is")
ARM(MemoryContinuity, UnlinkedTmpfsFile) {
  UniqueFd file(open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!file.valid()) GTEST_SKIP() << "no tmpfs on /dev/shm: " << strerrordesc_np(errno);
  ASSERT_EQ(ftruncate(file.get(), 8 * kPage), 0);
  ASSERT_OK_AND_ASSIGN(const DmaMemory memory, DmaMemory::FromFd(std::move(file)));
  PreservePattern(memory, record);
}
VERIFY(MemoryContinuity, UnlinkedTmpfsFile) { VerifyPattern(record); }

CONTINUITY_TEST(MemoryContinuity, ReadOnlyDescriptor, PatternRecord,
                "Preserved through a read-only descriptor; retrieved read-write, as documented")
ARM(MemoryContinuity, ReadOnlyDescriptor) {
  ASSERT_OK_AND_ASSIGN(const DmaMemory memory, MakeMemory(8 * kPage, PageKind::kBase));
  record.key = NewKey();
  record.size = memory.size();
  FillPattern(memory.bytes(), record.key);
  const UniqueFd read_only(
      open(fmt::format("/proc/self/fd/{}", memory.fd()).c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(read_only.valid());
  ASSERT_OK_AND_ASSIGN(record.token, Preserve(read_only.get()));
}
VERIFY(MemoryContinuity, ReadOnlyDescriptor) {
  VerifyPattern(record);
  ASSERT_OK_AND_ASSIGN(const UniqueFd memory, Retrieve(record.token));
  EXPECT_EQ(fcntl(memory.get(), F_GETFL) & O_ACCMODE, O_RDWR);
}

struct SealRecord {
  std::uint64_t token;
  int seals;
};

CONTINUITY_TEST(MemoryContinuity, SealsAreKept, SealRecord,
                "A sealed memfd comes back with its seals, and they hold")
ARM(MemoryContinuity, SealsAreKept) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd memory, MakeMemfd(4 * kPage, MFD_ALLOW_SEALING));
  WriteWord(memory, 0, 0x5ea1ed);
  record.seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
  ASSERT_EQ(fcntl(memory.get(), F_ADD_SEALS, record.seals), 0);
  ASSERT_OK_AND_ASSIGN(record.token, Preserve(memory.get()));
}
VERIFY(MemoryContinuity, SealsAreKept) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd memory, Retrieve(record.token));
  EXPECT_EQ(fcntl(memory.get(), F_GET_SEALS) & record.seals, record.seals);
  EXPECT_EQ(ReadWord(memory, 0), 0x5ea1edU);
  EXPECT_EQ(pwrite(memory.get(), "x", 1, 0), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(ftruncate(memory.get(), 8 * kPage), -1);
  EXPECT_EQ(errno, EPERM);
}

CONTINUITY_TEST(MemoryContinuity, FutureWriteSealIsKept, SealRecord,
                "F_SEAL_FUTURE_WRITE comes back and holds")
ARM(MemoryContinuity, FutureWriteSealIsKept) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd memory, MakeMemfd(4 * kPage, MFD_ALLOW_SEALING));
  WriteWord(memory, kPage, 0xf07);
  record.seals = F_SEAL_FUTURE_WRITE;
  ASSERT_EQ(fcntl(memory.get(), F_ADD_SEALS, record.seals), 0);
  ASSERT_OK_AND_ASSIGN(record.token, Preserve(memory.get()));
}
VERIFY(MemoryContinuity, FutureWriteSealIsKept) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd memory, Retrieve(record.token));
  EXPECT_EQ(fcntl(memory.get(), F_GET_SEALS) & record.seals, record.seals);
  EXPECT_EQ(ReadWord(memory, kPage), 0xf07U);
  EXPECT_EQ(pwrite(memory.get(), "x", 1, 0), -1);
  EXPECT_EQ(errno, EPERM);
}

CONTINUITY_TEST(MemoryContinuity, FilePositionIsKept, TokenRecord,
                "The file offset is where it was at preserve")
ARM(MemoryContinuity, FilePositionIsKept) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd memory, MakeMemfd(2 * kPage));
  ASSERT_EQ(lseek(memory.get(), 1234, SEEK_SET), 1234);
  ASSERT_OK_AND_ASSIGN(record.token, Preserve(memory.get()));
}
VERIFY(MemoryContinuity, FilePositionIsKept) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd memory, Retrieve(record.token));
  EXPECT_EQ(lseek(memory.get(), 0, SEEK_CUR), 1234);
}

// memfd_luo_freeze() takes the position again.
CONTINUITY_TEST(MemoryContinuity, FilePositionOfTheFreezeCounts, TokenRecord,
                "A file offset that moved after preserve is carried over as it was at the jump")
ARM(MemoryContinuity, FilePositionOfTheFreezeCounts) {
  ASSERT_OK_AND_ASSIGN(UniqueFd memory, MakeMemfd(2 * kPage));
  ASSERT_OK_AND_ASSIGN(record.token, Preserve(memory.get()));
  ASSERT_EQ(lseek(memory.get(), 4321, SEEK_SET), 4321);
  Keep(std::move(memory));
}
VERIFY(MemoryContinuity, FilePositionOfTheFreezeCounts) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd memory, Retrieve(record.token));
  EXPECT_EQ(lseek(memory.get(), 0, SEEK_CUR), 4321);
}

CONTINUITY_TEST(MemoryContinuity, RetrievedMemoryIsOrdinary, PatternRecord,
                "Retrieved memory can be written, grown, shrunk and punched again")
ARM(MemoryContinuity, RetrievedMemoryIsOrdinary) { ArmPattern(8 * kPage, PageKind::kBase, record); }
VERIFY(MemoryContinuity, RetrievedMemoryIsOrdinary) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd memory, Retrieve(record.token));
  WriteWord(memory, 0, 1);
  EXPECT_EQ(ReadWord(memory, 0), 1U);
  EXPECT_EQ(fallocate(memory.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kPage), 0);
  EXPECT_EQ(ReadWord(memory, 0), 0U);
  EXPECT_EQ(ftruncate(memory.get(), 16 * kPage), 0);
  EXPECT_EQ(ReadWord(memory, 12 * kPage), 0U);
  EXPECT_EQ(ftruncate(memory.get(), kPage), 0);
}

}  // namespace
}  // namespace carryover
