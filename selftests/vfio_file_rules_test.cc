// SPDX-License-Identifier: GPL-2.0-only
// The claim `file`: which files of vfio-pci can be preserved, and what holds while one is. No
// kexec. Where a rule comes from: drivers/vfio/pci/vfio_pci_liveupdate.c of the reference kernel
// (ci/kernel/patches) unless the test names another place; LUO's own are in kernel/liveupdate.
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <optional>

#include "drivers/access/binding.h"
#include "drivers/access/driver_watch.h"
#include "drivers/access/event_wait.h"
#include "drivers/access/result_matchers.h"
#include "fixtures/child_process/child_process.h"
#include "fixtures/device_file/carried_device.h"
#include "fixtures/device_file/in_flight.h"
#include "fixtures/device_need/device_need.h"
#include "fixtures/dma/driven_device.h"
#include "fixtures/igb/igb_file.h"
#include "fixtures/soak/soak.h"

namespace carryover {
namespace {

UniqueFd Memfd() {
  UniqueFd fd(memfd_create("rule", MFD_CLOEXEC));
  EXPECT_TRUE(fd.valid()) << strerrordesc_np(errno);
  return fd;
}

class VfioFileRules : public ::testing::Test {
 protected:
  static constexpr std::uint64_t kToken = 1;

  static void SetUpTestSuite() { Devices::Get().Close("igb", kIgbOfFiles); }
  static void TearDownTestSuite() { device_.reset(); }

  void SetUp() override {
    auto listed = Devices::Get().Bind("igb", kIgbOfFiles);
    ASSERT_OK(listed);
    listed_.emplace(*listed);
    auto session = CreateSession("rules-device-file");
    ASSERT_OK(session);
    session_.emplace(std::move(*session));
    if (!device_) {
      ASSERT_NO_FATAL_FAILURE(OpenBound());
    }
    ASSERT_NO_FATAL_FAILURE(ExpectClaim());
  }

  void TearDown() override { EXPECT_OK(Devices::Get().CheckNobodyElseBound()); }

  // The device by its cdev, bound to an iommufd; shared by the tests, as opening is a reset.
  [[nodiscard]] static VfioPciDevice& device() { return *device_; }
  static void CloseBound() { device_.reset(); }
  void OpenBound() { ASSERT_OK_AND_ASSIGN(device_, TryOpen(IommuMode::kIommufd)); }
  [[nodiscard]] Result<std::unique_ptr<VfioPciDevice>> TryOpen(IommuMode mode) const {
    return VfioPciDevice::Open(listed_->address, mode, sysfs());
  }
  // Another file of the cdev, bound to nothing.
  [[nodiscard]] Result<UniqueFd> OpenUnbound() const { return OpenVfioCdev(address(), sysfs()); }

  [[nodiscard]] static const Sysfs& sysfs() { return Devices::Get().sysfs(); }
  [[nodiscard]] const PciAddress& address() const { return listed_->address; }
  [[nodiscard]] const LiveUpdateSession& session() const { return *session_; }
  void CloseSession() { session_.reset(); }
  void PreserveDevice() {
    const auto preserved = PreserveDeviceFile(session(), device().fd(), kToken);
    if (!preserved) FAIL() << preserved.error().ToString();
  }

  // Nothing is left of the attempt: the token is free.
  void ExpectRefused(int file) {
    EXPECT_THAT(session().Preserve(file, kToken), FailsWith(ENOENT));
    EXPECT_OK(session().Preserve(Memfd().get(), kToken));
  }

 private:
  // Where nothing is preserved, all that is to be refused would be.
  void ExpectClaim() {
    if (is_claim_seen_) return;
    ASSERT_OK_AND_ASSIGN(const LiveUpdateSession session, CreateSession("rules-claim"));
    const auto preserved = PreserveDeviceFile(session, device().fd(), kToken);
    if (!preserved) FAIL() << preserved.error().ToString();
    is_claim_seen_ = true;
  }

