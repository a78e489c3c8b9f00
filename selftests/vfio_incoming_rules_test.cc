// SPDX-License-Identifier: GPL-2.0-only
// The claim `file` in the incoming kernel: what holds of a device that was handed over, until its
// file is in use again. In the order of the stages of CarriedDevice. Where a rule comes from:
// drivers/vfio/pci/vfio_pci_liveupdate.c of the reference kernel (ci/kernel/patches) unless the
// test names another place.
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "drivers/access/binding.h"
#include "drivers/access/result_matchers.h"
#include "fixtures/igb/igb_file.h"
#include "fixtures/kernel_log/expected_message.h"
#include "fixtures/kernel_log/kernel_log.h"

namespace carryover {
namespace {

constexpr std::uint64_t kFileToken = CarriedDevice::kFileToken;

// The first page of a device's region.
class Mapping {
 public:
  Mapping(int file, std::uint64_t offset)
      : address_(mmap(nullptr, kPageSize, PROT_READ | PROT_WRITE, MAP_SHARED, file,
                      static_cast<off_t>(offset))) {}
  ~Mapping() {
    if (IsValid()) munmap(address_, kPageSize);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  [[nodiscard]] bool IsValid() const { return address_ != MAP_FAILED; }
  // The kernel reads it for us, and says EFAULT where we would get a SIGBUS.
  [[nodiscard]] bool IsReadable() const {
    const UniqueFd memory(memfd_create("registers", MFD_CLOEXEC));
    EXPECT_TRUE(memory.valid()) << strerrordesc_np(errno);
    return pwrite(memory.get(), address_, sizeof(std::uint32_t), 0) ==
           ssize_t{sizeof(std::uint32_t)};
  }

 private:
  static constexpr std::size_t kPageSize = 4096;
  void* address_;
};

class VfioIncomingRules : public IgbFile {
 protected:
  [[nodiscard]] const LiveUpdateSession& session() { return carried().incoming(); }
  [[nodiscard]] std::vector<PciAddress> Bridges() { return BridgesAbove(sysfs(), address()); }

  [[nodiscard]] Result<UniqueFd> OpenCdev() { return OpenVfioCdev(address(), sysfs()); }
};

// pci_liveupdate_may_bind(): the bench's kernel has a driver for igb, which it loads at boot.
DEVICE_FILE_RULE(VfioIncomingRules, NativeDriverDoesNotBindByItself,
                 "No driver is bound to a preserved device when user space comes up") {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kInherited));
  EXPECT_EQ(sysfs().Driver(address()), std::nullopt);
}

// pci_liveupdate_setup_device(). That the device is preserved as before is what all later tests
// ask.
DEVICE_FILE_RULE(VfioIncomingRules, RemovedDeviceIsFoundAgain,
                 "A preserved device that is removed through sysfs is found again, and is still "
                 "kept from other drivers") {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kInherited));
  ALLOW_KERNEL_MESSAGE(address().ToString() + ": removed before its live update is finished");
  const auto remove = sysfs().FunctionPath(address()) / "remove";
  ASSERT_OK(sysfs().Write(remove, "1", Deadline::After(kBindingTime)));
  EXPECT_FALSE(sysfs().Exists(address()));
  const auto rescan = sysfs().root() / "bus/pci/rescan";
  ASSERT_OK(sysfs().Write(rescan, "1", Deadline::After(kBindingTime)));
  ASSERT_TRUE(sysfs().Exists(address()));
  EXPECT_EQ(sysfs().Driver(address()), std::nullopt);
}

DEVICE_FILE_RULE(VfioIncomingRules, NativeDriverIsNotBound,
                 "A driver that is asked to bind a preserved device does not") {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kInherited));
  const auto bind = sysfs().root() / "bus/pci/drivers/igb/bind";
  EXPECT_THAT(sysfs().Write(bind, address().ToString(), Deadline::After(kBindingTime)),
              FailsWith(ENODEV));
  EXPECT_EQ(sysfs().Driver(address()), std::nullopt);
}

