// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/disk_claim.h"

#include <fcntl.h>
#include <gmock/gmock.h>

#include <map>

#include "drivers/access/fake/fake_sysfs.h"
#include "drivers/access/fake/loop_device.h"
#include "drivers/access/unique_fd.h"

namespace carryover {
namespace {

using testing::HasSubstr;
using testing::Optional;

constexpr PciAddress kAddress{.domain = 0, .bus = 1, .device = 0, .function = 0};
constexpr PciId kId{.vendor = 0x1b36, .device = 0x0010};

class DiskClaimTest : public testing::Test {
 protected:
  DiskClaimTest() {
    tree_.AddFunction(kAddress, kId);
    tree_.Link("class/block/nvme0n1", tree_.AddObject(kAddress, "nvme/nvme0/nvme0n1"));
    tree_.WriteFile("devices/pci0000:00/0000:01:00.0/nvme/nvme0/nvme0n1/nvme0n1p1/partition", "1");
  }
  // The reason, if open(2) answers so for these nodes, as often as is said.
  std::optional<std::string> Why(std::map<std::string, int> busy) {
    const Claim claim = [busy](const std::filesystem::path& node) mutable {
      return busy[node.filename().string()]-- > 0 ? EBUSY : 0;
    };
    return WhyClaimed(tree_.sysfs(), kAddress, claim, "/nodes");
  }

  FakeSysfs tree_;
};

TEST_F(DiskClaimTest, LetsAFreeDiskGo) { EXPECT_EQ(Why({}), std::nullopt); }

TEST_F(DiskClaimTest, RefusesAClaimedDisk) {
  EXPECT_THAT(Why({{"nvme0n1", 100}}), Optional(HasSubstr("nvme0n1 is held exclusively")));
}

TEST_F(DiskClaimTest, NamesTheClaimedPartition) {
  EXPECT_THAT(Why({{"nvme0n1", 100}, {"nvme0n1p1", 100}}),
              Optional(HasSubstr("nvme0n1p1 is held exclusively")));
}

// Another carryover-selftests that looks at the same moment.
TEST_F(DiskClaimTest, PassesOverAClaimOfAMoment) { EXPECT_EQ(Why({{"nvme0n1", 2}}), std::nullopt); }

TEST_F(DiskClaimTest, AsksEveryDisk) {
  tree_.Link("class/block/nvme0n2", tree_.AddObject(kAddress, "nvme/nvme0/nvme0n2"));
  EXPECT_THAT(Why({{"nvme0n2", 100}}), Optional(HasSubstr("nvme0n2 is held exclusively")));
}

TEST(ClaimOnceTest, FindsAHolder) {
  const auto loop = LoopDevice::Create();
  if (!loop) GTEST_SKIP() << loop.error().ToString();
  const auto open_with = [&](int flags) {
    return UniqueFd(open(loop->node().c_str(), O_RDONLY | O_CLOEXEC | flags));
  };
  const UniqueFd reader = open_with(0);
  EXPECT_EQ(ClaimOnce(loop->node()), 0);
  EXPECT_EQ(ClaimOnce(loop->node()), 0) << "a claim ends at once";
  const UniqueFd holder = open_with(O_EXCL);
  ASSERT_TRUE(holder.valid());
  EXPECT_EQ(ClaimOnce(loop->node()), EBUSY);
}

TEST_F(DiskClaimTest, PassesOverANodeThatIsNotThere) {
  EXPECT_EQ(WhyClaimed(tree_.sysfs(), kAddress, ClaimOnce, tree_.root() / "dev"), std::nullopt);
}

}  // namespace
}  // namespace carryover
