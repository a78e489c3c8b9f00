// SPDX-License-Identifier: GPL-2.0-only
// The claim `file`: a kexec that cannot be is refused before anything is lost, and all devices go
// on. Source: vfio_pci_core_freeze() and vfio_pci_core_unfreeze() of the reference kernel
// (ci/kernel/patches). A kernel that does not refuse jumps into one that nobody waits for: the
// verdict is RESET.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <optional>

#include "drivers/access/event_wait.h"
#include "drivers/access/result_matchers.h"
#include "fixtures/device_file/carried_device.h"
#include "fixtures/dma/device_test.h"
#include "fixtures/igb/igb_continuity.h"
#include "fixtures/kernel_log/kernel_log.h"
#include "fixtures/kexec/kexec.h"
#include "fixtures/pattern/pattern_matchers.h"

namespace carryover {
namespace {

constexpr std::size_t kGuard = GuardedMemory::kGuard;

class VfioRefusedKexec : public DeviceTest {
 protected:
  VfioRefusedKexec() : DeviceTest("igb", kIgbOfFiles) {}

  void SetUp() override {
    if (const auto why = WhyNotPreservable()) GTEST_SKIP() << *why;
    const auto image = FindKernelImage();
    if (!image) GTEST_SKIP() << "no kernel to load: " << image.error().ToString();
    ASSERT_NO_FATAL_FAILURE(DeviceTest::SetUp());
    ASSERT_OK(LoadKexecImage(*image, "", "console=ttyS0 panic=-1"));
    is_loaded_ = true;
    auto session = CreateSession("rules-refused-kexec");
    ASSERT_OK(session);
    session_.emplace(std::move(*session));
  }
  void TearDown() override {
    DeviceTest::TearDown();
    session_.reset();
    if (!is_loaded_) return;
    EXPECT_OK(UnloadKexecImage());
  }

  void Preserve(DrivenDevice& device, std::uint64_t token) {
    ASSERT_OK_AND_ASSIGN(const VfioPciDevice* vfio, VfioDeviceOf(device.device()));
    const auto preserved = PreserveDeviceFile(*session_, vfio->fd(), token);
    if (!preserved) FAIL() << preserved.error().ToString();
  }

  // An interrupt is enabled, and back comes EINVAL, from LUO: without an image it would be the
  // same.
  void KexecWithInterruptsEnabled(const EventSet& events) {
    ASSERT_OK(dma().device().pci().EnableInterrupts(InterruptKind::kMsix, events.fds()));
    ASSERT_OK_AND_ASSIGN(KernelLog log, KernelLog::Open(KernelLog::From::kNow));
    const Error error = JumpToKexecImage();
    EXPECT_EQ(error.code, EINVAL) << error.ToString();
    EXPECT_OK(
        log.WaitFor("luo: Freeze failed for token", Deadline::After(std::chrono::seconds(5))));
  }

  void ExpectCopies(DrivenDevice& device) {
    ASSERT_OK_AND_ASSIGN(const GuardedMemory source, MakeGuarded(4 * kPage));
    ASSERT_OK_AND_ASSIGN(const GuardedMemory destination, MakeGuarded(4 * kPage));
    const PatternKey key{.seed = ++copies_, .generation = 0};
    FillPattern(source.payload(), key);
    ASSERT_OK_AND_ASSIGN(const Iova from, device.Map(source.memory()));
    ASSERT_OK_AND_ASSIGN(const Iova to, device.Map(destination.memory()));
    ASSERT_OK(device.Copy({from + kGuard, to + kGuard, 4 * kPage}));
    EXPECT_THAT(destination.payload(), HoldsPattern(key));
    ExpectGuards(destination);
    (void)device.TakeMappings();
  }

 private:
  bool is_loaded_ = false;
  std::optional<LiveUpdateSession> session_;
  std::uint64_t copies_ = 0;
};
NEEDS_DEVICE(VfioRefusedKexec, "igb");
NEEDS_CLAIM(VfioRefusedKexec, Claim::kFile);

TEST_F(VfioRefusedKexec, DeviceWithAnInterruptEnabledGoesOn) {
  ASSERT_NO_FATAL_FAILURE(ExpectCopies(dma()));
  ASSERT_NO_FATAL_FAILURE(Preserve(dma(), 1));
  ASSERT_OK_AND_ASSIGN(EventSet events, EventSet::Create(1));
  ASSERT_NO_FATAL_FAILURE(KexecWithInterruptsEnabled(events));
  // It was not frozen: neither driver nor interrupt has to be set up again.
  ASSERT_NO_FATAL_FAILURE(ExpectCopies(dma()));
  ASSERT_OK(driver().RaiseInterrupt());
  ASSERT_OK_AND_ASSIGN(const std::uint64_t times, events.Wait(0, DrivenDevice::Patience()));
  EXPECT_EQ(times, 1U);
  EXPECT_OK(dma().device().pci().DisableInterrupts(InterruptKind::kMsix));
}

// In the series under review such a device is dead until its driver is bound again.
TEST_F(VfioRefusedKexec, DeviceThatWasFrozenBeforeIsGivenBackReset) {
  ASSERT_OK_AND_ASSIGN(DrivenDevice other, DrivenDevice::Open("igb"));
  ASSERT_OK(other.Start());
  ASSERT_NO_FATAL_FAILURE(Preserve(other, 1));
  ASSERT_NO_FATAL_FAILURE(Preserve(dma(), 2));
  ASSERT_OK_AND_ASSIGN(const EventSet events, EventSet::Create(1));
  ASSERT_NO_FATAL_FAILURE(KexecWithInterruptsEnabled(events));
  EXPECT_OK(dma().device().pci().DisableInterrupts(InterruptKind::kMsix));
  ASSERT_NO_FATAL_FAILURE(ExpectCopies(dma()));
  ASSERT_OK(other.device().StopShared());
  ASSERT_OK(other.Start());
  ASSERT_NO_FATAL_FAILURE(ExpectCopies(other));
  ASSERT_OK_AND_ASSIGN(const std::uint64_t times, other.RaiseAndAwaitInterrupt());
  EXPECT_EQ(times, 1U);
}

TEST_F(VfioRefusedKexec, DeviceThatWasNotReachedIsUntouched) {
  ASSERT_OK_AND_ASSIGN(DrivenDevice other, DrivenDevice::Open("igb"));
  ASSERT_OK(other.Start());
  ASSERT_NO_FATAL_FAILURE(Preserve(dma(), 1));
  ASSERT_NO_FATAL_FAILURE(Preserve(other, 2));
  ASSERT_OK_AND_ASSIGN(const EventSet events, EventSet::Create(1));
  ASSERT_NO_FATAL_FAILURE(KexecWithInterruptsEnabled(events));
  EXPECT_OK(dma().device().pci().DisableInterrupts(InterruptKind::kMsix));
  ASSERT_NO_FATAL_FAILURE(ExpectCopies(other));
}

}  // namespace
}  // namespace carryover
