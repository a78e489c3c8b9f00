// SPDX-License-Identifier: GPL-2.0-only
// The claim `file`: a session is closed in the incoming kernel before its device's file was
// retrieved. Closing tries to finish, which is refused (vfio_pci_liveupdate_can_finish() of the
// reference kernel, ci/kernel/patches), and the session cannot be retrieved again
// (luo_session_release()). On the bench: ci/bench --reference --lg-env ci/bridges.yaml.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "drivers/access/binding.h"
#include "drivers/access/result_matchers.h"
#include "fixtures/device_file/refused_kexec.h"
#include "fixtures/dma/on_device.h"
#include "fixtures/igb/igb_file.h"
#include "fixtures/kernel_log/expected_message.h"

namespace carryover {
namespace {

// Nobody else wants it.
constexpr unsigned kAbandoned = 5;
constexpr ContinuityTraits kOnAbandoned{
    .claim = Claim::kFile, .driver = "igb", .device = kAbandoned};
constexpr std::uint32_t kSession = 1;

class VfioAbandonedFile : public OnDevice<DmaContinuity, kOnAbandoned> {
 protected:
  void SetUp() override {
    if (const auto why = WhyNotPreservable()) GTEST_SKIP() << *why;
  }
  [[nodiscard]] static const Sysfs& sysfs() { return Devices::Get().sysfs(); }
  [[nodiscard]] static Result<UniqueFd> OpenCdev(const ListedDevice& listed) {
    return OpenVfioCdev(listed.address, sysfs());
  }
};

CONTINUITY_CHAIN(VfioAbandonedFile, DeviceStaysOutOfReachUntilTheNextKexec, NothingRecord, 2,
                 "Closing a session before the device's file was retrieved gives the device to "
                 "nobody, until another kernel runs")
ARM(VfioAbandonedFile, DeviceStaysOutOfReachUntilTheNextKexec) {
  ASSERT_NO_FATAL_FAILURE(OpenDevice());
  ASSERT_OK_AND_ASSIGN(LiveUpdateSession session, CreateExtraSession(kSession));
  ASSERT_OK(PreserveDeviceOf(dma().device(), session, 1));
  Keep(std::move(session));
}
VERIFY(VfioAbandonedFile, DeviceStaysOutOfReachUntilTheNextKexec) {
  ASSERT_OK_AND_ASSIGN(const ListedDevice listed, Devices::Get().Find("igb", kAbandoned));
  if (generation() > 1) {
    ASSERT_OK(Devices::Get().Bind("igb", kAbandoned));
    EXPECT_OK(OpenCdev(listed));
    return;
  }
  std::string name;
  ALLOW_KERNEL_MESSAGE(R"(luo: Unable to finish session \[)");
  {
    ASSERT_OK_AND_ASSIGN(const LiveUpdateSession session, RetrieveExtraSession(kSession));
    name = session.name();
  }
  EXPECT_THAT(RetrieveSession(name), FailsWith(EINVAL));
  EXPECT_EQ(sysfs().Driver(listed.address), std::nullopt);
  ASSERT_OK(Devices::Get().Bind("igb", kAbandoned));
  EXPECT_THAT(OpenCdev(listed), FailsWith(EBUSY));
}
CARRY(VfioAbandonedFile, DeviceStaysOutOfReachUntilTheNextKexec) {}

}  // namespace
}  // namespace carryover
