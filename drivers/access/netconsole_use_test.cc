// SPDX-License-Identifier: GPL-2.0-only
#include <gmock/gmock.h>

#include "drivers/access/fake/fake_sysfs.h"
#include "drivers/access/machine_use.h"

namespace carryover {
namespace {

using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::IsSupersetOf;
using testing::UnorderedElementsAre;

class NetconsoleUseTest : public testing::Test {
 protected:
  NetconsoleUseTest() { tree_.WriteFile("proc/consoles", "netcon0 -W- (E N)\n"); }
  void CommandLine(std::string_view text) { tree_.WriteFile("proc/cmdline", text); }
  void Interface(const std::string& name) { tree_.WriteFile("class/net/" + name + "/x", ""); }
  void Target(const std::string& name, const std::string& device, const std::string& enabled) {
    const std::string folder = "kernel/config/netconsole/" + name;
    tree_.WriteFile(folder + "/dev_name", device + "\n");
    tree_.WriteFile(folder + "/enabled", enabled + "\n");
  }
  Result<std::vector<Use>> Read() {
    return NetconsoleInterfaces(tree_.sysfs(), tree_.root() / "proc");
  }

  FakeSysfs tree_;
};

TEST_F(NetconsoleUseTest, FindsEnabledTargetsOfConfigfs) {
  Target("mine", "eth1", "1");
  Target("off", "eth2", "0");
  const auto used = Read();
  ASSERT_TRUE(used) << used.error().ToString();
  EXPECT_THAT(*used, UnorderedElementsAre(Use{"eth1", "carries the kernel's netconsole"}));
}

TEST_F(NetconsoleUseTest, FindsTargetsOfTheCommandLine) {
  Interface("eth1");
  Interface("eth3");
  CommandLine("ro netconsole=+4444@10.0.0.1/eth1,9353@10.0.0.2/;@/eth3,@10.0.0.3/ quiet\n");
  const auto used = Read();
  ASSERT_TRUE(used) << used.error().ToString();
  EXPECT_THAT(*used, UnorderedElementsAre(Field(&Use::name, "eth1"), Field(&Use::name, "eth3")));
}

// netpoll's own default.
TEST_F(NetconsoleUseTest, IsEth0WithoutADevice) {
  Interface("eth0");
  CommandLine("netconsole.netconsole=@,@10.0.0.2/\n");
  const auto used = Read();
  ASSERT_TRUE(used) << used.error().ToString();
  EXPECT_THAT(*used, UnorderedElementsAre(Field(&Use::name, "eth0")));
}

TEST_F(NetconsoleUseTest, CountsAnInterfaceOnce) {
  CommandLine("netconsole=@/eth1,@10.0.0.2/\n");
  Target("cmdline0", "eth1", "1");
  const auto used = Read();
  ASSERT_TRUE(used) << used.error().ToString();
  EXPECT_THAT(*used, UnorderedElementsAre(Field(&Use::name, "eth1")));
}

// The module alone, without a target.
TEST_F(NetconsoleUseTest, IsNowhereIfConfigfsHasNoTarget) {
  tree_.WriteFile("kernel/config/netconsole/x", "");
  const auto used = Read();
  ASSERT_TRUE(used) << used.error().ToString();
  EXPECT_THAT(*used, IsEmpty());
}

// What cannot be told to be off may be on.
TEST_F(NetconsoleUseTest, CountsATargetOfUnknownState) {
  Target("mine", "eth1", "1");
  std::filesystem::remove(tree_.root() / "kernel/config/netconsole/mine/enabled");
  const auto used = Read();
  ASSERT_TRUE(used) << used.error().ToString();
  EXPECT_THAT(*used, UnorderedElementsAre(Field(&Use::name, "eth1")));
}

// Named by its hardware address, or renamed by udev since: only configfs tells which it is now.
TEST_F(NetconsoleUseTest, NeedsConfigfsForAnInterfaceOfAnotherName) {
  Interface("ens1");
  Interface("ens2");
  for (const std::string name : {"52:54:00:12:34:56", "eth1"}) {
    CommandLine("netconsole=@/ens2,@10.0.0.2/;@/" + name + ",@10.0.0.2/\n");
    const auto unknown = Read();
    ASSERT_FALSE(unknown) << name;
    EXPECT_EQ(unknown.error().code, ENODATA);
  }
  Target("cmdline0", "ens2", "1");
  Target("cmdline1", "ens1", "1");
  const auto used = Read();
  ASSERT_TRUE(used) << used.error().ToString();
  EXPECT_THAT(*used, IsSupersetOf({Field(&Use::name, "ens1"), Field(&Use::name, "ens2")}));
}

// By a parameter of the module, and without configfs, nothing tells the interface.
TEST_F(NetconsoleUseTest, FailsIfNothingTells) {
  const auto used = Read();
  ASSERT_FALSE(used);
  EXPECT_EQ(used.error().code, ENODATA);
  EXPECT_THAT(used.error().message, HasSubstr("mount configfs"));
}

TEST_F(NetconsoleUseTest, IsNotAskedForWithoutNetconsole) {
  tree_.WriteFile("proc/consoles", "ttyS0 -W- (EC a) 4:64\n");
  CommandLine("netconsole=@/eth1,@10.0.0.2/\n");
  const auto used = Read();
  ASSERT_TRUE(used) << used.error().ToString();
  EXPECT_THAT(*used, IsEmpty());
}

TEST_F(NetconsoleUseTest, FailsWithoutTheTable) {
  std::filesystem::remove(tree_.root() / "proc/consoles");
  EXPECT_FALSE(Read());
}

}  // namespace
}  // namespace carryover
