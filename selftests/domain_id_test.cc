// SPDX-License-Identifier: GPL-2.0-only
// The claim `mapping`: an inherited domain keeps its id, and nobody else has it. The device file of
// this test is its own. Source: drivers/iommu/intel/inherited.c of the reference kernel
// (ci/kernel/patches).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "drivers/access/result_matchers.h"
#include "fixtures/device_file/file_continuity.h"
#include "fixtures/dma/on_device.h"
#include "fixtures/vtd_contexts/vtd_contexts.h"

namespace carryover {
namespace {

constexpr std::size_t kPayload = 4096;

constexpr ContinuityTraits kOfIds{.claim = Claim::kMapping, .driver = "dmac", .device = 19};

class DomainIds : public OnDevice<FileContinuity, kOfIds> {
 protected:
  // Also those of other tests' devices, and of those that the kernel's own drivers have.
  void ExpectOneTableEach() {
    ASSERT_OK_AND_ASSIGN(const auto contexts, ReadVtdContexts(sysfs().root()));
    EXPECT_THAT(SharedDomainIds(contexts), testing::IsEmpty());
    const std::string own = address().ToString();
    EXPECT_TRUE(std::ranges::any_of(
        contexts, [&](const VtdContext& context) { return own.ends_with(context.function); }))
        << own << " has no context entry";
  }
};

CONTINUITY_TEST(DomainIds, StandForOnePageTableEach, GuardedRecord,
                "Of the domain ids that are inherited, and of those that the incoming kernel gives "
                "out beside them, none stands for two page tables: before the device is attached, "
                "and after it")
ARM(DomainIds, StandForOnePageTableEach) {
  const auto shown = ReadVtdContexts(sysfs().root());
  if (!shown && shown.error().code == ENOENT) GTEST_SKIP() << shown.error().ToString();
  ASSERT_OK(shown);
  ASSERT_OK(dma().device().StopShared());
  ASSERT_OK_AND_ASSIGN(const GuardedMemory memory, MakeGuarded(kPayload));
  ASSERT_OK_AND_ASSIGN(const Iova iova, dma().Map(memory.memory()));
  ASSERT_NO_FATAL_FAILURE(PreserveGuarded(memory, iova, record));
  Keep(dma().TakeMappings());
}
VERIFY(DomainIds, StandForOnePageTableEach) {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kRetrieved));
  ASSERT_OK_AND_ASSIGN(const GuardedMemory memory, RetrieveGuarded(record));
  carried().SetMappings({{.iova = record.iova, .memory = &memory.memory()}});
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kBound));
  ASSERT_NO_FATAL_FAILURE(ExpectOneTableEach());
  ASSERT_OK(vfio().AttachFilled());
  ExpectOneTableEach();
}

}  // namespace
}  // namespace carryover
