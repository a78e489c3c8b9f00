// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/event_wait.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <thread>

namespace carryover {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(EventSetTest, CountsAndClears) {
  auto events = EventSet::Create(2);
  ASSERT_TRUE(events) << events.error().ToString();
  ASSERT_EQ(eventfd_write(events->fds()[1], 3), 0);
  EXPECT_EQ(events->Wait(1, Deadline::After(seconds(5))), 3);
  EXPECT_EQ(events->Take(1), 0);
  EXPECT_EQ(events->Take(0), 0);
}

TEST(EventSetTest, WakesWhenSignalled) {
  auto events = EventSet::Create(1);
  ASSERT_TRUE(events);
  const std::jthread device([fd = events->fds()[0]] {
    std::this_thread::sleep_for(milliseconds(20));
    (void)eventfd_write(fd, 1);
  });
  EXPECT_EQ(events->Wait(0, Deadline::After(seconds(5))), 1);
}

// The event of another vector does not end the wait; and the set is as usable afterwards.
TEST(EventSetTest, TimesOutAndGoesOn) {
  auto events = EventSet::Create(2);
  ASSERT_TRUE(events);
  ASSERT_EQ(eventfd_write(events->fds()[1], 1), 0);
  for (int round = 0; round < 8; ++round) {  // more often than the ring has entries
    const auto start = Deadline::Clock::now();
    const auto waited = events->Wait(0, Deadline::After(milliseconds(10)));
    const auto took = Deadline::Clock::now() - start;
    ASSERT_FALSE(waited);
    EXPECT_EQ(waited.error().code, ETIMEDOUT);
    EXPECT_GE(took, milliseconds(10));
    EXPECT_LT(took, seconds(5));
  }
  EXPECT_EQ(events->Wait(1, Deadline::After(seconds(5))), 1);
}

TEST(EventSetTest, ReturnsWhatCameBeforeAPassedDeadline) {
  auto events = EventSet::Create(1);
  ASSERT_TRUE(events);
  ASSERT_EQ(eventfd_write(events->fds()[0], 1), 0);
  EXPECT_EQ(events->Wait(0, Deadline::After(seconds(0))), 1);
  const auto nothing = events->Wait(0, Deadline::After(seconds(0)));
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().code, ETIMEDOUT);
}

TEST(EventSetTest, SurvivesAMove) {
  auto events = EventSet::Create(1);
  ASSERT_TRUE(events);
  EventSet moved = std::move(*events);
  ASSERT_EQ(eventfd_write(moved.fds()[0], 1), 0);
  EXPECT_EQ(moved.Wait(0, Deadline::After(seconds(5))), 1);
}

}  // namespace
}  // namespace carryover