  static inline std::unique_ptr<VfioPciDevice> device_;
  static inline bool is_claim_seen_ = false;
  std::optional<ListedDevice> listed_;
  std::optional<LiveUpdateSession> session_;
};
NEEDS_DEVICES(VfioFileRules, "igb", kIgbOfFiles + 1);
NEEDS_CLAIM(VfioFileRules, Claim::kFile);

// Which files.

// The claim itself: what all other tests of it stand on.
TEST_F(VfioFileRules, BoundCdevFileIsPreserved) { PreserveDevice(); }

// vfio_file_is_bound_cdev()
TEST_F(VfioFileRules, UnboundCdevFileIsRefused) {
  CloseBound();
  ASSERT_OK_AND_ASSIGN(const UniqueFd unbound, OpenUnbound());
  ExpectRefused(unbound.get());
}

// The file is asked, not the device: the series under review asks vfio_device_cdev_opened(), and
// takes this file.
TEST_F(VfioFileRules, SecondUnboundFileOfABoundDeviceIsRefused) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd unbound, OpenUnbound());
  ExpectRefused(unbound.get());
}

TEST_F(VfioFileRules, BoundFileIsPreservedBesideAnUnboundOne) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd unbound, OpenUnbound());
  PreserveDevice();
}

TEST_F(VfioFileRules, DeviceFileOfAGroupIsRefused) {
  CloseBound();
  ASSERT_OK_AND_ASSIGN(const auto device, TryOpen(IommuMode::kType1v2));
  ExpectRefused(device->fd());
}

