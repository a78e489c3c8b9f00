// SPDX-License-Identifier: GPL-2.0-only
// The claim `file` where devices share something: a bridge above them, an IOMMU group, a physical
// function. On the bench: ci/bench --reference --lg-env ci/bridges.yaml. After the tests of the
// device that is finished by itself (vfio_finished_rules_test.cc).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "drivers/access/binding.h"
#include "drivers/access/result_matchers.h"
#include "fixtures/igb/igb_file.h"
#include "fixtures/kernel_log/kernel_log.h"

namespace carryover {
namespace {

constexpr std::size_t kPayload = 65536;
constexpr std::string_view kNative = "igb";  // the kernel's driver

PciAddress AddressOf(unsigned index) { return Devices::Get().Find("igb", index)->address; }

struct PlaceAndCopyRecord {
  PciPath path;
  DmaCopyRecord copy;
};

// Below the same bridge as the device of the other tests.
constexpr unsigned kNeighbour = 2;

class VfioNeighbour : public IgbFileOf<kNeighbour> {
 protected:
  [[nodiscard]] std::shared_ptr<CarriedDevice> Other() const {
    return CarriedDevice::Of(driver_name(), kIgbOfFiles);
  }
  // pci_liveupdate_finish() says so of a bridge that was let go of too early.
  static void ExpectNoneForgotten() {
    ASSERT_OK_AND_ASSIGN(KernelLog log, KernelLog::Open(KernelLog::From::kBoot));
    ASSERT_OK_AND_ASSIGN(const auto messages, log.ReadAll());
    for (const KernelMessage& message : messages) {
      EXPECT_FALSE(message.text.contains("is not among the preserved devices")) << message.text;
    }
  }
};

CONTINUITY_TEST(VfioNeighbour, StaysPreservedWhenTheOtherBelowTheBridgeIsFinished,
                PlaceAndCopyRecord,
                "Of two devices below one bridge one is finished: the other and the bridge are "
                "preserved as before, until it is finished as well")
ARM(VfioNeighbour, StaysPreservedWhenTheOtherBelowTheBridgeIsFinished) {
  ASSERT_OK(Other()->Preserve());
  ASSERT_OK_AND_ASSIGN(record.path, PathNow());
  ASSERT_OK_AND_ASSIGN(const PciPath other, ReadPciPath(sysfs(), AddressOf(kIgbOfFiles)));
  // Each path ends in empty places.
  const bool share = std::ranges::any_of(record.path.functions, [&other](const auto& bridge) {
    return bridge.id != 0 && std::ranges::find(other.functions, bridge) != other.functions.end();
  });
  if (!share) GTEST_SKIP() << "no bridge is above both devices";
  ArmCopy(kPayload, PageKind::kBase, record.copy);
}
VERIFY(VfioNeighbour, StaysPreservedWhenTheOtherBelowTheBridgeIsFinished) {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kInherited));
  ASSERT_OK(Other()->GoTo(Stage::kFinished));
  ASSERT_OK_AND_ASSIGN(const PciPath now, PathNow());
  EXPECT_EQ(Differences(record.path, now), "");
  EXPECT_EQ(sysfs().Driver(address()), std::nullopt);
  const auto bind = sysfs().root() / "bus/pci/drivers" / kNative / "bind";
  EXPECT_THAT(sysfs().Write(bind, address().ToString(), Deadline::After(kBindingTime)),
              FailsWith(ENODEV));
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kDriverBound));
  EXPECT_THAT(OpenVfioCdev(address(), sysfs()), FailsWith(EBUSY));
  EXPECT_THAT(carried().incoming().Finish(), FailsWith(EBUSY));
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kFinished));
  EXPECT_OK(OpenVfioCdev(address(), sysfs()));
  ASSERT_NO_FATAL_FAILURE(VerifyCopy(record.copy));
  ASSERT_NO_FATAL_FAILURE(VerifyCopyGoesOn(record.copy));
  ExpectNoneForgotten();
}

