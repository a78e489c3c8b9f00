// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/device_use.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cstdlib>

#include "drivers/access/fake/fake_sysfs.h"
#include "drivers/access/fake/loop_device.h"
#include "drivers/access/result_matchers.h"
#include "drivers/access/unique_fd.h"

namespace carryover {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::Field;
using testing::HasSubstr;
using testing::Optional;

constexpr PciAddress kTested{.domain = 0, .bus = 1, .device = 0, .function = 0};
constexpr PciAddress kUsed{.domain = 0, .bus = 2, .device = 0, .function = 0};
constexpr PciId kId{.vendor = 0x8086, .device = 0x10c9};

// $SSH_CONNECTION of this process, as long as it lives.
class SshConnection {
 public:
  // NOLINTBEGIN(concurrency-mt-unsafe): no test has threads here
  explicit SshConnection(const std::string& value) {
    if (const char* const before = getenv("SSH_CONNECTION")) before_ = before;
    setenv("SSH_CONNECTION", value.c_str(), 1);
  }
  ~SshConnection() {
    if (before_) {
      setenv("SSH_CONNECTION", before_->c_str(), 1);
    } else {
      unsetenv("SSH_CONNECTION");
    }
  }
  // NOLINTEND(concurrency-mt-unsafe)
  SshConnection(const SshConnection&) = delete;
  SshConnection& operator=(const SshConnection&) = delete;

 private:
  std::optional<std::string> before_;
};

class DeviceUseTest : public testing::Test {
 protected:
  DeviceUseTest() {
    tree_.AddFunction(kTested, kId, 5);
    tree_.AddFunction(kUsed, kId, 6);
  }
  void AddInterface(const PciAddress& address, const std::string& below, const std::string& name) {
    tree_.Link("class/net/" + name, tree_.AddObject(address, below + "net/" + name));
  }
  std::filesystem::path AddDisk(const PciAddress& address, const std::string& name) {
    const auto disk = tree_.AddObject(address, "nvme/nvme0/" + name);
    tree_.Link("class/block/" + name, disk);
    return disk;
  }
  std::optional<std::string> Why(const PciAddress& address) {
    return WhyInUse(tree_.sysfs(), address, use_);
  }