// LUO finds no handler: neither is a file of vfio_device_fops.
TEST_F(VfioFileRules, GroupFileIsRefused) {
  CloseBound();
  const auto group = sysfs().IommuGroup(address());
  ASSERT_TRUE(group);
  const UniqueFd file(open(fmt::format("/dev/vfio/{}", *group).c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(file.valid()) << strerrordesc_np(errno);
  ExpectRefused(file.get());
}

TEST_F(VfioFileRules, ContainerFileIsRefused) {
  const UniqueFd file(open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(file.valid()) << strerrordesc_np(errno);
  ExpectRefused(file.get());
}

TEST_F(VfioFileRules, IommufdIsRefused) {
  ASSERT_OK_AND_ASSIGN(const auto iommufd, Iommufd::Open());
  ExpectRefused(iommufd->fd());
}

// luo_preserve_file(): fget()
TEST_F(VfioFileRules, ClosedFileNumberIsRefused) {
  ASSERT_OK_AND_ASSIGN(UniqueFd file, OpenUnbound());
  const int number = file.get();
  file = UniqueFd();
  EXPECT_THAT(session().Preserve(number, kToken), FailsWith(EBADF));
}

// Tokens and sessions: luo_preserve_file().

TEST_F(VfioFileRules, TokenInUseIsRefused) {
  ASSERT_OK(session().Preserve(Memfd().get(), kToken));
  EXPECT_THAT(session().Preserve(device().fd(), kToken), FailsWith(EEXIST));
}

TEST_F(VfioFileRules, PreservedFileIsRefusedUnderItsToken) {
  ASSERT_NO_FATAL_FAILURE(PreserveDevice());
  EXPECT_THAT(session().Preserve(device().fd(), kToken), FailsWith(EEXIST));
}

TEST_F(VfioFileRules, PreservedFileIsRefusedUnderAnotherToken) {
  ASSERT_NO_FATAL_FAILURE(PreserveDevice());
  EXPECT_THAT(session().Preserve(device().fd(), kToken + 1), FailsWith(EBUSY));
}

TEST_F(VfioFileRules, PreservedFileIsRefusedThroughADuplicate) {
  ASSERT_NO_FATAL_FAILURE(PreserveDevice());
  const UniqueFd duplicate(dup(device().fd()));
  EXPECT_THAT(session().Preserve(duplicate.get(), kToken + 1), FailsWith(EBUSY));
}

TEST_F(VfioFileRules, PreservedFileIsRefusedInAnotherSession) {
  ASSERT_OK_AND_ASSIGN(const LiveUpdateSession other, CreateSession("rules-other"));
  ASSERT_NO_FATAL_FAILURE(PreserveDevice());
  EXPECT_THAT(other.Preserve(device().fd(), kToken), FailsWith(EBUSY));
}

TEST_F(VfioFileRules, RetrieveFromAnOutgoingSessionIsRefused) {
  ASSERT_NO_FATAL_FAILURE(PreserveDevice());
  EXPECT_THAT(session().Retrieve(kToken), FailsWith(EINVAL));
}

TEST_F(VfioFileRules, FinishOfAnOutgoingSessionIsRefused) {
  ASSERT_NO_FATAL_FAILURE(PreserveDevice());
  EXPECT_THAT(session().Finish(), FailsWith(EINVAL));
}

TEST_F(VfioFileRules, MemoryAndDeviceShareASession) {
  ASSERT_OK(session().Preserve(Memfd().get(), kToken + 1));
  ASSERT_NO_FATAL_FAILURE(PreserveDevice());
  EXPECT_OK(session().Preserve(Memfd().get(), kToken + 2));
}

TEST_F(VfioFileRules, ClosingTheSessionUndoesAll) {
  ASSERT_NO_FATAL_FAILURE(PreserveDevice());
  CloseSession();
  ASSERT_OK_AND_ASSIGN(const LiveUpdateSession other, CreateSession("rules-other"));
  EXPECT_OK(other.Preserve(device().fd(), kToken));
}

// pci_liveupdate_unpreserve(): with the last device the whole account goes, so another one stays.
TEST_F(VfioFileRules, DeviceIsFreeAgainWhileAnotherIsPreserved) {
  ASSERT_OK_AND_ASSIGN(DrivenDevice another, DrivenDevice::Open("igb"));
  ASSERT_OK_AND_ASSIGN(const VfioPciDevice* vfio, VfioDeviceOf(another.device()));
  ASSERT_OK_AND_ASSIGN(const LiveUpdateSession other, CreateSession("rules-other"));
  ASSERT_OK(PreserveDeviceFile(other, vfio->fd(), kToken));
  ASSERT_NO_FATAL_FAILURE(PreserveDevice());
  CloseSession();
  ASSERT_OK_AND_ASSIGN(const LiveUpdateSession next, CreateSession("rules-next"));
  EXPECT_OK(PreserveDeviceFile(next, device().fd(), kToken));
}

// A rescan goes through all functions, and the account of preserved ones is asked for each that is
// new (pci_liveupdate_setup_device()).
TEST_F(VfioFileRules, RescansMeanwhileDoNotDisturbPreserving) {
  const InFlight rescans([] { WriteQuietly(sysfs().root() / "bus/pci/rescan", "1"); });
  const unsigned wanted = Soak::Times(4);
  const Deadline deadline = Deadline::After(wanted * kBindingTime);
  unsigned preserved = 0;
  for (; rescans.times() < wanted; ++preserved) {
    ASSERT_FALSE(deadline.Passed()) << rescans.times() << " rescans";
    ASSERT_OK_AND_ASSIGN(const LiveUpdateSession other, CreateSession("rules-other"));
    ASSERT_OK(PreserveDeviceFile(other, device().fd(), kToken));
  }
  RecordProperty("preserved", static_cast<int>(preserved));
}

// While it is preserved.

// "While the file is preserved the device can be used by it as ever."
TEST_F(VfioFileRules, PreservedDeviceIsReset) {
  ASSERT_NO_FATAL_FAILURE(PreserveDevice());
  EXPECT_OK(device().Reset());
}

TEST_F(VfioFileRules, PreservedDeviceTakesConfigurationWrites) {
  ASSERT_NO_FATAL_FAILURE(PreserveDevice());
  for (const bool on : {true, false}) {
    ASSERT_OK(device().SetBusMaster(on));
    ASSERT_OK_AND_ASSIGN(const std::uint32_t command, device().ReadConfig(PCI_COMMAND, 2));
    EXPECT_EQ((command & PCI_COMMAND_MASTER) != 0, on);
  }
}

TEST_F(VfioFileRules, PreservedDeviceHasItsRegisters) {
  ASSERT_NO_FATAL_FAILURE(PreserveDevice());
  ASSERT_OK_AND_ASSIGN(Mmio * registers, device().Bar(0));
  constexpr std::size_t kStatus = 0x8;  // 82576 data sheet, 8.2.2
  EXPECT_NE(registers->Read32(kStatus), ~0U);
}

TEST_F(VfioFileRules, PreservedDeviceHasInterruptsEnabledAndDisabled) {
  ASSERT_NO_FATAL_FAILURE(PreserveDevice());
  ASSERT_OK_AND_ASSIGN(const EventSet events, EventSet::Create(1));
  EXPECT_OK(device().EnableInterrupts(InterruptKind::kMsix, events.fds()));
  EXPECT_OK(device().DisableInterrupts(InterruptKind::kMsix));
}

// LUO holds a reference of the file: vfio_df_device_first_open() is not reached by another one.
TEST_F(VfioFileRules, DeviceStaysOpenWhenItsUserClosesIt) {
  ASSERT_NO_FATAL_FAILURE(PreserveDevice());
  CloseBound();
  EXPECT_THAT(TryOpen(IommuMode::kIommufd), FailsWith(EINVAL));
  CloseSession();
  EXPECT_THAT(TryOpen(IommuMode::kIommufd), IsOk());
}

// The process that used the device, and preserved it in a session that it has from another one.
TEST_F(VfioFileRules, DeviceStaysPreservedWhenItsUserDies) {
  CloseBound();
  ASSERT_EQ(StatusOfChild([this] {
              const auto opened = TryOpen(IommuMode::kIommufd);
              return opened && session().Preserve((*opened)->fd(), kToken) ? 0 : 1;
            }),
            0);
  EXPECT_THAT(TryOpen(IommuMode::kIommufd), FailsWith(EINVAL));
  CloseSession();
  ASSERT_NO_FATAL_FAILURE(OpenBound());
}

// luo_session_release(): with the last process that has the session it is closed.
TEST_F(VfioFileRules, DeathOfTheSessionsHolderUnpreserves) {
  ASSERT_EQ(StatusOfChild([] {
              const auto held = CreateSession("rules-held-by-child");
              return held && held->Preserve(device().fd(), kToken) ? 0 : 1;
            }),
            0);
  ASSERT_NO_FATAL_FAILURE(PreserveDevice());
}

TEST_F(VfioFileRules, SecondFileOfAPreservedDeviceCannotBeBound) {
  ASSERT_NO_FATAL_FAILURE(PreserveDevice());
  EXPECT_THAT(TryOpen(IommuMode::kIommufd), FailsWith(EINVAL));
}

// vfio_unregister_group_dev() waits for the last file.
TEST_F(VfioFileRules, UnbindWaitsUntilTheSessionIsClosed) {
  ASSERT_NO_FATAL_FAILURE(PreserveDevice());
  CloseBound();
  ASSERT_OK_AND_ASSIGN(DriverWatch watch, DriverWatch::Open());
  const auto unbind = sysfs().FunctionPath(address()) / "driver" / "unbind";
  EXPECT_THAT(
      sysfs().Write(unbind, address().ToString(), Deadline::After(std::chrono::milliseconds(300))),
      FailsWith(ETIMEDOUT));
  CloseSession();
  ASSERT_OK_AND_ASSIGN(const DriverEvent event,
                       watch.Next(address(), Deadline::After(kBindingTime)));
  EXPECT_FALSE(event.bound);
  ASSERT_OK(BindTo(sysfs(), address(), kVfioPci, Deadline::After(kBindingTime)));
  EXPECT_THAT(TryOpen(IommuMode::kIommufd), IsOk());
  EXPECT_THAT(Devices::Get().CheckNobodyElseBound(), FailsWith(EBUSY)) << "it was this test";
}

}  // namespace
}  // namespace carryover
