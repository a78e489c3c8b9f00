// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/deadline.h"

#include <gtest/gtest.h>

namespace carryover {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

TEST(DeadlineTest, PassesAndNeverHasTimeLeftThen) {
  const auto passed = Deadline::After(seconds(-1));
  EXPECT_TRUE(passed.Passed());
  EXPECT_EQ(passed.Remaining().count(), 0);
  const auto coming = Deadline::After(hours(1));
  EXPECT_FALSE(coming.Passed());
  EXPECT_GT(coming.Remaining(), seconds(3500));
}

TEST(DeadlineTest, ScalesDurations) {
  Deadline::SetScale(10);
  const auto deadline = Deadline::After(hours(1));
  Deadline::SetScale(1);
  EXPECT_GT(deadline.Remaining(), hours(9));
}

}  // namespace
}  // namespace carryover