  FakeSysfs tree_;
  MachineUse use_;
};

TEST_F(DeviceUseTest, LetsAnUnusedDeviceGo) {
  AddInterface(kTested, "", "eth1");
  AddInterface(kUsed, "", "eth0");
  use_.interfaces = {{"eth0", "carries the default route"}};
  EXPECT_EQ(Why(kTested), std::nullopt);
  EXPECT_THAT(Why(kUsed), Optional(AllOf(HasSubstr("eth0"), HasSubstr("default route"))));
}

// A virtio interface is not directly below its PCI function.
TEST_F(DeviceUseTest, FollowsVirtio) {
  AddInterface(kUsed, "virtio0/", "ens3");
  use_.interfaces = {{"ens3", "carries the SSH connection"}};
  EXPECT_THAT(Why(kUsed), Optional(HasSubstr("SSH connection")));
  EXPECT_EQ(Why(kTested), std::nullopt);
}

// VLAN over bond over interface: each is virtual, and only the last has a function.
TEST_F(DeviceUseTest, FollowsBondsAndVlans) {
  AddInterface(kUsed, "", "eth0");
  const auto virtual_net = tree_.root() / "devices/virtual/net";
  tree_.Link("devices/virtual/net/bond0/lower_eth0", tree_.root() / "class/net/eth0");
  tree_.Link("class/net/bond0", virtual_net / "bond0");
  tree_.Link("devices/virtual/net/bond0.7/lower_bond0", virtual_net / "bond0");
  tree_.Link("class/net/bond0.7", virtual_net / "bond0.7");
  use_.interfaces = {{"bond0.7", "carries the default route"}};
  EXPECT_THAT(Why(kUsed), Optional(AllOf(HasSubstr("eth0"), HasSubstr("bond0.7"))));
  EXPECT_EQ(Why(kTested), std::nullopt);
}

TEST_F(DeviceUseTest, FollowsPartitions) {
  const auto disk = AddDisk(kUsed, "nvme0n1");
  tree_.AddObject(kUsed, "nvme/nvme0/nvme0n1/nvme0n1p1");
  tree_.Link("class/block/nvme0n1p1", disk / "nvme0n1p1");
  use_.block_devices = {{"nvme0n1p1", "is mounted on /"}};
  EXPECT_THAT(Why(kUsed), Optional(AllOf(HasSubstr("nvme0n1p1"), HasSubstr("mounted on /"))));
  EXPECT_EQ(Why(kTested), std::nullopt);
}

// LVM over RAID over a disk.
TEST_F(DeviceUseTest, FollowsDeviceMapperAndRaid) {
  AddDisk(kUsed, "nvme0n1");
  const auto virtual_block = tree_.root() / "devices/virtual/block";
  tree_.Link("devices/virtual/block/md0/slaves/nvme0n1", tree_.root() / "class/block/nvme0n1");
  tree_.Link("class/block/md0", virtual_block / "md0");
  tree_.Link("devices/virtual/block/dm-0/slaves/md0", virtual_block / "md0");
  tree_.Link("class/block/dm-0", virtual_block / "dm-0");
  use_.block_devices = {{"dm-0", "is used as swap"}};
  EXPECT_THAT(Why(kUsed), Optional(AllOf(HasSubstr("nvme0n1"), HasSubstr("swap"))));
  EXPECT_EQ(Why(kTested), std::nullopt);
}

// LUKS over LVM over multipath over a partition's disk behind an HBA: each is a dm device.
TEST_F(DeviceUseTest, FollowsCryptAndLvmOverMultipath) {
  const auto disk = tree_.AddObject(kUsed, "host0/target0:0:0/0:0:0:0/block/sda");
  tree_.Link("class/block/sda", disk);
  const auto virtual_block = tree_.root() / "devices/virtual/block";
  std::string lower = "sda";
  for (const std::string name : {"dm-0", "dm-1", "dm-2"}) {
    tree_.Link(fmt::format("devices/virtual/block/{}/slaves/{}", name, lower),
               tree_.root() / "class/block" / lower);
    tree_.Link("class/block/" + name, virtual_block / name);
    lower = name;
  }
  use_.block_devices = {{"dm-2", "is mounted on /home"}};
  EXPECT_THAT(Why(kUsed), Optional(AllOf(HasSubstr("sda"), HasSubstr("dm-2, which is mounted"))));
  EXPECT_EQ(Why(kTested), std::nullopt);
}

TEST_F(DeviceUseTest, FollowsBcache) {
  AddDisk(kUsed, "nvme0n1");
  tree_.Link("devices/virtual/block/bcache0/slaves/nvme0n1", tree_.root() / "class/block/nvme0n1");
  tree_.Link("class/block/bcache0", tree_.root() / "devices/virtual/block/bcache0");
  use_.block_devices = {{"bcache0", "is mounted on /"}};
  EXPECT_THAT(Why(kUsed), Optional(HasSubstr("bcache0, which is mounted on /")));
  EXPECT_EQ(Why(kTested), std::nullopt);
}

// A loop device has no slaves; sysfs tells its file, which can be a disk's node.
TEST_F(DeviceUseTest, FollowsLoopDevicesOverADisk) {
  AddDisk(kUsed, "nvme0n1");
  const auto loop = tree_.root() / "devices/virtual/block/loop0";
  tree_.WriteFile("devices/virtual/block/loop0/loop/backing_file", "/dev/nvme0n1\n");
  tree_.Link("class/block/loop0", loop);
  use_.block_devices = {{"loop0", "is mounted on /mnt"}};
  EXPECT_THAT(Why(kUsed), Optional(HasSubstr("loop0, which is mounted on /mnt")));
  EXPECT_EQ(Why(kTested), std::nullopt);
}

// Compressed memory has no device, and a loop device over a file only what its file system has.
TEST_F(DeviceUseTest, HasNothingToSayOfZram) {
  tree_.WriteFile("devices/virtual/block/zram0/x", "");
  tree_.Link("class/block/zram0", tree_.root() / "devices/virtual/block/zram0");
  use_.block_devices = {{"zram0", "is used as swap"}};
  EXPECT_EQ(Why(kUsed), std::nullopt);
}

// RAID over a partition whose disk is multipath: it is below its subsystem, not the function.
TEST_F(DeviceUseTest, FollowsNvmeMultipath) {
  const auto controller = tree_.AddObject(kUsed, "nvme/nvme0");
  const std::string subsystem = "devices/virtual/nvme-subsystem/nvme-subsys0";
  tree_.Link(subsystem + "/nvme0", controller);
  tree_.WriteFile(subsystem + "/nvme0n1/nvme0n1p1/partition", "1\n");
  tree_.Link("class/block/nvme0n1", tree_.root() / subsystem / "nvme0n1");
  tree_.Link("class/block/nvme0n1p1", tree_.root() / subsystem / "nvme0n1/nvme0n1p1");
  use_.block_devices = {{"nvme0n1p1", "is mounted on /"}};
  EXPECT_THAT(Why(kUsed), Optional(HasSubstr("mounted on /")));
  EXPECT_EQ(Why(kTested), std::nullopt);
}

// Each of its controllers is a way to it.
TEST_F(DeviceUseTest, FollowsEveryNvmePath) {
  const std::string subsystem = "devices/virtual/nvme-subsystem/nvme-subsys0";
  tree_.Link(subsystem + "/nvme0", tree_.AddObject(kUsed, "nvme/nvme0"));
  tree_.Link(subsystem + "/nvme1", tree_.AddObject(kTested, "nvme/nvme1"));
  tree_.WriteFile(subsystem + "/nvme0n1/dev", "");
  tree_.Link("class/block/nvme0n1", tree_.root() / subsystem / "nvme0n1");
  use_.block_devices = {{"nvme0n1", "is mounted on /"}};
  EXPECT_THAT(Why(kUsed), Optional(HasSubstr("mounted on /")));
  EXPECT_THAT(Why(kTested), Optional(HasSubstr("mounted on /")));
}

TEST_F(DeviceUseTest, RefusesTheDeviceOfAConsole) {
  const auto port = tree_.AddObject(kUsed, "0000:02:00.0:0/tty/ttyS4");
  use_.consoles = {{port, "its ttyS4 is a console of the kernel"}};
  EXPECT_THAT(Why(kUsed), Optional(HasSubstr("ttyS4 is a console")));
  EXPECT_EQ(Why(kTested), std::nullopt);
}

// Each table is asked.
TEST_F(DeviceUseTest, ReadsAllThatTheMachineStandsOn) {
  tree_.Link("dev/block/259:0", AddDisk(kUsed, "nvme0n1"));
  tree_.WriteFile("proc/self/mountinfo", "22 1 259:0 / /srv rw - ext4 /dev/nvme0n1 rw\n");
  const auto port = tree_.AddObject(kUsed, "tty/ttyS4");
  tree_.Link("class/tty/ttyS4", port);
  tree_.WriteFile("proc/consoles", "ttyS4 -W- (EC a) 4:68\nnetcon0 -W- (E N)\n");
  tree_.WriteFile("proc/cmdline", "netconsole=@/eth7,@10.0.0.2/\n");
  tree_.WriteFile("class/net/eth7/x", "");
  const auto use = ReadMachineUse(tree_.sysfs(), tree_.root() / "proc");
  ASSERT_TRUE(use) << use.error().ToString();
  EXPECT_THAT(use->block_devices, Contains(Use{"nvme0n1", "is mounted on /srv"}));
  EXPECT_THAT(use->interfaces, Contains(Use{"eth7", "carries the kernel's netconsole"}));
  EXPECT_THAT(use->consoles, Contains(Field(&ConsoleUse::why, HasSubstr("ttyS4"))));
}

// A table that cannot be read must not pass for one that names nothing.
TEST_F(DeviceUseTest, FailsWithoutATable) {
  const auto read = [this] { return ReadMachineUse(tree_.sysfs(), tree_.root() / "proc"); };
  tree_.WriteFile("proc/self/mountinfo", "");
  EXPECT_THAT(read(), FailsWith(ENOENT)) << "no consoles";
  tree_.WriteFile("proc/consoles", "netcon0 -W- (E N)\n");
  EXPECT_THAT(read(), FailsWith(ENODATA)) << "of netconsole nothing is known";
  tree_.WriteFile("proc/consoles", "");
  EXPECT_THAT(read(), IsOk());
  std::filesystem::remove(tree_.root() / "proc/self/mountinfo");
  EXPECT_THAT(read(), FailsWith(ENOENT)) << "no mounts";
}

// Each thing in use is followed, and each of what it stands on.
TEST_F(DeviceUseTest, FollowsAllOfSeveral) {
  AddInterface(kUsed, "", "eth1");
  tree_.WriteFile("devices/virtual/net/lo/x", "");
  tree_.Link("class/net/lo", tree_.root() / "devices/virtual/net/lo");
  use_.interfaces = {{"lo", "carries the SSH connection"}, {"eth1", "carries the default route"}};
  EXPECT_THAT(Why(kUsed), Optional(HasSubstr("default route")));

  use_ = {};
  AddDisk(kTested, "nvme1n1");
  AddDisk(kUsed, "nvme0n1");
  for (const std::string name : {"nvme0n1", "nvme1n1"}) {
    tree_.Link("devices/virtual/block/md0/slaves/" + name, tree_.root() / "class/block" / name);
  }
  tree_.Link("class/block/md0", tree_.root() / "devices/virtual/block/md0");
  tree_.WriteFile("devices/virtual/block/zram0/x", "");
  tree_.Link("class/block/zram0", tree_.root() / "devices/virtual/block/zram0");
  use_.block_devices = {{"zram0", "is used as swap"}, {"md0", "is mounted on /"}};
  EXPECT_THAT(Why(kUsed), Optional(HasSubstr("mounted on /")));
  EXPECT_THAT(Why(kTested), Optional(HasSubstr("mounted on /")));

  use_ = {};
  use_.consoles = {{tree_.root(), "no function's"}, {tree_.AddObject(kUsed, "tty/ttyS4"), "ttyS4"}};
  EXPECT_THAT(Why(kUsed), Optional(HasSubstr("ttyS4")));
}

TEST_F(DeviceUseTest, RefusesGroupMatesOfAConsole) {
  constexpr PciAddress kMate{.domain = 0, .bus = 1, .device = 0, .function = 1};
  tree_.AddFunction(kMate, kId, 5);
  use_.consoles = {{tree_.AddObject(kMate, "tty/ttyS4"), "its ttyS4 is a console of the kernel"}};
  EXPECT_THAT(Why(kTested), Optional(AllOf(HasSubstr("IOMMU group"), HasSubstr("ttyS4"))));
}

// VFIO takes whole IOMMU groups.
TEST_F(DeviceUseTest, RefusesGroupMates) {
  constexpr PciAddress kMate{.domain = 0, .bus = 1, .device = 0, .function = 1};
  tree_.AddFunction(kMate, kId, 5);
  AddInterface(kMate, "", "eth0");
  use_.interfaces = {{"eth0", "carries the default route"}};
  EXPECT_THAT(Why(kTested), Optional(AllOf(HasSubstr("IOMMU group"), HasSubstr("0000:01:00.1"))));
}

// Virtual functions go when the driver of their physical function goes.
TEST_F(DeviceUseTest, RefusesPhysicalFunctionsOfUsedVirtualOnes) {
  constexpr PciAddress kVirtual{.domain = 0, .bus = 1, .device = 0x10, .function = 0};
  tree_.AddFunction(kVirtual, kId, 7);
  tree_.Link("bus/pci/devices/0000:01:00.0/virtfn0", "../0000:01:10.0");
  AddInterface(kVirtual, "", "eth0");
  use_.interfaces = {{"eth0", "carries the default route"}};
  EXPECT_THAT(Why(kTested), Optional(AllOf(HasSubstr("virtual"), HasSubstr("0000:01:10.0"))));
}

// The last of them counts as much as the first.
TEST_F(DeviceUseTest, AsksEveryMateAndEveryVirtualFunction) {
  constexpr PciAddress kLastMate{.domain = 0, .bus = 1, .device = 0, .function = 2};
  constexpr PciAddress kLastVirtual{.domain = 0, .bus = 1, .device = 0x10, .function = 1};
  tree_.AddFunction({.domain = 0, .bus = 1, .device = 0, .function = 1}, kId, 5);
  tree_.AddFunction(kLastMate, kId, 5);
  tree_.AddFunction({.domain = 0, .bus = 1, .device = 0x10, .function = 0}, kId, 7);
  tree_.AddFunction(kLastVirtual, kId, 8);
  tree_.Link("bus/pci/devices/0000:01:00.0/virtfn0", "../0000:01:10.0");
  tree_.Link("bus/pci/devices/0000:01:00.0/virtfn1", "../0000:01:10.1");
  EXPECT_EQ(Why(kTested), std::nullopt);
  AddInterface(kLastMate, "", "eth0");
  use_.interfaces = {{"eth0", "carries the default route"}};
  EXPECT_THAT(Why(kTested), Optional(HasSubstr("0000:01:00.2")));
  AddInterface(kLastVirtual, "", "eth1");
  use_.interfaces = {{"eth1", "carries the default route"}};
  EXPECT_THAT(Why(kTested), Optional(HasSubstr("0000:01:10.1")));
}

// It cannot be told what is in use: then everything may be.
TEST_F(DeviceUseTest, RefusesEverythingIfItCannotBeTold) {
  const SshConnection ssh("198.51.100.1 40000 198.51.100.2 22");
  EXPECT_THAT(WhyInUse(tree_.sysfs(), kTested), Optional(HasSubstr("198.51.100.2")));
}

// What this machine itself stands on, here its loopback interface, is asked for.
TEST_F(DeviceUseTest, RefusesWhatThisMachineStandsOn) {
  const SshConnection ssh("127.0.0.1 40000 127.0.0.1 22");
  AddInterface(kUsed, "", "lo");
  EXPECT_THAT(WhyInUse(tree_.sysfs(), kUsed), Optional(HasSubstr("SSH connection")));
  EXPECT_EQ(WhyInUse(tree_.sysfs(), kTested), std::nullopt);
}

// A disk that no table names, and that somebody holds, is in use; so it is as a mate's.
TEST_F(DeviceUseTest, RefusesADiskThatIsHeld) {
  const auto loop = LoopDevice::Create();
  if (!loop) GTEST_SKIP() << loop.error().ToString();
  const SshConnection none("");
  constexpr PciAddress kMate{.domain = 0, .bus = 2, .device = 0, .function = 1};
  tree_.AddFunction(kMate, kId, 6);
  AddDisk(kUsed, loop->node().filename().string());
  EXPECT_EQ(WhyInUse(tree_.sysfs(), kUsed), std::nullopt);
  const UniqueFd held(open(loop->node().c_str(), O_RDONLY | O_EXCL | O_CLOEXEC));
  ASSERT_TRUE(held.valid());
  EXPECT_THAT(WhyInUse(tree_.sysfs(), kUsed), Optional(HasSubstr("is held exclusively")));
  EXPECT_THAT(WhyInUse(tree_.sysfs(), kMate), Optional(HasSubstr("is held exclusively")));
  EXPECT_EQ(WhyInUse(tree_.sysfs(), kTested), std::nullopt);
}

// 0000:01:00.0 must not match a path of 0000:01:00.00 or the like.
TEST_F(DeviceUseTest, ComparesWholePathElements) {
  tree_.WriteFile("devices/pci0000:00/0000:01:00.0x/net/eth0/x", "");
  tree_.Link("class/net/eth0", tree_.root() / "devices/pci0000:00/0000:01:00.0x/net/eth0");
  use_.interfaces = {{"eth0", "carries the default route"}};
  EXPECT_EQ(Why(kTested), std::nullopt);
}

}  // namespace
}  // namespace carryover
