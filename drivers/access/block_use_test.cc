// SPDX-License-Identifier: GPL-2.0-only
#include <gmock/gmock.h>

#include "drivers/access/fake/fake_sysfs.h"
#include "drivers/access/machine_use.h"

namespace carryover {
namespace {

using testing::UnorderedElementsAre;

class BlockUseTest : public testing::Test {
 protected:
  void Mounts(std::string_view text) { tree_.WriteFile("proc/self/mountinfo", text); }
  void Block(const std::string& name) { tree_.WriteFile("class/block/" + name + "/dev", ""); }
  Result<std::vector<Use>> Read() {
    return BlockDevicesInUse(tree_.sysfs(), tree_.root() / "proc");
  }

  FakeSysfs tree_;
};

// A file system on one device is found by its number, whatever name it was mounted by.
TEST_F(BlockUseTest, FindsMountsByDeviceNumber) {
  tree_.Link("dev/block/254:1", "../../devices/virtual/block/vda/vda1");
  Mounts(
      "22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
      "23 22 0:5 / /proc rw - proc proc rw\n");
  const auto used = Read();
  ASSERT_TRUE(used);
  EXPECT_THAT(*used, UnorderedElementsAre(Use{"vda1", "is mounted on /"}));
}

// btrfs has a device number of its own, and stands on all its devices.
TEST_F(BlockUseTest, FindsAllDevicesOfABtrfs) {
  Block("nvme0n1p2");
  Block("nvme1n1");
  tree_.WriteFile("fs/btrfs/5e3f/devices/nvme0n1p2/x", "");
  tree_.WriteFile("fs/btrfs/5e3f/devices/nvme1n1/x", "");
  tree_.WriteFile("fs/btrfs/features/x", "");
  Mounts("30 1 0:27 /home /home rw - btrfs /dev/nvme0n1p2 rw\n");
  const auto used = Read();
  ASSERT_TRUE(used);
  EXPECT_THAT(*used, UnorderedElementsAre(Use{"nvme0n1p2", "is mounted on /home"},
                                          Use{"nvme1n1", "is mounted on /home"}));
}

// Other file systems whose number is no device's. The node that it was mounted by may be a link.
TEST_F(BlockUseTest, FindsTheDeviceThatWasNamed) {
  Block("dm-0");
  Block("sda");
  tree_.WriteFile("dev/dm-0", "");
  tree_.Link("dev/mapper/vault", tree_.root() / "dev/dm-0");
  const std::string vault = (tree_.root() / "dev/mapper/vault").string();
  Mounts("30 1 0:27 / /home rw - bcachefs " + vault + " rw\n" +
         "31 1 0:28 / /srv rw - bcachefs /dev/sda rw\n");
  const auto used = Read();
  ASSERT_TRUE(used);
  EXPECT_THAT(*used, UnorderedElementsAre(Use{"dm-0", "is mounted on /home"},
                                          Use{"sda", "is mounted on /srv"}));
}

TEST_F(BlockUseTest, FindsEveryMountAndEverySwap) {
  tree_.Link("dev/block/254:1", "../../devices/virtual/block/vda/vda1");
  tree_.Link("dev/block/254:16", "../../devices/virtual/block/vdb");
  Block("sdb3");
  Block("sdc");
  Mounts(
      "22 1 254:1 / / rw - ext4 /dev/vda1 rw\n"
      "23 22 254:16 / /home rw shared:7 master:2 - ext4 /dev/vdb rw\n");
  tree_.WriteFile("proc/swaps",
                  "Filename\t\t\t\tType\n/dev/sdb3                               partition\t1\n"
                  "/dev/sdc\tpartition\t1\n");
  const auto used = Read();
  ASSERT_TRUE(used);
  EXPECT_THAT(
      *used, UnorderedElementsAre(Use{"vda1", "is mounted on /"}, Use{"vdb", "is mounted on /home"},
                                  Use{"sdb3", "is used as swap"}, Use{"sdc", "is used as swap"}));
}

TEST_F(BlockUseTest, FindsSwap) {
  Block("sdb3");
  Mounts("");
  tree_.WriteFile(
      "proc/swaps",
      "Filename Type Size Used Priority\n/dev/sdb3 partition 1 0 -2\n/swapfile file 1 0 "
      "-3\n");
  const auto used = Read();
  ASSERT_TRUE(used);
  EXPECT_THAT(*used, UnorderedElementsAre(Use{"sdb3", "is used as swap"}));
}

// What cannot be read must not pass for "nothing is mounted".
TEST_F(BlockUseTest, FailsWithoutMountTable) {
  const auto used = Read();
  ASSERT_FALSE(used);
  EXPECT_EQ(used.error().code, ENOENT);
}

}  // namespace
}  // namespace carryover
