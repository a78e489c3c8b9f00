// SPDX-License-Identifier: GPL-2.0-only
#include "selftests/program/put_back.h"

#include <gmock/gmock.h>

#include "drivers/access/fake/fake_sysfs.h"

namespace carryover {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr PciAddress kAddress{.domain = 0, .bus = 1, .device = 0, .function = 0};
constexpr PciId kId{.vendor = 0x8086, .device = 0x10c9};

class PutBackTest : public testing::Test {
 protected:
  PutBackTest() {
    tree_.AddFunction(kAddress, kId);
    tree_.AddDriver("igb", {kId});
    tree_.AddDriver("e1000e", {kId});
    tree_.AddDriver("vfio-pci", {});
  }
  Result<BindingRecord> Back(const BindingRecord& wanted) {
    return PutBack(tree_.sysfs(), wanted, [this](const PciAddress&) { return in_use_; });
  }
  std::optional<std::string> Driver() { return tree_.sysfs().Driver(kAddress); }

  FakeSysfs tree_;
  std::optional<std::string> in_use_;
  const BindingRecord wanted_{kAddress, kId, "igb", "mine"};
};

// As a killed run left it.
TEST_F(PutBackTest, PutsDriverAndOverrideBack) {
  tree_.SetDriver(kAddress, "vfio-pci");
  tree_.SetOverride(kAddress, "vfio-pci");
  const auto found = Back(wanted_);
  ASSERT_TRUE(found) << found.error().ToString();
  EXPECT_EQ(found->driver, "vfio-pci");
  EXPECT_EQ(Driver(), "igb");
  EXPECT_EQ(tree_.sysfs().DriverOverride(kAddress), "mine");
}

TEST_F(PutBackTest, MayBeDoneAgain) {
  tree_.SetDriver(kAddress, "vfio-pci");
  ASSERT_TRUE(Back(wanted_));
  const auto writes = tree_.writes().size();
  const auto again = Back(wanted_);
  ASSERT_TRUE(again) << again.error().ToString();
  EXPECT_EQ(again->driver, "igb");
  EXPECT_EQ(tree_.writes().size(), writes);
}

// A power cycle has put it back.
TEST_F(PutBackTest, DoesNothingIfItIsAsItWas) {
  tree_.SetDriver(kAddress, "igb");
  ASSERT_TRUE(Back({kAddress, kId, "igb", ""}));
  EXPECT_THAT(tree_.writes(), IsEmpty());
}

// A power cycle has unbound it, and the distribution has not bound it again.
TEST_F(PutBackTest, BindsWhatHasNoDriver) {
  ASSERT_TRUE(Back(wanted_));
  EXPECT_EQ(Driver(), "igb");
}

TEST_F(PutBackTest, LeavesWithoutADriverWhatHadNone) {
  tree_.SetDriver(kAddress, "vfio-pci");
  ASSERT_TRUE(Back({kAddress, kId, std::nullopt, ""}));
  EXPECT_EQ(Driver(), std::nullopt);
}

TEST_F(PutBackTest, RefusesAnotherDevice) {
  tree_.SetDriver(kAddress, "vfio-pci");
  const auto found = Back({kAddress, PciId{.vendor = 0x8086, .device = 1}, "igb", ""});
  ASSERT_FALSE(found);
  EXPECT_THAT(found.error().message, HasSubstr("8086:10c9"));
  EXPECT_THAT(tree_.writes(), IsEmpty());
}

// Somebody has given it to another driver since, and uses it.
TEST_F(PutBackTest, RefusesADeviceInUse) {
  tree_.SetDriver(kAddress, "e1000e");
  in_use_ = "its interface eth0 carries the default route";
  const auto found = Back(wanted_);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, EBUSY);
  EXPECT_THAT(found.error().message, HasSubstr("bound to e1000e by now"));
  EXPECT_THAT(tree_.writes(), IsEmpty());
}

// It is back already, and at work: that disturbs nobody.
TEST_F(PutBackTest, LetsADeviceBeThatHasItsDriver) {
  tree_.SetDriver(kAddress, "igb");
  in_use_ = "its interface eth0 carries the default route";
  ASSERT_TRUE(Back(wanted_));
  EXPECT_EQ(Driver(), "igb");
  for (const auto& [path, value] : tree_.writes()) EXPECT_THAT(path, HasSubstr("driver_override"));
}

TEST_F(PutBackTest, SaysIfItIsNotBack) {
  tree_.SetDriver(kAddress, "vfio-pci");
  tree_.FailWrites("unbind", ETIMEDOUT);
  const auto found = Back(wanted_);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ETIMEDOUT);
}

// What vfio-pci has, no interface or disk is of.
TEST_F(PutBackTest, TakesVfioPciFromIt) {
  tree_.SetDriver(kAddress, "vfio-pci");
  in_use_ = "a mate of its is in use";
  EXPECT_TRUE(Back(wanted_));
  EXPECT_EQ(Driver(), "igb");
}

}  // namespace
}  // namespace carryover
