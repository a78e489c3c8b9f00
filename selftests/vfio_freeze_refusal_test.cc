// SPDX-License-Identifier: GPL-2.0-only
// The claim `file`: what a device must not have at freeze, or the kexec is EINVAL: an interrupt of
// any type that is enabled, or a power state other than D0. Neither is handed over. A device that
// is refused is not touched. Source: vfio_pci_core_freeze() of the reference kernel
// (ci/kernel/patches), "Errors" in its Documentation/driver-api/vfio-pci-liveupdate.rst.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>

#include <vector>

#include "drivers/access/event_wait.h"
#include "fixtures/device_file/freeze_test.h"
#include "fixtures/igb/igb_file.h"

namespace carryover {
namespace {

class VfioFreezeRefusal : public FreezeTest {
 protected:
  static constexpr std::uint64_t kToken = 1;

  VfioFreezeRefusal() : FreezeTest("igb", kIgbOfFiles) {}

  void SetUp() override {
    FreezeTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    Preserve(dma(), kToken);
  }

  [[nodiscard]] PciDevice& pci() { return dma().device().pci(); }

  // Skips if the device has no such interrupt.
  void ExpectRefusedWithInterrupt(InterruptKind kind) {
    ASSERT_OK_AND_ASSIGN(const unsigned vectors, pci().InterruptVectors(kind));
    if (vectors == 0) GTEST_SKIP() << "the device has no interrupt of this type";
    ASSERT_OK_AND_ASSIGN(const EventSet events, EventSet::Create(1));
    ASSERT_OK(pci().EnableInterrupts(kind, events.fds()));
    ASSERT_NO_FATAL_FAILURE(ExpectRefused(EINVAL, kToken));
    ASSERT_OK(pci().DisableInterrupts(kind));
    ExpectCopies(dma());
  }

  // Of the Power Management capability (PCI Power Management 1.2, 3.2); 0: there is none.
  [[nodiscard]] std::size_t PowerCapability() {
    std::size_t at = pci().ReadConfig(PCI_CAPABILITY_LIST, 1).value_or(0);
    while (at != 0) {
      const std::uint32_t header = pci().ReadConfig(at, 2).value_or(0);
      if ((header & 0xff) == PCI_CAP_ID_PM) return at;
      at = header >> 8;
    }
    return 0;
  }
  [[nodiscard]] Result<void> SetPowerState(std::size_t capability, std::uint32_t state) {
    auto control = pci().ReadConfig(capability + PCI_PM_CTRL, 2);
    if (!control) return std::unexpected(control.error());
    return pci().WriteConfig(capability + PCI_PM_CTRL, 2,
                             (*control & ~std::uint32_t{PCI_PM_CTRL_STATE_MASK}) | state);
  }
  // VFIO_DEVICE_FEATURE, set, without data.
  [[nodiscard]] Result<void> SetFeature(std::uint32_t feature) {
    const auto vfio = VfioDeviceOf(dma().device());
    if (!vfio) return std::unexpected(vfio.error());
    vfio_device_feature request{};
    request.argsz = sizeof(request);
    request.flags = VFIO_DEVICE_FEATURE_SET | feature;
    if (ioctl((*vfio)->fd(), VFIO_DEVICE_FEATURE, &request) < 0) {
      return FailErrno(fmt::format("VFIO_DEVICE_FEATURE, set {}", feature));
    }
    return {};
  }
};
NEEDS_DEVICES(VfioFreezeRefusal, "igb", kIgbOfFiles + 1);
NEEDS_CLAIM(VfioFreezeRefusal, Claim::kFile);

TEST_F(VfioFreezeRefusal, IntxIsEnabled) { ExpectRefusedWithInterrupt(InterruptKind::kIntx); }
TEST_F(VfioFreezeRefusal, MsiIsEnabled) { ExpectRefusedWithInterrupt(InterruptKind::kMsi); }
TEST_F(VfioFreezeRefusal, ErrorEventfdIsSet) { ExpectRefusedWithInterrupt(InterruptKind::kError); }
TEST_F(VfioFreezeRefusal, RequestEventfdIsSet) {
  ExpectRefusedWithInterrupt(InterruptKind::kRequest);
}

// The interrupt stays enabled, and comes.
TEST_F(VfioFreezeRefusal, MsixIsEnabled) {
  ASSERT_OK_AND_ASSIGN(EventSet events, EventSet::Create(1));
  ASSERT_OK(pci().EnableInterrupts(InterruptKind::kMsix, events.fds()));
  ASSERT_NO_FATAL_FAILURE(ExpectRefused(EINVAL, kToken));
  ASSERT_NO_FATAL_FAILURE(ExpectCopies(dma()));
  ASSERT_OK(driver().RaiseInterrupt());
  ASSERT_OK_AND_ASSIGN(const std::uint64_t times, events.Wait(0, DrivenDevice::Patience()));
  EXPECT_EQ(times, 1U);
  EXPECT_OK(pci().DisableInterrupts(InterruptKind::kMsix));
}

// vfio_pm_config_write() carries out what the user writes to PowerState.
TEST_F(VfioFreezeRefusal, DeviceIsInD3hot) {
  const std::size_t capability = PowerCapability();
  if (capability == 0) GTEST_SKIP() << "the device has no Power Management capability";
  ASSERT_OK(SetPowerState(capability, 3));
  ASSERT_OK_AND_ASSIGN(const std::uint32_t state, pci().ReadConfig(capability + PCI_PM_CTRL, 2));
  ASSERT_EQ(state & PCI_PM_CTRL_STATE_MASK, 3U);
  ASSERT_NO_FATAL_FAILURE(ExpectRefused(EINVAL, kToken));
  ASSERT_OK(SetPowerState(capability, 0));
  ExpectWorksAfterReset(dma());  // leaving D3hot may be one (No_Soft_Reset)
}

// The kernel may suspend a device whose user said so at any time, or has done it already.
TEST_F(VfioFreezeRefusal, DeviceMayBeSuspended) {
  ASSERT_OK(SetFeature(VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY));
  ASSERT_NO_FATAL_FAILURE(ExpectRefused(EINVAL, kToken));
  ASSERT_OK(SetFeature(VFIO_DEVICE_FEATURE_LOW_POWER_EXIT));
  ExpectWorksAfterReset(dma());
}

}  // namespace
}  // namespace carryover
