// SPDX-License-Identifier: GPL-2.0-only
// The claim `mapping`: an inherited domain keeps its id, and nobody else has it. The device file of
// this test is its own. Source: drivers/iommu/intel/inherited.c of the reference kernel
// (ci/kernel/patches).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <map>

#include "drivers/access/result_matchers.h"
#include "fixtures/device_file/file_continuity.h"
#include "fixtures/dma/on_device.h"
#include "fixtures/kernel_log/kernel_log.h"
#include "fixtures/vtd_contexts/vtd_contexts.h"

namespace carryover {
namespace {

constexpr std::size_t kPayload = 4096;

// Domain ids are given out from the lowest on, to functions in the order of the buses: of those
// behind this one each would be given its id, if that were free.
constexpr ContinuityTraits kOfIds{.claim = Claim::kMapping, .driver = "dmac", .device = 5};

class DomainIds : public OnDevice<FileContinuity, kOfIds> {
 protected:
  [[nodiscard]] bool IsOwn(const VtdContext& context) const {
    return address().ToString().ends_with(context.function);
  }
  [[nodiscard]] static Result<std::vector<std::string>> BootMessages() {
    auto log = KernelLog::Open(KernelLog::From::kBoot);
    if (!log) return std::unexpected(log.error());
    const auto messages = log->ReadAll();
    if (!messages) return std::unexpected(messages.error());
    std::vector<std::string> texts;
    std::ranges::transform(*messages, std::back_inserter(texts), &KernelMessage::text);
    return texts;
  }
  static void ExpectNobodySharesAnId(std::span<const VtdContext> inherited) {
    std::map<std::pair<std::string, std::uint16_t>, std::string> first;
    for (const VtdContext& context : inherited) {
      const auto [other, is_new] =
          first.try_emplace({context.unit, context.domain}, context.function);
      EXPECT_TRUE(is_new) << "domain id " << context.domain << " is inherited for both "
                          << other->second << " and " << context.function;
    }
  }
  // Also those of other tests' devices.
  void ExpectNobodyElseHas(std::span<const VtdContext> inherited,
                           std::span<const VtdContext> shown) {
    for (const VtdContext& context : inherited) {
      const auto other = std::ranges::find_if(shown, [&](const VtdContext& one) {
        return one.unit == context.unit && one.domain == context.domain;
      });
      EXPECT_EQ(other, shown.end()) << "domain id " << context.domain << ", inherited for "
                                    << context.function << ", is given to " << other->function;
    }
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
  ASSERT_OK_AND_ASSIGN(const auto early, ReadVtdContexts(sysfs().root()));
  ASSERT_OK_AND_ASSIGN(const auto messages, BootMessages());
  const auto lost = std::ranges::find_if(
      messages, [](const std::string& message) { return message.contains("loses its mappings"); });
  ASSERT_EQ(lost, messages.end()) << *lost;
  const auto inherited = InheritedContexts(messages, early);
  ASSERT_FALSE(inherited.empty())
      << "the kernel claims `mapping`, and its log does not say that it has inherited a domain";
  // Each device of these tests has an iommufd of its own.
  ExpectNobodySharesAnId(inherited);
  EXPECT_TRUE(std::ranges::any_of(inherited, [&](const auto& one) { return IsOwn(one); }));
  ExpectNobodyElseHas(inherited, early);
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kRetrieved));
  ASSERT_OK_AND_ASSIGN(const GuardedMemory memory, RetrieveGuarded(record));
  carried().SetMappings({{.iova = record.iova, .memory = &memory.memory()}});
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kInUse));
  ASSERT_OK_AND_ASSIGN(const auto late, ReadVtdContexts(sysfs().root()));
  EXPECT_THAT(SharedDomainIds(late), testing::IsEmpty());
  EXPECT_TRUE(std::ranges::any_of(late, [&](const auto& one) { return IsOwn(one); }));
}

}  // namespace
}  // namespace carryover
