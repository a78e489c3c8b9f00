// SPDX-License-Identifier: GPL-2.0-only
// The claim `stream`: a device goes on though the process that opened it, mapped its memory and
// started it is long dead by the time of the kexec; another one holds the session. The device file
// of this test is its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "drivers/access/result_matchers.h"
#include "fixtures/child_process/killed_child.h"
#include "fixtures/dma/on_device.h"
#include "fixtures/stream/stream_continuity.h"

namespace carryover {
namespace {

constexpr ContinuityTraits kOfOwner{.claim = Claim::kStream, .driver = "dmac", .device = 17};
constexpr std::chrono::seconds kPatience{15};

class StreamOwner : public OnDevice<StreamContinuity, kOfOwner> {
 protected:
  // What the owner does.
  void PreserveAsOwner() { StreamContinuity::PreserveDevice(); }

  // This process holds the sessions, and puts the device back; it never opens it.
  void PreserveDevice() override {
    ASSERT_OK(Devices::Get().Bind(driver_name(), device_index()));
    ASSERT_OK(carried().OpenSession());
    ASSERT_OK(Session());
  }
};

CONTINUITY_TEST(StreamOwner, IsDeadBeforeTheKexec, StreamCarried,
                "A stream loses nothing though its owner was killed before the kexec, with the "
                "device, its iommufd and its memory open, while another process holds the sessions")
ARM(StreamOwner, IsDeadBeforeTheKexec) {
  const auto own = [this] -> std::optional<StreamCarried> {
    StreamCarried carried_over{};
    PreserveAsOwner();
    if (!HasFailure()) {
      ArmStream(std::size_t{128} << 10, std::chrono::microseconds(1000), carried_over);
    }
    return HasFailure() ? std::nullopt : std::optional(carried_over);
  };
  const auto made = ReturnedByKilledChild<StreamCarried>(own, Deadline::After(kPatience));
  ASSERT_OK(made);
  record = *made;
  // Who looked at the ring is dead as well. Nobody else has its memory open, which is the point: so
  // it is not told what was written while there was no user space, only that nothing is missing.
  record.looked = 0;
}
VERIFY(StreamOwner, IsDeadBeforeTheKexec) { VerifyStream(record); }

}  // namespace
}  // namespace carryover
