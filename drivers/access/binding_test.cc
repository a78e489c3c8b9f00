// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/binding.h"

#include <gmock/gmock.h>

#include "drivers/access/fake/fake_sysfs.h"
#include "drivers/access/result_matchers.h"

namespace carryover {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr PciAddress kAddress{.domain = 0, .bus = 1, .device = 0, .function = 0};
constexpr PciAddress kOther{.domain = 0, .bus = 2, .device = 0, .function = 0};
constexpr PciId kIgb{.vendor = 0x8086, .device = 0x10c9};

class BindingTest : public testing::Test {
 protected:
  BindingTest() {
    kernel_.AddDriver("igb", {kIgb});
    kernel_.AddDriver("vfio-pci", {});
    kernel_.AddFunction(kAddress, kIgb);
    kernel_.AddFunction(kOther, kIgb);
    kernel_.SetDriver(kAddress, "igb");
    kernel_.SetDriver(kOther, "igb");
  }

  FakeSysfs kernel_;
  Sysfs sysfs_ = kernel_.sysfs();
};

// A function goes to vfio-pci and comes back, and no other is touched.
TEST_F(BindingTest, BindsAndRestoresAtTheEnd) {
  {
    auto binding = Binding::ToVfio(sysfs_, kAddress, kIgb, nullptr);
    ASSERT_TRUE(binding) << binding.error().ToString();
    EXPECT_EQ(sysfs_.Driver(kAddress), "vfio-pci");
    EXPECT_EQ(binding->record(), (BindingRecord{kAddress, kIgb, "igb", ""}));
  }
  EXPECT_EQ(sysfs_.Driver(kAddress), "igb");
  EXPECT_EQ(sysfs_.DriverOverride(kAddress), "");
  EXPECT_EQ(sysfs_.Driver(kOther), "igb");
  for (const auto& [path, value] : kernel_.writes()) {
    EXPECT_TRUE(path.contains("0000:01:00.0") || value == "0000:01:00.0") << path << ": " << value;
  }
}

// The record is given out before the first write, so that a crash in between loses nothing.
TEST_F(BindingTest, TellsTheRecordBeforeItChangesAnything) {
  std::size_t writes_before = 1;
  const auto binding = Binding::ToVfio(sysfs_, kAddress, kIgb, [&](const BindingRecord& record) {
    writes_before = kernel_.writes().size();
    EXPECT_EQ(record.driver, "igb");
  });
  ASSERT_TRUE(binding);
  EXPECT_EQ(writes_before, 0);
}

// The override is set before the unbind, or a driver that probes by itself would win.
TEST_F(BindingTest, LeavesNoGapForAGreedyDriver) {
  kernel_.set_greedy_driver("igb");
  auto binding = Binding::ToVfio(sysfs_, kAddress, kIgb, nullptr);
  ASSERT_TRUE(binding) << binding.error().ToString();
  EXPECT_EQ(sysfs_.Driver(kAddress), "vfio-pci");
  EXPECT_TRUE(binding->Restore());
  EXPECT_EQ(sysfs_.Driver(kAddress), "igb");
}

// As it is on the way back, of vfio-pci itself.
TEST_F(BindingTest, LeavesNoGapForVfioPciOnTheWayBack) {
  auto binding = Binding::ToVfio(sysfs_, kAddress, kIgb, nullptr);
  ASSERT_TRUE(binding) << binding.error().ToString();
  kernel_.set_greedy_driver("vfio-pci");
  EXPECT_THAT(binding->Restore(), IsOk());
  EXPECT_EQ(sysfs_.Driver(kAddress), "igb");
}

// A bind that another driver won is an error that names it.
TEST_F(BindingTest, SaysWhichDriverWon) {
  kernel_.AddDriver("rival", {kIgb});
  const Sysfs racing(kernel_.root(), [this](const std::filesystem::path& attribute,
                                            std::string_view value, Deadline deadline) {
    if (attribute.filename() == "bind") {
      kernel_.SetDriver(kAddress, "rival");
      return Result<void>(Fail(EBUSY, "bind"));
    }
    return sysfs_.Write(attribute, value, deadline);
  });
  const auto bound = BindTo(racing, kAddress, kVfioPci, Deadline::After(std::chrono::seconds(1)));
  ASSERT_FALSE(bound);
  EXPECT_EQ(bound.error().code, EBUSY);
  EXPECT_THAT(bound.error().message, HasSubstr("rival"));
}

TEST_F(BindingTest, RefusesAnotherDeviceThanTheOneListed) {
  const auto binding = Binding::ToVfio(sysfs_, kAddress, PciId{0x8086, 0x1533}, nullptr);
  ASSERT_FALSE(binding);
  EXPECT_EQ(binding.error().code, ENODEV);
  EXPECT_THAT(binding.error().message, HasSubstr("8086:10c9"));
  EXPECT_THAT(binding.error().message, HasSubstr("8086:1533"));
  EXPECT_THAT(kernel_.writes(), IsEmpty());
}

TEST_F(BindingTest, RefusesAFunctionThatIsNotThere) {
  const auto binding = Binding::ToVfio(sysfs_, PciAddress{0, 9, 0, 0}, kIgb, nullptr);
  ASSERT_FALSE(binding);
  EXPECT_EQ(binding.error().code, ENODEV);
  EXPECT_THAT(binding.error().message, HasSubstr("0000:09:00.0"));
}

// A function that was at vfio-pci before stays there.
TEST_F(BindingTest, LeavesAFunctionThatIsAtVfioAlready) {
  kernel_.SetDriver(kAddress, "vfio-pci");
  {
    const auto binding = Binding::ToVfio(sysfs_, kAddress, kIgb, nullptr);
    ASSERT_TRUE(binding);
  }
  EXPECT_EQ(sysfs_.Driver(kAddress), "vfio-pci");
  EXPECT_THAT(kernel_.writes(), IsEmpty());
}

// An override that somebody left is part of what is put back, though it names another driver.
TEST_F(BindingTest, RestoresALeftOverOverride) {
  kernel_.SetOverride(kAddress, "vfio-pci");
  {
    const auto binding = Binding::ToVfio(sysfs_, kAddress, kIgb, nullptr);
    ASSERT_TRUE(binding);
  }
  EXPECT_EQ(sysfs_.Driver(kAddress), "igb");
  EXPECT_EQ(sysfs_.DriverOverride(kAddress), "vfio-pci");
}

TEST_F(BindingTest, RestoresAFunctionWithoutDriver) {
  kernel_.SetDriver(kAddress, std::nullopt);
  {
    const auto binding = Binding::ToVfio(sysfs_, kAddress, kIgb, nullptr);
    ASSERT_TRUE(binding);
    EXPECT_EQ(sysfs_.Driver(kAddress), "vfio-pci");
  }
  EXPECT_EQ(sysfs_.Driver(kAddress), std::nullopt);
  EXPECT_EQ(sysfs_.DriverOverride(kAddress), "");
}

// A kernel without vfio-pci: nothing is unbound for nothing.
TEST_F(BindingTest, ChangesNothingWithoutTheDriver) {
  std::filesystem::remove_all(kernel_.root() / "bus/pci/drivers/vfio-pci");
  const auto binding = Binding::ToVfio(sysfs_, kAddress, kIgb, nullptr);
  ASSERT_FALSE(binding);
  EXPECT_EQ(binding.error().code, ENOENT);
  EXPECT_THAT(binding.error().message, HasSubstr("modprobe vfio-pci"));
  EXPECT_EQ(sysfs_.Driver(kAddress), "igb");
  EXPECT_THAT(kernel_.writes(), IsEmpty());
}

// A bind that fails half-way is undone as far as the kernel lets it.
TEST_F(BindingTest, UndoesAFailedBind) {
  kernel_.FailWrites("unbind", EIO);
  const auto binding = Binding::ToVfio(sysfs_, kAddress, kIgb, nullptr);
  ASSERT_FALSE(binding);
  EXPECT_EQ(binding.error().code, EIO);
  EXPECT_EQ(sysfs_.Driver(kAddress), "igb");
  EXPECT_EQ(sysfs_.DriverOverride(kAddress), "");
}

// The override is put back even if the old driver does not come back, and both is said.
TEST_F(BindingTest, RestoresTheOverrideThoughTheDriverIsGone) {
  auto binding = Binding::ToVfio(sysfs_, kAddress, kIgb, nullptr);
  ASSERT_TRUE(binding);
  std::filesystem::remove_all(kernel_.root() / "bus/pci/drivers/igb");
  const auto restored = binding->Restore();
  ASSERT_FALSE(restored);
  EXPECT_EQ(restored.error().code, ENOENT);
  EXPECT_EQ(sysfs_.DriverOverride(kAddress), "");
}

TEST_F(BindingTest, SaysIfTheOverrideIsNotRestored) {
  auto binding = Binding::ToVfio(sysfs_, kAddress, kIgb, nullptr);
  ASSERT_TRUE(binding);
  kernel_.SetDriver(kAddress, "igb");  // somebody has put back the driver, and only that
  kernel_.FailWrites("driver_override", EIO);
  EXPECT_THAT(binding->Restore(), FailsWith(EIO));
}

// What could not be put back is tried again, and by the destructor in the end.
TEST_F(BindingTest, TriesAgainToRestore) {
  {
    auto binding = Binding::ToVfio(sysfs_, kAddress, kIgb, nullptr);
    ASSERT_TRUE(binding);
    kernel_.FailWrites("unbind", ETIMEDOUT);
    EXPECT_THAT(binding->Restore(), FailsWith(ETIMEDOUT));
    EXPECT_EQ(sysfs_.Driver(kAddress), "vfio-pci");
    kernel_.LetWrites("unbind");
  }
  EXPECT_EQ(sysfs_.Driver(kAddress), "igb");
  EXPECT_EQ(sysfs_.DriverOverride(kAddress), "");
}

TEST_F(BindingTest, RestoresWhatIsAssignedOver) {
  auto binding = Binding::ToVfio(sysfs_, kAddress, kIgb, nullptr);
  ASSERT_TRUE(binding);
  auto other = Binding::ToVfio(sysfs_, kOther, kIgb, nullptr);
  ASSERT_TRUE(other);
  *binding = std::move(*other);
  EXPECT_EQ(sysfs_.Driver(kAddress), "igb");
  EXPECT_EQ(sysfs_.Driver(kOther), "vfio-pci");
}

// Another process, after a power cycle too: from the record alone.
TEST_F(BindingTest, RestoresFromARecord) {
  BindingRecord record;
  {
    auto binding = Binding::ToVfio(sysfs_, kAddress, kIgb, nullptr);
    ASSERT_TRUE(binding);
    record = binding->record();
    binding->Release();
  }
  ASSERT_EQ(sysfs_.Driver(kAddress), "vfio-pci");
  EXPECT_TRUE(RestoreBinding(sysfs_, record));
  EXPECT_EQ(sysfs_.Driver(kAddress), "igb");
  EXPECT_TRUE(RestoreBinding(sysfs_, record)) << "twice does no harm";
}

// A record of a device that is no longer there must not be applied to its successor.
TEST_F(BindingTest, DoesNotRestoreAnotherDevice) {
  const BindingRecord record{kAddress, PciId{0x10ee, 0x7021}, "igb", ""};
  kernel_.SetDriver(kAddress, "vfio-pci");
  const auto restored = RestoreBinding(sysfs_, record);
  ASSERT_FALSE(restored);
  EXPECT_EQ(restored.error().code, ENODEV);
  EXPECT_EQ(sysfs_.Driver(kAddress), "vfio-pci");
}

TEST_F(BindingTest, MovesWithoutRestoringTwice) {
  auto binding = Binding::ToVfio(sysfs_, kAddress, kIgb, nullptr);
  ASSERT_TRUE(binding);
  {
    const Binding moved = std::move(*binding);
    EXPECT_EQ(sysfs_.Driver(kAddress), "vfio-pci");
  }
  EXPECT_EQ(sysfs_.Driver(kAddress), "igb");
  const std::size_t writes = kernel_.writes().size();
  EXPECT_TRUE(binding->Restore());  // NOLINT(bugprone-use-after-move): what is left does nothing
  EXPECT_EQ(kernel_.writes().size(), writes);
}

}  // namespace
}  // namespace carryover
