// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/bounded_write.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "drivers/access/fake/fake_sysfs.h"

namespace carryover {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(BoundedWriteTest, WritesTheValue) {
  FakeSysfs tree;
  tree.WriteFile("attribute", "a longer old value");
  ASSERT_TRUE(BoundedWrite(tree.root() / "attribute", "new", Deadline::After(seconds(5))));
  std::string text;
  std::getline(std::ifstream(tree.root() / "attribute"), text);
  EXPECT_EQ(text, "new");
}

TEST(BoundedWriteTest, GivesTheKernelsError) {
  const FakeSysfs tree;
  const auto missing = BoundedWrite(tree.root() / "missing", "x", Deadline::After(seconds(5)));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ENOENT);
  EXPECT_TRUE(missing.error().message.contains("missing"));
  const auto full = BoundedWrite("/dev/full", "x", Deadline::After(seconds(5)));
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, ENOSPC);
}

// A FIFO without a reader blocks its writer, as unbind does while a VFIO file is open.
TEST(BoundedWriteTest, GivesUpAtTheDeadline) {
  const FakeSysfs tree;
  const auto fifo = tree.root() / "fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const auto start = Deadline::Clock::now();
  const auto written = BoundedWrite(fifo, "x", Deadline::After(milliseconds(50)));
  const auto took = Deadline::Clock::now() - start;
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ETIMEDOUT);
  EXPECT_GE(took, milliseconds(50));
  EXPECT_LT(took, seconds(5));
}

}  // namespace
}  // namespace carryover