// pci_liveupdate_setup_device(), which tells of each in the kernel's log. Another implementation
// need not, and then nothing else shows it.
DEVICE_FILE_RULE(VfioIncomingRules, BridgesArePreservedWithTheDevice,
                 "The incoming kernel knows the device and each bridge above it as preserved") {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kInherited));
  ASSERT_OK_AND_ASSIGN(KernelLog log, KernelLog::Open(KernelLog::From::kBoot));
  ASSERT_OK_AND_ASSIGN(const auto messages, log.ReadAll());
  const auto is_told_of = [&messages](const PciAddress& function) {
    const std::string told = function.ToString() + ": preserved by the previous kernel";
    return std::ranges::any_of(
        messages, [&told](const KernelMessage& message) { return message.text.contains(told); });
  };
  const auto bridges = Bridges();
  if (bridges.empty()) GTEST_SKIP() << "the device is on the root bus";
  if (!is_told_of(address()))
    GTEST_SKIP() << "this kernel does not log which devices are preserved";
  for (const PciAddress& bridge : bridges) EXPECT_TRUE(is_told_of(bridge)) << bridge.ToString();
}

// pci_liveupdate_may_bind(): the driver of a bridge is needed for what is below it.
DEVICE_FILE_RULE(VfioIncomingRules, BridgesHaveTheirDriver,
                 "Each bridge above a preserved device is driven, as without a live update") {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kInherited));
  for (const PciAddress& bridge : Bridges()) {
    EXPECT_EQ(sysfs().Driver(bridge), "pcieport") << bridge.ToString();
  }
}

// luo_session_retrieve()
DEVICE_FILE_RULE(VfioIncomingRules, SessionIsRetrievedOnce,
                 "A retrieved session cannot be retrieved again: EINVAL") {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kInherited));
  EXPECT_THAT(RetrieveSession(session().name()), FailsWith(EINVAL));
}

DEVICE_FILE_RULE(VfioIncomingRules, PreserveInAnIncomingSessionIsRefused, "EINVAL") {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kInherited));
  ASSERT_OK_AND_ASSIGN(const UniqueFd memory, MakeMemfd(4096));
  EXPECT_THAT(session().Preserve(memory.get(), kFileToken + 1), FailsWith(EINVAL));
}

// Patch 1 lets a handler say so: in the series under review such a failure is for good.
DEVICE_FILE_RULE(
    VfioIncomingRules, RetrieveBeforeTheDriverIsBoundCanBeTriedAgain,
    "Without vfio-pci the file is not there (ENODEV), which the later tests' retrieving "
    "shows not to be for good") {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kInherited));
  EXPECT_THAT(session().Retrieve(kFileToken), FailsWith(ENODEV));
  EXPECT_THAT(session().Retrieve(kFileToken), FailsWith(ENODEV));
}

DEVICE_FILE_RULE(VfioIncomingRules, WrongTokenIsUnknown,
                 "Retrieving by a token that was not given is ENOENT") {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kDriverBound));
  EXPECT_THAT(session().Retrieve(kFileToken + 77), FailsWith(ENOENT));
}

// vfio_device_fops_cdev_open()
DEVICE_FILE_RULE(VfioIncomingRules, CdevIsBusyBeforeRetrieve,
                 "A preserved device cannot be opened by its cdev: EBUSY") {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kDriverBound));
  EXPECT_THAT(OpenCdev(), FailsWith(EBUSY));
}

// vfio_group_fops_open()
DEVICE_FILE_RULE(VfioIncomingRules, GroupIsBusy,
                 "The group of a preserved device cannot be opened: EBUSY") {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kDriverBound));
  const std::optional<unsigned> number = sysfs().IommuGroup(address());
  ASSERT_TRUE(number);
  const UniqueFd group(open(fmt::format("/dev/vfio/{}", *number).c_str(), O_RDWR | O_CLOEXEC));
  EXPECT_TRUE(!group.valid() && errno == EBUSY) << strerrordesc_np(errno);
}

// can_finish()
DEVICE_FILE_RULE(VfioIncomingRules, FinishBeforeRetrieveIsBusy,
                 "A session cannot be finished before the device's file is retrieved: EBUSY") {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kDriverBound));
  EXPECT_THAT(session().Finish(), FailsWith(EBUSY));
}

