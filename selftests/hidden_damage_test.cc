// SPDX-License-Identifier: GPL-2.0-only
// Memory that is damaged on purpose, so that what the runner tells of damage is proved on a real
// kernel. Selected only with --hidden.
#include <gtest/gtest.h>

#include <cstring>

#include "drivers/access/result_matchers.h"
#include "fixtures/memory/memory_continuity.h"

namespace carryover {
namespace {

constexpr std::size_t kPage = 4096;

class HiddenDamage : public MemoryContinuity {};

CONTINUITY_TEST(HiddenDamage, LosesPages, PatternRecord,
                "Two pages are zeroed after they were preserved, and a bit of a third is flipped")
ARM(HiddenDamage, LosesPages) {
  ASSERT_OK_AND_ASSIGN(const DmaMemory memory, MakeMemory(16 * kPage, PageKind::kBase));
  ASSERT_NO_FATAL_FAILURE(PreservePattern(memory, record));
  std::memset(memory.bytes().subspan(2 * kPage).data(), 0, 2 * kPage);
  memory.bytes()[7 * kPage + 100] ^= std::byte{1};
}
VERIFY(HiddenDamage, LosesPages) { VerifyPattern(record); }

}  // namespace
}  // namespace carryover
