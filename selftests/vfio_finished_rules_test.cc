// SPDX-License-Identifier: GPL-2.0-only
// The claim `file` in the incoming kernel, when the live update of a device's file is finished: all
// is as it was before any live update. After the tests that use the device. Source of the rules:
// drivers/vfio/pci/vfio_pci_liveupdate.c of the reference kernel (ci/kernel/patches).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "drivers/access/result_matchers.h"
#include "fixtures/igb/igb_file.h"

namespace carryover {
namespace {

constexpr std::uint64_t kFileToken = CarriedDevice::kFileToken;

class VfioFinishedRules : public IgbFile {};

DEVICE_FILE_RULE(VfioFinishedRules, CdevIsOpened, "The device's cdev can be opened again") {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kFinished));
  EXPECT_OK(OpenVfioCdev(carried().listed().address, Devices::Get().sysfs()));
}

// luo_file_retrieve(): the session has no files any more.
DEVICE_FILE_RULE(VfioFinishedRules, NothingIsLeftToRetrieve,
                 "Retrieving the file again is ENOENT") {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kFinished));
  EXPECT_THAT(carried().incoming().Retrieve(kFileToken), FailsWith(ENOENT));
}

DEVICE_FILE_RULE(VfioFinishedRules, FinishingAgainChangesNothing,
                 "A session that is finished can be finished again, and the device stays in use") {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kFinished));
  EXPECT_OK(carried().incoming().Finish());
  EXPECT_OK(vfio().ReadConfig(0, 4));
}

DEVICE_FILE_RULE(VfioFinishedRules, FileIsPreservedAgain,
                 "The file can be preserved for the next kexec") {
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kFinished));
  ASSERT_OK_AND_ASSIGN(const LiveUpdateSession next, CreateSession("rules-next"));
  EXPECT_OK(PreserveDeviceFile(next, carried().file(), kFileToken));
}

constexpr std::size_t kPayload = 16384;

// The last one: it preserves the file again.
class IgbFileGenerations : public IgbFile {};

CONTINUITY_CHAIN(IgbFileGenerations, KexecAfterKexec, DmaCopyRecord, 2,
                 "A retrieved file is preserved again, and gives the device in the kernel after")
ARM(IgbFileGenerations, KexecAfterKexec) { ArmCopy(kPayload, PageKind::kBase, record); }
VERIFY(IgbFileGenerations, KexecAfterKexec) {
  EXPECT_EQ(record.key.generation, generation() - 1) << "the ledger's record is stale";
  ASSERT_NO_FATAL_FAILURE(GoTo(Stage::kFinished));
  ASSERT_NO_FATAL_FAILURE(VerifyCopy(record));
  VerifyCopyGoesOn(record);
}
CARRY(IgbFileGenerations, KexecAfterKexec) {
  ASSERT_OK(carried().Preserve());
  ArmCopy(kPayload, PageKind::kBase, record);
}

}  // namespace
}  // namespace carryover
