// SPDX-License-Identifier: GPL-2.0-only
// The claim `file`: the file of a virtual function cannot be preserved. The next kernel finds it
// only after its physical function has enabled it (vfio_pci_liveupdate_can_preserve() of the
// reference kernel, ci/kernel/patches).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>

#include "drivers/access/binding.h"
#include "drivers/access/result_matchers.h"
#include "fixtures/device_file/carried_device.h"
#include "fixtures/device_need/device_need.h"
#include "fixtures/igb/igb_file.h"

namespace carryover {
namespace {

constexpr std::string_view kNative = "igb";  // the kernel's driver

// The physical function is with its native driver, with one virtual function that no driver has.
class VfioVirtualFunction : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const auto why = WhyNotPreservable()) GTEST_SKIP() << *why;
    ASSERT_OK_AND_ASSIGN(const ListedDevice listed, Devices::Get().Bind("igb", kIgbOfFiles));
    Devices::Get().Close("igb", kIgbOfFiles);
    physical_ = listed.address;
    if (!std::filesystem::exists(Attribute("sriov_numvfs"))) {
      GTEST_SKIP() << "the device, or the kernel, has no SR-IOV";
    }
    if (!std::filesystem::exists(sysfs().root() / "bus/pci/drivers" / kNative)) {
      GTEST_SKIP() << "the kernel has no driver that enables SR-IOV on the device";
    }
    is_given_back_ = true;
    ASSERT_OK(BindTo(sysfs(), physical_, kNative, Deadline::After(kBindingTime)));
    ASSERT_OK(Write("sriov_drivers_autoprobe", "0"));
    ASSERT_OK(Write("sriov_numvfs", "1"));
    const auto functions = sysfs().VirtualFunctions(physical_);
    ASSERT_EQ(functions.size(), 1U);
    virtual_ = functions.front();
  }
  void TearDown() override {
    if (is_given_back_) {
      EXPECT_OK(Write("sriov_drivers_autoprobe", "1"));
      // Before the driver goes: igb would take them with it without the lock that the PCI core
      // wants held (Linux 7.3, igb_disable_sriov(); a kernel with lockdep says so).
      EXPECT_OK(Write("sriov_numvfs", "0"));
      EXPECT_OK(BindTo(sysfs(), physical_, kVfioPci, Deadline::After(kBindingTime)));
      EXPECT_THAT(sysfs().VirtualFunctions(physical_), ::testing::IsEmpty());
      EXPECT_THAT(Devices::Get().CheckNobodyElseBound(), FailsWith(EBUSY)) << "it was this test";
    }
    EXPECT_OK(Devices::Get().CheckNobodyElseBound());
  }

  [[nodiscard]] static const Sysfs& sysfs() { return Devices::Get().sysfs(); }
  [[nodiscard]] const PciAddress& function() const { return virtual_; }

 private:
  [[nodiscard]] std::filesystem::path Attribute(std::string_view name) const {
    return sysfs().FunctionPath(physical_) / name;
  }
  [[nodiscard]] Result<void> Write(std::string_view name, std::string_view value) const {
    return sysfs().Write(Attribute(name), value, Deadline::After(kBindingTime));
  }

  PciAddress physical_;
  PciAddress virtual_;
  bool is_given_back_ = false;
};
NEEDS_DEVICES(VfioVirtualFunction, "igb", kIgbOfFiles + 1);
NEEDS_CLAIM(VfioVirtualFunction, Claim::kFile);

TEST_F(VfioVirtualFunction, FileIsRefused) {
  ASSERT_OK(BindTo(sysfs(), function(), kVfioPci, Deadline::After(kBindingTime)));
  const auto opened = VfioPciDevice::Open(function(), IommuMode::kIommufd, sysfs());
  // iommufd_device_bind(): as below a switch of the bench, where a virtual function does not get
  // the interrupt remapping that its physical function has.
  if (!opened && opened.error().code == EPERM) {
    GTEST_SKIP() << "interrupts of the virtual function are not isolated here, so that it cannot "
                    "be used at all: "
                 << opened.error().ToString();
  }
  ASSERT_OK(opened);
  const auto& device = *opened;
  ASSERT_OK_AND_ASSIGN(const LiveUpdateSession session, CreateSession("rules-virtual-function"));
  EXPECT_THAT(session.Preserve(device->fd(), 1), FailsWith(ENOENT));
}

}  // namespace
}  // namespace carryover
