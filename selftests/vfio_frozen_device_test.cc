// SPDX-License-Identifier: GPL-2.0-only
// The claim `file`: a frozen device, as user space sees it that still runs. Another device, whose
// lock somebody holds, keeps the kexec waiting meanwhile, and refuses it in the end. Source:
// vfio_pci_core_freeze() of the reference kernel (ci/kernel/patches).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/pci_regs.h>

#include <limits>
#include <optional>
#include <set>

#include "fixtures/device_file/freeze_test.h"
#include "fixtures/device_file/in_flight.h"
#include "fixtures/igb/igb_file.h"

namespace carryover {
namespace {

class VfioFrozenDevice : public FreezeTest {
 protected:
  static constexpr unsigned kOther = 0;
  static constexpr std::uint64_t kToken = 1;
  static constexpr std::uint64_t kWaitsForLock = 2;

  VfioFrozenDevice() : FreezeTest("igb", kIgbOfFiles) {}

  void SetUp() override {
    FreezeTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    ASSERT_OK_AND_ASSIGN(DmaDevice * other, Devices::Get().Open("igb", kOther));
    ASSERT_OK_AND_ASSIGN(const ListedDevice listed, Devices::Get().Find("igb", kOther));
    auto watch = DriverWatch::Open();
    ASSERT_OK(watch);
    watch_.emplace(std::move(*watch));
    ASSERT_NO_FATAL_FAILURE(Preserve(dma(), kToken));
    ASSERT_OK(PreserveDeviceOf(*other, session(), kWaitsForLock));
    ASSERT_NO_FATAL_FAILURE(WriteThatWaits(sysfs().FunctionPath(listed.address) / "driver/unbind",
                                           listed.address.ToString()));
    waits_ = true;
  }
  void TearDown() override {
    if (waits_) TakeBack(kOther, *watch_, false);
    FreezeTest::TearDown();
  }

  // While this runs, the device is frozen for 100 ms, and then given back.
  void FreezeForAWhile() { ASSERT_NO_FATAL_FAILURE(ExpectRefused(EBUSY, kWaitsForLock)); }

 private:
  std::optional<DriverWatch> watch_;
  bool waits_ = false;
};
NEEDS_DEVICES(VfioFrozenDevice, "igb", kIgbOfFiles + 1);
NEEDS_CLAIM(VfioFrozenDevice, Claim::kFile);

// The kernel's shutdown turns bus mastering off, too, but only after the last file was frozen.
TEST_F(VfioFrozenDevice, DoesNotMasterTheBus) {
  ASSERT_OK_AND_ASSIGN(const ListedDevice listed, Devices::Get().Find("igb", kIgbOfFiles));
  ASSERT_OK_AND_ASSIGN(const std::uint32_t before, dma().device().pci().ReadConfig(PCI_COMMAND, 2));
  ASSERT_NE(before & PCI_COMMAND_MASTER, 0U);
  std::set<unsigned> seen;
  {
    const InFlight reads([&] {
      if (const auto command = sysfs().Command(listed.address)) seen.insert(*command);
    });
    ASSERT_NO_FATAL_FAILURE(FreezeForAWhile());
  }
  EXPECT_THAT(seen, testing::Contains(unsigned{PCI_COMMAND_INTX_DISABLE}));
  for (const unsigned command : seen) {
    EXPECT_TRUE(command == before || (command & PCI_COMMAND_MASTER) == 0) << std::hex << command;
  }
}

// The memory of a frozen device is not decoded: who reads it gets all ones, or zeros from QEMU. By
// a mapping from before he has to wait until the device is given back.
TEST_F(VfioFrozenDevice, MappedMemoryIsOutOfReach) {
  constexpr std::size_t kStatus = 0x8;  // 82576 data sheet, 8.2.2: never all ones, never 0
  ASSERT_OK_AND_ASSIGN(Mmio * registers, dma().device().pci().Bar(0));
  unsigned undecoded = 0;
  unsigned reads = 0;
  {
    const InFlight reader([&] {
      const std::uint32_t status = registers->Read32(kStatus);
      if (status == 0 || status == std::numeric_limits<std::uint32_t>::max()) ++undecoded;
      ++reads;
    });
    ASSERT_NO_FATAL_FAILURE(FreezeForAWhile());
  }
  EXPECT_EQ(undecoded, 0U) << "of " << reads << " reads";
  EXPECT_GT(reads, 0U);
}

}  // namespace
}  // namespace carryover
