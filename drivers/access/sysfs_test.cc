// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/sysfs.h"

#include <gmock/gmock.h>

#include "drivers/access/fake/fake_sysfs.h"

namespace carryover {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr PciAddress kFirst{.domain = 0, .bus = 1, .device = 0, .function = 0};
constexpr PciAddress kSecond{.domain = 0, .bus = 1, .device = 0, .function = 1};
constexpr PciId kIgb{.vendor = 0x8086, .device = 0x10c9};

class SysfsTest : public testing::Test {
 protected:
  SysfsTest() {
    tree_.AddFunction(kSecond, kIgb, 12);
    tree_.AddFunction(kFirst, kIgb, 12);
  }
  FakeSysfs tree_;
  Sysfs sysfs_ = tree_.sysfs();
};

TEST_F(SysfsTest, ReadsAFunction) {
  EXPECT_THAT(sysfs_.Functions(), ElementsAre(kFirst, kSecond));
  EXPECT_EQ(sysfs_.Id(kFirst), kIgb);
  EXPECT_EQ(sysfs_.ClassCode(kFirst), 0x020000);
  EXPECT_EQ(sysfs_.IommuGroup(kFirst), 12);
  EXPECT_THAT(sysfs_.GroupMates(kFirst), ElementsAre(kSecond));
  EXPECT_EQ(sysfs_.Driver(kFirst), std::nullopt);
  EXPECT_EQ(sysfs_.DriverOverride(kFirst), "") << "(null) means that none is set";
  EXPECT_THAT(sysfs_.VirtualFunctions(kFirst), IsEmpty());
}

TEST_F(SysfsTest, ReadsCommand) {
  const std::string config = "bus/pci/devices/0000:01:00.0/config";
  EXPECT_EQ(sysfs_.Command(kSecond).error().code, ENOENT);
  tree_.WriteFile(config, "\x86\x80\xc9\x10\x06\x04\x10");
  EXPECT_EQ(sysfs_.Command(kFirst), 0x0406);
  tree_.WriteFile(config, "\x86\x80\xc9\x10\x06");
  EXPECT_EQ(sysfs_.Command(kFirst).error().code, EIO);
}

TEST_F(SysfsTest, ReadsResetMethods) {
  EXPECT_THAT(sysfs_.ResetMethods(kFirst), IsEmpty());
  tree_.WriteFile("bus/pci/devices/0000:01:00.0/reset_method", "flr bus\n");
  EXPECT_THAT(sysfs_.ResetMethods(kFirst), ElementsAre("flr", "bus"));
}

TEST_F(SysfsTest, FindsTheVfioCharacterDevice) {
  const auto none = sysfs_.VfioCdevName(kFirst);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ENOENT);
  tree_.AddObject(kFirst, "vfio-dev/vfio3");
  EXPECT_EQ(sysfs_.VfioCdevName(kFirst), "vfio3");
}

TEST_F(SysfsTest, FailsForAFunctionThatIsNotThere) {
  constexpr PciAddress kNone{.domain = 0, .bus = 9, .device = 0, .function = 0};
  EXPECT_FALSE(sysfs_.Exists(kNone));
  const auto id = sysfs_.Id(kNone);
  ASSERT_FALSE(id);
  EXPECT_EQ(id.error().code, ENODEV);
  EXPECT_EQ(sysfs_.IommuGroup(kNone), std::nullopt);
}

TEST_F(SysfsTest, FailsForGarbage) {
  tree_.WriteFile("bus/pci/devices/0000:01:00.0/vendor", "0x80x6\n");
  const auto id = sysfs_.Id(kFirst);
  ASSERT_FALSE(id);
  EXPECT_EQ(id.error().code, EINVAL);
  EXPECT_TRUE(id.error().message.contains("0x80x6"));
}

}  // namespace
}  // namespace carryover
