// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/machine_probe.h"

#include <gmock/gmock.h>

#include "drivers/access/fake/fake_sysfs.h"

namespace carryover {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class MachineProbeTest : public testing::Test {
 protected:
  FakeSysfs tree_;
  MachineRoots roots_{tree_.sysfs(), tree_.root() / "dev", tree_.root() / "proc"};
};

// A bare machine: everything is missing, and each says what to do.
TEST_F(MachineProbeTest, TellsTheRemedyForAllThatIsMissing) {
  for (const Feature& feature :
       {ProbeIommu(roots_), ProbeIommufd(roots_), ProbeVfioCdev(roots_), ProbeVfioType1(roots_),
        ProbeHugepages(roots_), ProbeMemory(roots_, 1)}) {
    EXPECT_FALSE(feature.present) << feature.name;
    EXPECT_FALSE(feature.remedy.empty()) << feature.name;
    EXPECT_FALSE(feature.detail.empty()) << feature.name;
  }
}

TEST_F(MachineProbeTest, FindsTheIommu) {
  tree_.WriteFile("kernel/iommu_groups/0/type", "DMA\n");
  const Feature feature = ProbeIommu(roots_);
  EXPECT_TRUE(feature.present);
  EXPECT_THAT(feature.remedy, IsEmpty());
  EXPECT_EQ(feature.detail, "1 IOMMU groups");
}

TEST_F(MachineProbeTest, FindsIommufd) {
  tree_.WriteFile("dev/iommu", "");
  EXPECT_TRUE(ProbeIommufd(roots_).present);
}

// Both the driver and the way to its devices are needed; what is missing is what is told.
TEST_F(MachineProbeTest, FindsVfioCdev) {
  tree_.WriteFile("proc/devices", "Character devices:\n 10 misc\n242 vfio-dev\n\nBlock devices:\n");
  const Feature without_driver = ProbeVfioCdev(roots_);
  EXPECT_FALSE(without_driver.present);
  EXPECT_THAT(without_driver.remedy, HasSubstr("modprobe vfio-pci"));
  EXPECT_THAT(without_driver.remedy, Not(HasSubstr("CDEV")));
  tree_.AddDriver("vfio-pci", {});
  EXPECT_TRUE(ProbeVfioCdev(roots_).present);
  tree_.WriteFile("proc/devices", "Character devices:\n 10 misc\n");
  EXPECT_THAT(ProbeVfioCdev(roots_).remedy, HasSubstr("CONFIG_VFIO_DEVICE_CDEV"));
}

TEST_F(MachineProbeTest, FindsVfioType1) {
  tree_.AddDriver("vfio-pci", {});
  EXPECT_THAT(ProbeVfioType1(roots_).remedy, HasSubstr("CONFIG_VFIO_IOMMU_TYPE1"));
  tree_.WriteFile("dev/vfio/vfio", "");
  EXPECT_TRUE(ProbeVfioType1(roots_).present);
}

// A pool without a free page is as good as none.
TEST_F(MachineProbeTest, FindsFreeHugePages) {
  const std::string pool = "kernel/mm/hugepages/hugepages-2048kB/";
  tree_.WriteFile(pool + "nr_hugepages", "64\n");
  tree_.WriteFile(pool + "free_hugepages", "0\n");
  EXPECT_FALSE(ProbeHugepages(roots_).present);
  tree_.WriteFile(pool + "free_hugepages", "3\n");
  const Feature feature = ProbeHugepages(roots_);
  EXPECT_TRUE(feature.present);
  EXPECT_EQ(feature.detail, "3 of 64 pages of 2 MiB free");
}

TEST_F(MachineProbeTest, ComparesMemory) {
  tree_.WriteFile("proc/meminfo", "MemTotal: 4096 kB\nMemFree: 1 kB\nMemAvailable: 2048 kB\n");
  EXPECT_TRUE(ProbeMemory(roots_, std::size_t{2} << 20).present);
  const Feature little = ProbeMemory(roots_, (std::size_t{2} << 20) + 1);
  EXPECT_FALSE(little.present);
  EXPECT_EQ(little.detail, "2 MiB available");
}

}  // namespace
}  // namespace carryover