// sriov_init() disables the virtual functions that the previous kernel left enabled. In the order
// of tests the last of this device: the virtual functions take its queues (82576 data sheet, 7.10).
CONTINUITY_TEST(VfioNeighbour, ComesBackWithoutItsVirtualFunctions, NothingRecord,
                "A physical function that has virtual functions is handed over, without them")
ARM(VfioNeighbour, ComesBackWithoutItsVirtualFunctions) {
  const auto enable = sysfs().root() / "module/vfio_pci/parameters/enable_sriov";
  if (!std::filesystem::exists(enable) || !std::filesystem::exists(Attribute("sriov_numvfs"))) {
    GTEST_SKIP() << "the device, or the kernel, has no SR-IOV";
  }
  const Deadline deadline = Deadline::After(kBindingTime);
  ASSERT_OK(dma().device().StopShared());
  ASSERT_OK(sysfs().Write(enable, "Y", deadline));
  EXPECT_OK(sysfs().Write(Attribute("sriov_drivers_autoprobe"), "0", deadline));
  EXPECT_OK(sysfs().Write(Attribute("sriov_numvfs"), "1", deadline));
  EXPECT_OK(sysfs().Write(enable, "N", deadline));
  ASSERT_EQ(sysfs().VirtualFunctions(address()).size(), 1U);
}
VERIFY(VfioNeighbour, ComesBackWithoutItsVirtualFunctions) {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kFinished));
  EXPECT_THAT(sysfs().VirtualFunctions(address()), ::testing::IsEmpty());
  EXPECT_EQ(sysfs().Read(Attribute("sriov_numvfs")), "0");
}

// Two functions of one IOMMU group.
constexpr unsigned kGrouped = 3;
constexpr unsigned kMate = 4;

class VfioGroupMate : public IgbFileOf<kGrouped, 2> {
 protected:
  void SetUp() override {
    if (Continuity::Get().half() == Half::kArm) {
      if (sysfs().IommuGroup(AddressOf(kGrouped)) != sysfs().IommuGroup(AddressOf(kMate))) {
        GTEST_SKIP() << "the devices are in different IOMMU groups";
      }
      ASSERT_OK(Devices::Get().Bind(driver_name(), kMate));
    }
    FileContinuity::SetUp();
  }
};

// iommu_device_claim_dma_owner(): a group is either the kernel's or one user's.
CONTINUITY_TEST(VfioGroupMate, IsNotPreservedWithItsMate, PlaceAndCopyRecord,
                "Of two functions in an IOMMU group one is preserved: the other is an ordinary "
                "device, whose driver keeps the first from being used as long as it is bound")
ARM(VfioGroupMate, IsNotPreservedWithItsMate) {
  ASSERT_OK_AND_ASSIGN(record.path, PathNow());
  ArmCopy(kPayload, PageKind::kBase, record.copy);
}
VERIFY(VfioGroupMate, IsNotPreservedWithItsMate) {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kInherited));
  ASSERT_OK_AND_ASSIGN(const PciPath now, PathNow());
  EXPECT_EQ(Differences(record.path, now), "");
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kRetrieved));
  if (sysfs().Driver(AddressOf(kMate)) == kNative) {
    ASSERT_OK_AND_ASSIGN(UniqueFd again, carried().incoming().Retrieve(CarriedDevice::kFileToken));
    ASSERT_OK_AND_ASSIGN(auto iommu, Iommufd::Open());
    EXPECT_THAT(VfioPciDevice::FromCdev(std::move(again), std::move(iommu)), FailsWith(EPERM));
  }
  ASSERT_OK(Devices::Get().Bind(driver_name(), kMate));
  EXPECT_OK(OpenVfioCdev(AddressOf(kMate), sysfs()));
  EXPECT_THAT(OpenVfioCdev(address(), sysfs()), FailsWith(EBUSY));
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kFinished));
  ASSERT_NO_FATAL_FAILURE(VerifyCopy(record.copy));
  VerifyCopyGoesOn(record.copy);
}

}  // namespace
}  // namespace carryover
