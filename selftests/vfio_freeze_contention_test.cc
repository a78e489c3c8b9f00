// SPDX-License-Identifier: GPL-2.0-only
// The claim `file`: would locks that freeze tries, and does not wait for, make a kexec flaky, or
// fail only when user space misbehaves? The question is from the review of vfio-pci's live update
// series; vfio_pci_core_freeze() of the reference kernel (ci/kernel/patches) tries for 100 ms. Each
// freeze here is refused by the file of a second device, so that the machine runs on. The figures
// are in the notes; --soak N takes N times as many.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string_view>
#include <thread>

#include "drivers/access/event_wait.h"
#include "fixtures/device_file/freeze_test.h"
#include "fixtures/device_file/in_flight.h"
#include "fixtures/device_file/without_reset.h"
#include "fixtures/igb/igb_file.h"
#include "fixtures/kernel_log/expected_message.h"
#include "fixtures/soak/soak.h"

namespace carryover {
namespace {

class VfioFreezeContention : public FreezeTest {
 protected:
  static constexpr std::uint64_t kToken = 1;
  static constexpr std::uint64_t kRefuser = 2;
  // Three tries of 100 ms, a reset of 100 ms (PCIe 6.0, 6.6.2), and an emulated processor.
  static constexpr std::chrono::seconds kBound{3};

  VfioFreezeContention() : FreezeTest("igb", kIgbOfFiles) {}

  void SetUp() override {
    FreezeTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    ASSERT_OK_AND_ASSIGN(const ListedDevice listed, Devices::Get().Find("igb", kIgbOfFiles));
    address_ = listed.address;
    auto refuser = DrivenDevice::Open("igb");
    ASSERT_OK(refuser);
    refuser_.emplace(std::move(*refuser));
    auto events = EventSet::Create(1);
    ASSERT_OK(events);
    events_.emplace(std::move(*events));
    ASSERT_OK(refuser_->device().pci().EnableInterrupts(InterruptKind::kMsix, events_->fds()));
    ASSERT_NO_FATAL_FAILURE(Preserve(dma(), kToken));
    ASSERT_NO_FATAL_FAILURE(Preserve(*refuser_, kRefuser));
  }
  void TearDown() override {
    if (refuser_) {
      EXPECT_OK(refuser_->device().pci().DisableInterrupts(InterruptKind::kMsix));
    }
    FreezeTest::TearDown();
  }

  [[nodiscard]] const PciAddress& address() const { return address_; }
  [[nodiscard]] std::filesystem::path Attribute(std::string_view name) const {
    return sysfs().FunctionPath(address_) / name;
  }
  [[nodiscard]] DrivenDevice& refuser() { return *refuser_; }

  struct Tally {
    unsigned frozen = 0;  // and refused by the second device only
    unsigned busy = 0;    // EBUSY of the first one
    std::chrono::milliseconds longest{0};
  };
  // All else than these two outcomes, and each that takes longer than kBound, is a failure.
  void FreezeRepeatedly(unsigned count, Tally& tally) {
    for (unsigned i = 0; i < count; ++i) {
      const Deadline bound = Deadline::After(kBound);
      ASSERT_OK_AND_ASSIGN(const Refusal refusal, RefusedKexec());
      EXPECT_FALSE(bound.Passed()) << "freeze " << i << " took " << refusal.took.count() << " us";
      tally.longest = std::max(tally.longest,
                               std::chrono::duration_cast<std::chrono::milliseconds>(refusal.took));
      // Also reads the uevents, which must not pile up.
      ASSERT_OK(Devices::Get().CheckNobodyElseBound());
      ASSERT_TRUE(refusal.token.has_value()) << refusal.error.ToString();
      if (refusal.token == kRefuser && refusal.error.code == EINVAL) {
        ++tally.frozen;
      } else if (refusal.token == kToken && refusal.error.code == EBUSY) {
        ++tally.busy;
      } else {
        FAIL() << "freeze " << i << " of the file " << *refusal.token << ": "
               << refusal.error.ToString();
      }
    }
    RecordProperty("frozen", static_cast<int>(tally.frozen));
    RecordProperty("EBUSY", static_cast<int>(tally.busy));
    RecordProperty("longest_ms", static_cast<int>(tally.longest.count()));
  }

  // The device is not reset at freeze, which takes the most time by far: it is frozen in all other
  // respects.
  [[nodiscard]] WithoutReset DoNotReset() const {
    ALLOW_KERNEL_MESSAGE(": freeze: the device could not be reset");
    return {sysfs(), address_};
  }

  // Every freeze is refused as long as such a write is under way.
  void ExpectAllBusy() {
    Tally tally;
    ASSERT_NO_FATAL_FAILURE(FreezeRepeatedly(Soak::Times(1), tally));
    EXPECT_EQ(tally.frozen, 0U);
    ExpectCopies(dma());  // it was not touched
  }