DEVICE_FILE_RULE(VfioIncomingRules, FailedRetrieveIsTriedAgain,
                 "The file that was not there without vfio-pci is, once that is bound") {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kRetrieved));
}

DEVICE_FILE_RULE(VfioIncomingRules, FinishBeforeBindIsBusy,
                 "A session cannot be finished before the file is bound to an iommufd: EBUSY") {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kRetrieved));
  EXPECT_THAT(session().Finish(), FailsWith(EBUSY));
}

DEVICE_FILE_RULE(VfioIncomingRules, CdevIsBusyAfterRetrieve,
                 "The retrieved file is the only one: open is EBUSY") {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kRetrieved));
  EXPECT_THAT(OpenCdev(), FailsWith(EBUSY));
}

// vfio_device_fops_unl_ioctl(): as any cdev file that is not bound.
DEVICE_FILE_RULE(VfioIncomingRules, RetrievedFileIsUnbound,
                 "Before it is bound, the retrieved file gives no access") {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kRetrieved));
  vfio_device_info info{};
  info.argsz = sizeof(info);
  EXPECT_EQ(ioctl(carried().file(), VFIO_DEVICE_GET_INFO, &info), -1);
  EXPECT_EQ(errno, EINVAL);
}

// The same open file, not a second one: binding one binds the other. The suite after this one binds
// the first.
DEVICE_FILE_RULE(VfioIncomingRules, RetrieveAgainGivesTheSameFile,
                 "Another retrieve is another fd of the same file") {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kRetrieved));
  ASSERT_OK_AND_ASSIGN(const UniqueFd again, session().Retrieve(kFileToken));
  EXPECT_NE(again.get(), carried().file());
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kInUse));
  vfio_device_info info{};
  info.argsz = sizeof(info);
  EXPECT_EQ(ioctl(again.get(), VFIO_DEVICE_GET_INFO, &info), 0) << strerrordesc_np(errno);
}

// vfio_device_cdev_getfile(): the file maps what that of the cdev would, which is where
// vfio_pci_zap_bars() looks for mappings.
DEVICE_FILE_RULE(VfioIncomingRules, MappingsOfTheRetrievedFileAreRevoked,
                 "When memory decode is disabled, no mapping of the device's registers is left") {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kInUse));
  vfio_region_info bar{};
  bar.argsz = sizeof(bar);
  bar.index = VFIO_PCI_BAR0_REGION_INDEX;
  ASSERT_EQ(ioctl(vfio().fd(), VFIO_DEVICE_GET_REGION_INFO, &bar), 0) << strerrordesc_np(errno);
  const Mapping registers(vfio().fd(), bar.offset);
  ASSERT_TRUE(registers.IsValid()) << strerrordesc_np(errno);
  ASSERT_OK_AND_ASSIGN(const std::uint32_t command, vfio().ReadConfig(PCI_COMMAND, 2));
  ASSERT_OK(vfio().WriteConfig(PCI_COMMAND, 2, command | PCI_COMMAND_MEMORY));
  ASSERT_TRUE(registers.IsReadable());
  ASSERT_OK(vfio().WriteConfig(PCI_COMMAND, 2, command & ~std::uint32_t{PCI_COMMAND_MEMORY}));
  EXPECT_FALSE(registers.IsReadable());
  EXPECT_OK(vfio().WriteConfig(PCI_COMMAND, 2, command));
}

DEVICE_FILE_RULE(VfioIncomingRules, PreserveBeforeFinishIsBusy,
                 "The file cannot be preserved for the next kexec before this one's is finished") {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kInUse));
  ASSERT_OK_AND_ASSIGN(const LiveUpdateSession next, CreateSession("rules-next"));
  EXPECT_THAT(next.Preserve(carried().file(), kFileToken), FailsWith(EBUSY));
}

DEVICE_FILE_RULE(VfioIncomingRules, CdevIsBusyBeforeFinish,
                 "The device cannot be opened while it is in use: EBUSY") {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kInUse));
  EXPECT_THAT(OpenCdev(), FailsWith(EBUSY));
}

}  // namespace
}  // namespace carryover
