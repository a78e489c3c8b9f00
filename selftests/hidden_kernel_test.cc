// SPDX-License-Identifier: GPL-2.0-only
// Tests that make the kernel complain for real, so that it is proved that the runner hears it.
// They are selected only with --hidden.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <iterator>
#include <string_view>

#include "drivers/access/result_matchers.h"
#include "drivers/access/unique_fd.h"
#include "fixtures/continuity/continuity_test.h"
#include "fixtures/kernel_log/expected_message.h"

namespace carryover {
namespace {

// drivers/misc/lkdtm (CONFIG_LKDTM), which does on request what kernels must not do.
constexpr const char* kProvoke = "/sys/kernel/debug/provoke-crash/DIRECT";

void WriteTo(const char* path, std::string_view text) {
  const UniqueFd file(open(path, O_WRONLY | O_CLOEXEC));
  if (!file.valid() && errno == ENOENT) GTEST_SKIP() << path << " is not there";
  ASSERT_TRUE(file.valid()) << path;
  ASSERT_EQ(write(file.get(), text.data(), text.size()), std::ssize(text)) << path;
}

TEST(HiddenKernel, Warns) { WriteTo(kProvoke, "WARNING"); }

TEST(HiddenKernel, SaysNothing) {}

TEST(HiddenKernel, WarnsAsDeclared) {
  EXPECT_KERNEL_MESSAGE(R"(WARNING: .*at lkdtm_WARNING_MESSAGE\+)");
  WriteTo(kProvoke, "WARNING_MESSAGE");
}

TEST(HiddenKernel, DeclaresWhatDoesNotCome) {
  EXPECT_KERNEL_MESSAGE("the kernel says this on no occasion");
}

// The kernel lets itself be tainted (kernel/sysctl.c), and says nothing.
TEST(HiddenKernel, IsTaintedInSilence) { WriteTo("/proc/sys/kernel/tainted", "16384"); }

class HiddenKernelContinuity : public ContinuityTest {
 public:
  static constexpr ContinuityTraits kTraits{
      .claim = Claim::kMemory, .driver = {}, .time_limit = std::chrono::seconds(5)};
};

struct NothingNoted {};

CONTINUITY_TEST(HiddenKernelContinuity, WarnsInVerify, NothingNoted, "The incoming kernel warns")
ARM(HiddenKernelContinuity, WarnsInVerify) {}
VERIFY(HiddenKernelContinuity, WarnsInVerify) { WriteTo(kProvoke, "WARNING"); }

}  // namespace
}  // namespace carryover
