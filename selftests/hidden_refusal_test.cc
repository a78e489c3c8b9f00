// SPDX-License-Identifier: GPL-2.0-only
// What a refused kexec leaves behind is seen in the next kernel: what stays preserved is memory
// that it lacks. To be run alone, as all that others preserve is lacking, too. Selected only with
// --hidden.
#include <gtest/gtest.h>

#include "drivers/access/result_matchers.h"
#include "fixtures/device_file/expect_refused.h"
#include "fixtures/device_file/refused_kexec.h"
#include "fixtures/dma/dma_continuity.h"
#include "fixtures/dma/on_device.h"
#include "fixtures/memory/total_memory.h"

namespace carryover {
namespace {

// QEMU tells a device's model of each page that is mapped, and igb has none.
constexpr ContinuityTraits kOfDomain{.claim = Claim::kStream, .driver = "igb", .device = 2};

class HiddenRefusal : public OnDevice<DmaContinuity, kOfDomain> {};

struct TotalMemoryRecord {
  std::uint64_t bytes;
};

// The same memory, mapped that often side by side: of no 2 MiB can the kernel make one page.
constexpr std::size_t kChunk = std::size_t{1} << 20;
constexpr std::size_t kChunks = 1024;
constexpr Iova kDomain = Iova{16} << 30;

// A table of the lowest level is a page, and has 512 entries.
constexpr std::size_t kPage = DmaMemory::kBasePage;
constexpr std::size_t kTables = kChunks * kChunk / kPage / 512 * kPage;

CONTINUITY_TEST(HiddenRefusal, LeavesNoTablesPreserved, TotalMemoryRecord,
                "The page tables of a domain of 1 GiB in pages of 4 KiB, which was frozen for a "
                "kexec that was refused, are not preserved any more by the next one")
ARM(HiddenRefusal, LeavesNoTablesPreserved) {
  ASSERT_OK(dma().device().StopShared());
  ASSERT_OK_AND_ASSIGN(const DmaMemory memory, MakeMemory(kChunk, PageKind::kBase));
  for (std::size_t chunk = 0; chunk < kChunks; ++chunk) {
    ASSERT_OK(dma().MapAt(kDomain + chunk * kChunk, memory));
  }
  ASSERT_OK_AND_ASSIGN(const LiveUpdateSession session, CreateSession("large-domain"));
  ASSERT_OK(session.Preserve(memory.fd(), 1));
  ASSERT_OK(PreserveDeviceOf(dma().device(), session, 2));
  ASSERT_NO_FATAL_FAILURE(ExpectRefusedBy("dmac"));
  record.bytes = TotalMemory();
}
VERIFY(HiddenRefusal, LeavesNoTablesPreserved) {
  RecordProperty("memory_less_by", std::to_string(record.bytes - TotalMemory()));
  // What the kernel itself hands over, and how it was loaded, is a matter of some pages.
  EXPECT_GT(TotalMemory() + kTables / 2, record.bytes);
}

}  // namespace
}  // namespace carryover