 private:
  PciAddress address_;
  std::optional<DrivenDevice> refuser_;
  std::optional<EventSet> events_;
};
NEEDS_DEVICES(VfioFreezeContention, "igb", kIgbOfFiles + 1);
NEEDS_CLAIM(VfioFreezeContention, Claim::kFile);

// Monitoring, udev, a management daemon: none of this may make a kexec fail, not once.
TEST_F(VfioFreezeContention, WellBehavedUserSpaceRefusesNoKexec) {
  const WithoutReset without = DoNotReset();
  ASSERT_OK_AND_ASSIGN(const std::string cdev, sysfs().VfioCdevName(address()));
  const std::filesystem::path cdev_path = std::filesystem::path("/dev/vfio/devices") / cdev;
  const auto device = VfioDeviceOf(dma().device());
  ASSERT_OK(device);
  // Takes the device's lock, for a moment.
  const InFlight locks([this] { ReadQuietly(Attribute("sriov_numvfs")); });
  // config waits for its configuration space.
  const InFlight reads([this] {
    for (const std::string_view name :
         {"config", "uevent", "driver_override", "reset_method", "resource", "power_state",
          "enable", "current_link_speed", "msi_bus", "modalias"}) {
      ReadQuietly(Attribute(name));
    }
  });
  const InFlight uevents([this, &cdev_path] {
    WriteQuietly(Attribute("uevent"), "change");
    ReadQuietly(cdev_path);  // opened, bound to nothing, closed
    ReadQuietly("/dev/vfio/vfio");
    ReadQuietly("/dev/iommu");
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });
  // The device's user himself, who waits while it is frozen.
  const InFlight uses([&] { (void)(*device)->ReadConfig(0, 4); });
  Tally tally;
  ASSERT_NO_FATAL_FAILURE(FreezeRepeatedly(Soak::Times(15), tally));
  EXPECT_EQ(tally.busy, 0U) << "user space did nothing that may refuse a kexec";
  RecordProperty("locks", static_cast<int>(locks.times()));
  RecordProperty("reads", static_cast<int>(reads.times()));
  RecordProperty("uevents", static_cast<int>(uevents.times()));
  RecordProperty("uses", static_cast<int>(uses.times()));
  ExpectCopies(dma());
}

// Another device's file and I/O address spaces come and go.
TEST_F(VfioFreezeContention, OpeningAnotherDeviceRefusesNoKexec) {
  const WithoutReset without = DoNotReset();
  const InFlight opens([] {
    const auto iommufd = Iommufd::Open();
    const auto group = OpenVfioCdev(Devices::Get().Find("igb", 0)->address, sysfs());
  });
  Tally tally;
  ASSERT_NO_FATAL_FAILURE(FreezeRepeatedly(Soak::Times(10), tally));
  EXPECT_EQ(tally.busy, 0U);
  RecordProperty("opens", static_cast<int>(opens.times()));
}

TEST_F(VfioFreezeContention, DriverOverrideWritesDoNotHangIt) {
  const WithoutReset without = DoNotReset();
  const InFlight writes([this] { WriteQuietly(Attribute("driver_override"), kVfioPci); });
  Tally tally;
  ASSERT_NO_FATAL_FAILURE(FreezeRepeatedly(Soak::Times(10), tally));
  RecordProperty("writes", static_cast<int>(writes.times()));
  ExpectCopies(dma());
}

// Under vfio-pci without enable_sriov each is refused, but with the device's lock held.
TEST_F(VfioFreezeContention, SriovChangesDoNotHangIt) {
  const WithoutReset without = DoNotReset();
  const InFlight writes([this] {
    WriteQuietly(Attribute("sriov_numvfs"), "1");
    WriteQuietly(Attribute("sriov_numvfs"), "0");
  });
  Tally tally;
  ASSERT_NO_FATAL_FAILURE(FreezeRepeatedly(Soak::Times(10), tally));
  RecordProperty("writes", static_cast<int>(writes.times()));
  ExpectCopies(dma());
}

// A reset holds the locks for as long as it takes.
TEST_F(VfioFreezeContention, ResetsDoNotHangIt) {
  Tally tally;
  {
    const InFlight resets([this] { WriteQuietly(Attribute("reset"), "1"); });
    ASSERT_NO_FATAL_FAILURE(FreezeRepeatedly(Soak::Times(6), tally));
    RecordProperty("resets", static_cast<int>(resets.times()));
  }
  ExpectWorksAfterReset(dma());
}

// In the series under review the kexec hangs in device_shutdown(), which waits for the lock that
// the unbind holds. No file refuses it after this one.
TEST_F(VfioFreezeContention, UnbindThatWaitsRefusesTheKexec) {
  CloseSession();
  ASSERT_NO_FATAL_FAILURE(OpenSession());
  ASSERT_NO_FATAL_FAILURE(Preserve(dma(), kToken));
  ASSERT_OK_AND_ASSIGN(DriverWatch watch, DriverWatch::Open());
  ASSERT_NO_FATAL_FAILURE(WriteThatWaits(Attribute("driver") / "unbind", address().ToString()));
  ExpectAllBusy();
  TakeBack(kIgbOfFiles, watch, false);
}

TEST_F(VfioFreezeContention, RemoveThatWaitsRefusesTheKexec) {
  ASSERT_OK_AND_ASSIGN(DriverWatch watch, DriverWatch::Open());
  ASSERT_NO_FATAL_FAILURE(WriteThatWaits(Attribute("remove"), "1"));
  ExpectAllBusy();
  TakeBack(kIgbOfFiles, watch, true);
}

}  // namespace
}  // namespace carryover
