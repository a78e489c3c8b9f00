// SPDX-License-Identifier: GPL-2.0-only
// The claim `file`: a kexec that cannot be is refused before anything is lost, and all devices go
// on, whatever the order of files. Source: vfio_pci_core_freeze() and vfio_pci_core_unfreeze() of
// the reference kernel (ci/kernel/patches).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "drivers/access/event_wait.h"
#include "fixtures/device_file/freeze_test.h"
#include "fixtures/igb/igb_file.h"

namespace carryover {
namespace {

class VfioRefusedKexec : public FreezeTest {
 protected:
  VfioRefusedKexec() : FreezeTest("igb", kIgbOfFiles) {}

  // The kexec is refused at the device, preserved under `token`, because of an interrupt.
  void RefuseAt(DrivenDevice& device, std::uint64_t token) {
    ASSERT_OK_AND_ASSIGN(const EventSet events, EventSet::Create(1));
    PciDevice& pci = device.device().pci();
    ASSERT_OK(pci.EnableInterrupts(InterruptKind::kMsix, events.fds()));
    ASSERT_NO_FATAL_FAILURE(ExpectRefused(EINVAL, token));
    EXPECT_OK(pci.DisableInterrupts(InterruptKind::kMsix));
  }
};
NEEDS_DEVICES(VfioRefusedKexec, "igb", kIgbOfFiles + 1);
NEEDS_CLAIM(VfioRefusedKexec, Claim::kFile);

TEST_F(VfioRefusedKexec, DeviceThatWasNotReachedIsUntouched) {
  ASSERT_OK_AND_ASSIGN(DrivenDevice other, DrivenDevice::Open("igb"));
  ASSERT_OK(other.Start());
  ASSERT_NO_FATAL_FAILURE(Preserve(dma(), 1));
  ASSERT_NO_FATAL_FAILURE(Preserve(other, 2));
  ASSERT_NO_FATAL_FAILURE(RefuseAt(dma(), 1));
  ASSERT_NO_FATAL_FAILURE(ExpectCopies(other));
}

// In the series under review such a device is dead until its driver is bound again.
TEST_F(VfioRefusedKexec, DeviceThatWasFrozenBeforeIsGivenBackReset) {
  ASSERT_OK_AND_ASSIGN(DrivenDevice other, DrivenDevice::Open("igb"));
  ASSERT_OK(other.Start());
  ASSERT_NO_FATAL_FAILURE(Preserve(other, 1));
  ASSERT_NO_FATAL_FAILURE(Preserve(dma(), 2));
  ASSERT_NO_FATAL_FAILURE(RefuseAt(dma(), 2));
  ASSERT_NO_FATAL_FAILURE(ExpectCopies(dma()));
  ASSERT_NO_FATAL_FAILURE(ExpectWorksAfterReset(other));
}

// Freeze holds the device's lock until the jump.
TEST_F(VfioRefusedKexec, DeviceThatWasFrozenBeforeIsUnlocked) {
  ASSERT_OK_AND_ASSIGN(DrivenDevice other, DrivenDevice::Open("igb"));
  ASSERT_NO_FATAL_FAILURE(Preserve(other, 1));
  ASSERT_NO_FATAL_FAILURE(Preserve(dma(), 2));
  ASSERT_NO_FATAL_FAILURE(RefuseAt(dma(), 2));
  ASSERT_OK_AND_ASSIGN(const ListedDevice listed, Devices::Get().Find("igb", 0));
  const auto takes_lock = sysfs().FunctionPath(listed.address) / "driver_override";
  EXPECT_OK(sysfs().Write(takes_lock, kVfioPci, Deadline::After(kBindingTime)));
  ASSERT_OK(other.device().StopShared());
}

// Both orders of two sessions' files, which LUO freezes session after session, with memory among
// them, and nothing preserved anew.
TEST_F(VfioRefusedKexec, EachOfTwoRefusalsInARowGivesAllBack) {
  ASSERT_OK_AND_ASSIGN(DrivenDevice other, DrivenDevice::Open("igb"));
  ASSERT_OK(other.Start());
  ASSERT_OK_AND_ASSIGN(const DmaMemory memory, DmaMemory::Create(kPage, PageKind::kBase));
  ASSERT_NO_FATAL_FAILURE(Preserve(dma(), 1));
  ASSERT_OK(session().Preserve(memory.fd(), 2));
  ASSERT_OK_AND_ASSIGN(const LiveUpdateSession second, CreateSession("rules-freeze-second"));
  ASSERT_OK(PreserveDeviceOf(other.device(), second, 3));
  ASSERT_NO_FATAL_FAILURE(RefuseAt(other, 3));
  ASSERT_NO_FATAL_FAILURE(ExpectWorksAfterReset(dma()));
  ASSERT_NO_FATAL_FAILURE(ExpectCopies(other));
  ASSERT_NO_FATAL_FAILURE(RefuseAt(dma(), 1));
  ASSERT_NO_FATAL_FAILURE(ExpectCopies(dma()));
  ASSERT_NO_FATAL_FAILURE(ExpectCopies(other));
}

}  // namespace
}  // namespace carryover
