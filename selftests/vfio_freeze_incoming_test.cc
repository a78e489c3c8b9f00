// SPDX-License-Identifier: GPL-2.0-only
// The claim `file`: what the freeze leaves behind, as the incoming kernel sees it before any driver
// is bound. Source: vfio_pci_core_freeze() of the reference kernel (ci/kernel/patches), and its
// include/linux/kho/abi/vfio_pci.h. Before the rules of later stages.
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/pci_regs.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>

#include "drivers/access/event_wait.h"
#include "drivers/access/mapped_bar.h"
#include "drivers/access/result_matchers.h"
#include "fixtures/device_file/refused_kexec.h"
#include "fixtures/igb/igb_file.h"

namespace carryover {
namespace {

class VfioFreezeIncoming : public IgbFile {
 protected:
  // A kexec that another file, of the device that is not handed over, refuses; all that was armed
  // by now is frozen before.
  void ArmRefusedKexec() {
    constexpr std::uint64_t kRefuser = 0xf1;
    auto image = KexecImage::Load();
    if (!image && image.error().code == ENOENT) {
      GTEST_SKIP() << "no kernel to load: " << image.error().ToString();
    }
    ASSERT_OK(image);
    ASSERT_OK_AND_ASSIGN(DmaDevice * refuser, Devices::Get().Open("igb"));
    ASSERT_OK_AND_ASSIGN(const LiveUpdateSession session, CreateSession("rules-refuser"));
    ASSERT_OK(PreserveDeviceOf(*refuser, session, kRefuser));
    ASSERT_OK_AND_ASSIGN(const EventSet events, EventSet::Create(1));
    ASSERT_OK(refuser->pci().EnableInterrupts(InterruptKind::kMsix, events.fds()));
    ASSERT_OK_AND_ASSIGN(const Refusal refusal, RefusedKexec());
    EXPECT_OK(refuser->pci().DisableInterrupts(InterruptKind::kMsix));
    EXPECT_EQ(refusal.error.code, EINVAL) << refusal.error.ToString();
    EXPECT_EQ(refusal.token, kRefuser);
  }
};

struct RefusedFirstRecord {
  DmaCopyRecord before;
  DmaCopyRecord after;
};

// What comes of the device's file is seen by all tests after this one.
CONTINUITY_TEST(VfioFreezeIncoming, KexecThatWasRefusedFirstSucceeds, RefusedFirstRecord,
                "A kexec that was refused once carries over what was copied before and after that")
ARM(VfioFreezeIncoming, KexecThatWasRefusedFirstSucceeds) {
  constexpr std::size_t kPayload = 16384;
  ASSERT_NO_FATAL_FAILURE(ArmCopy(kPayload, PageKind::kBase, record.before));
  ASSERT_NO_FATAL_FAILURE(ArmRefusedKexec());
  if (IsSkipped()) return;
  // The device was reset.
  ASSERT_OK(dma().device().StopShared());
  ArmCopy(kPayload, PageKind::kBase, record.after);
}
VERIFY(VfioFreezeIncoming, KexecThatWasRefusedFirstSucceeds) {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kInherited));
  ASSERT_NO_FATAL_FAILURE(VerifyCopy(record.before));
  VerifyCopy(record.after);
}

struct CommandRecord {
  std::uint32_t command;
};

CONTINUITY_TEST(VfioFreezeIncoming, CommandDisablesInterruptsAndNothingElse, CommandRecord,
                "A device that mastered the bus is inherited with INTx disabled, and neither bus "
                "master nor memory decode")
ARM(VfioFreezeIncoming, CommandDisablesInterruptsAndNothingElse) {
  ASSERT_OK(dma().Start());
  ASSERT_OK_AND_ASSIGN(record.command, vfio().ReadConfig(PCI_COMMAND, 2));
  ASSERT_NE(record.command & PCI_COMMAND_MASTER, 0U);
}
VERIFY(VfioFreezeIncoming, CommandDisablesInterruptsAndNothingElse) {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kInherited));
  ASSERT_OK_AND_ASSIGN(const std::uint16_t command, CommandNow());
  EXPECT_EQ(command, PCI_COMMAND_INTX_DISABLE) << fmt::format("it was {:#x}", record.command);
}

// Flow Control Transmit Timer Value (82576 data sheet, 8.2.8): 0 after a reset, 16 bits, and
// without effect as long as flow control is off. Nobody else writes it; in the kernels' shutdown it
// is left alone. Binding vfio-pci would be a reset: the register is read through sysfs before.
constexpr std::size_t kFcttv = 0x170;
constexpr std::uint32_t kNotDefault = 0x5a5a;

CONTINUITY_TEST(VfioFreezeIncoming, DeviceWasReset, NothingRecord,
                "A register that software had written is back at its default")
ARM(VfioFreezeIncoming, DeviceWasReset) {
  ASSERT_OK(dma().Start());
  ASSERT_OK_AND_ASSIGN(Mmio * registers, vfio().Bar(0));
  registers->Write32(kFcttv, kNotDefault);
  ASSERT_EQ(registers->Read32(kFcttv), kNotDefault);
}
VERIFY(VfioFreezeIncoming, DeviceWasReset) {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kInherited));
  const Deadline deadline = Deadline::After(std::chrono::seconds(5));
  ASSERT_OK(sysfs().Write(Attribute("enable"), "1", deadline));
  {
    const UniqueFd resource(open(Attribute("resource0").c_str(), O_RDWR | O_CLOEXEC));
    ASSERT_TRUE(resource.valid()) << strerrordesc_np(errno);
    ASSERT_OK_AND_ASSIGN(const auto registers, MappedBar::Map(resource.get(), 0, 0x1000));
    EXPECT_EQ(registers->Read32(kFcttv), 0U);
  }
  EXPECT_OK(sysfs().Write(Attribute("enable"), "0", deadline));
}

}  // namespace
}  // namespace carryover
