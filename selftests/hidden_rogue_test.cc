// SPDX-License-Identifier: GPL-2.0-only
// A rogue device (carryover-model --device rogue) writes on when bus master is off, into whatever
// is where it writes: that the suite, and the kernel's own checks, catch it is proved on a real
// kernel, which turns translation off at a kexec. Selected only with --hidden.
#include <gtest/gtest.h>

#include "drivers/access/result_matchers.h"
#include "drivers/dmac/registers.h"
#include "fixtures/dma/dma_continuity.h"
#include "fixtures/memory_pressure/memory_pressure.h"

namespace carryover {
namespace {

using dmac::Faults;

constexpr std::size_t kPage = 4096;
constexpr std::size_t kVictim = 5;  // of a memory's pages

class HiddenRogue : public DmaContinuity {
 public:
  static constexpr ContinuityTraits kTraits{.claim = Claim::kMemory, .driver = "dmac"};

 protected:
  HiddenRogue() : DmaContinuity("dmac") {}

  // The device writes to that address as soon as it can: a physical one is an IOVA that is not
  // mapped, until translation is off.
  void WriteTo(std::uint64_t address) {
    ASSERT_OK_AND_ASSIGN(Mmio* const bar, dma().device().pci().Bar(0));
    bar->Write64(dmac::FaultAddress::kOffset, address);
    bar->Write32(Faults::kOffset, Faults::kRogue);
  }
};

CONTINUITY_TEST(HiddenRogue, WritesIntoPreservedMemory, PatternRecord,
                "A page of preserved memory is a canary, where a rogue writes during the kexec")
ARM(HiddenRogue, WritesIntoPreservedMemory) {
  ASSERT_OK_AND_ASSIGN(const DmaMemory memory, MakeMemory(16 * kPage, PageKind::kBase));
  ASSERT_NO_FATAL_FAILURE(PreservePattern(memory, record));
  WriteTo(record.first_pages.at(kVictim) * kPage);
}
VERIFY(HiddenRogue, WritesIntoPreservedMemory) { VerifyPattern(record); }

CONTINUITY_TEST(HiddenRogue, WritesIntoFreeMemory, NothingRecord,
                "A rogue writes where the incoming kernel has nothing; it finds that if it looks "
                "at what it has freed before it gives that to somebody (page_poison=1)")
ARM(HiddenRogue, WritesIntoFreeMemory) {
  ASSERT_OK_AND_ASSIGN(const DmaMemory memory, MakeMemory(16 * kPage, PageKind::kBase));
  // While it is mapped it is pinned, and so not in the areas in which the next kernel begins: the
  // kernel gives those only to what it can move.
  ASSERT_OK(dma().Map(memory));
  PatternRecord where{};
  RecordPhysicalPages(memory, where);
  WriteTo(where.first_pages.at(kVictim) * kPage);
}
VERIFY(HiddenRogue, WritesIntoFreeMemory) {
  constexpr double kShare = 0.9;
  ASSERT_OK(MemoryPressure::Begin(kShare));
}

// Of a dmac that QEMU keeps from nothing but what the IOMMU refuses, as the kernel leaves bus
// mastering on. The model's log says what became of each write.
CONTINUITY_TEST(HiddenRogue, WritesWhereItsMappingsWere, PatternRecord,
                "A device that is not preserved goes on writing to preserved memory, by mappings "
                "that it had")
ARM(HiddenRogue, WritesWhereItsMappingsWere) {
  ASSERT_OK_AND_ASSIGN(DmaMemory memory, MakeMemory(16 * kPage, PageKind::kBase));
  ASSERT_NO_FATAL_FAILURE(PreservePattern(memory, record));
  ASSERT_OK_AND_ASSIGN(const Iova iova, dma().Map(memory));
  WriteTo(iova + kVictim * kPage);
  Keep(std::move(memory));
  Keep(dma().TakeMappings());
}
VERIFY(HiddenRogue, WritesWhereItsMappingsWere) {
  ASSERT_OK_AND_ASSIGN(Mmio* const bar, dma().device().pci().Bar(0));
  bar->Write32(Faults::kOffset, 0);
}

}  // namespace
}  // namespace carryover
