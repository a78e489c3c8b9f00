// SPDX-License-Identifier: GPL-2.0-only
#include "selftests/program/handover_owner.h"

#include <gmock/gmock.h>

#include "drivers/access/fake/fake_sysfs.h"

namespace carryover {
namespace {

class HandoverOwnerTest : public testing::Test {
 protected:
  HandoverOwnerTest() { Boot("one", "quiet " + OwnerWord("ann@desk") + " carryover.nonce=1"); }
  void Boot(const std::string& boot_id, const std::string& command_line) {
    tree_.WriteFile("proc/sys/kernel/random/boot_id", boot_id + "\n");
    tree_.WriteFile("proc/cmdline", command_line + "\n");
  }

  FakeSysfs tree_;  // a folder that is removed in the end
  HandoverRoots roots_{.run = tree_.root() / "run", .proc = tree_.root() / "proc"};
};

TEST(OwnerWordTest, IsOneWordThatIsReadAgain) {
  for (const std::string owner :
       {"ann@desk", "ann from 10.0.2.2", "100% \"ann\" \\ \t$x=y", "Änne", "", "a%"}) {
    const std::string word = OwnerWord(owner);
    EXPECT_EQ(word.find_first_of(" \t\"$\\"), std::string::npos) << word;
    EXPECT_EQ(OwnerOf("console=ttyS0 " + word + " quiet"), owner);
  }
}

TEST(OwnerWordTest, IsNotEndless) { EXPECT_LT(OwnerWord(std::string(5000, 'x')).size(), 300U); }

TEST(OwnerOfTest, IsNobodyWithoutTheWord) {
  EXPECT_EQ(OwnerOf("console=ttyS0 carryover.nonce=1 xcarryover.owner=ann"), std::nullopt);
}

TEST(OwnerOfTest, IsTheLastWord) {
  EXPECT_EQ(OwnerOf("carryover.owner=ann carryover.owner=bob"), "bob");
}

TEST_F(HandoverOwnerTest, HasTheKernelUntilItIsVerified) {
  EXPECT_EQ(OwnerOfUnverified(roots_), "ann@desk");
  ASSERT_TRUE(MarkVerified(roots_));
  EXPECT_EQ(OwnerOfUnverified(roots_), std::nullopt);
}

// The next kexec's kernel is another boot, even where /run is a folder on a disk.
TEST_F(HandoverOwnerTest, HasTheNextKernelAgain) {
  ASSERT_TRUE(MarkVerified(roots_));
  Boot("two", OwnerWord("ann@desk"));
  EXPECT_EQ(OwnerOfUnverified(roots_), "ann@desk");
}

TEST_F(HandoverOwnerTest, IsNobodyOnAColdBoot) {
  Boot("two", "quiet");
  EXPECT_EQ(OwnerOfUnverified(roots_), std::nullopt);
}

TEST_F(HandoverOwnerTest, SaysIfTheMarkCannotBeWritten) {
  tree_.WriteFile("run", "");
  EXPECT_FALSE(MarkVerified(roots_));
}

}  // namespace
}  // namespace carryover
