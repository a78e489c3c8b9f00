// SPDX-License-Identifier: GPL-2.0-only
// Start() and Stop(), the order of operations, and what the traits promise.
#include <gmock/gmock.h>
#include <linux/pci_regs.h>

#include "drivers/conformance/driver_conformance.h"

namespace carryover {
namespace {

TEST_P(DriverConformance, HasConsistentTraits) {
  EXPECT_EQ(traits().name, GetParam().entry->name);
  EXPECT_GT(traits().region_size, 0);
  EXPECT_EQ(traits().region_size % 4096, 0);
  EXPECT_GE(traits().max_copy_bytes, 1);
  EXPECT_GE(traits().max_in_flight, 1);
  EXPECT_OK(pci().InterruptVectors(traits().interrupt));
  EXPECT_GT(pci().InterruptVectors(traits().interrupt).value_or(0), traits().vector);
}

TEST_P(DriverConformance, ProbesItsOwnDeviceOnly) {
  const PciId id = pci().id();
  ASSERT_OK_AND_ASSIGN(const std::uint32_t class_and_revision,
                       pci().ReadConfig(PCI_CLASS_REVISION, 4));
  const std::uint32_t own_class = class_and_revision >> 8;
  EXPECT_TRUE(GetParam().entry->probe({id, own_class}));
  // A driver looks at the ids or at the class.
  const auto other = [&](std::uint16_t vendor, std::uint16_t device) {
    return PciKind{.id = {.vendor = vendor, .device = device}, .class_code = own_class ^ 0x10000};
  };
  EXPECT_FALSE(GetParam().entry->probe(other(id.device, id.vendor)));
  EXPECT_FALSE(
      GetParam().entry->probe(other(id.vendor, static_cast<std::uint16_t>(id.device ^ 1))));
  EXPECT_FALSE(GetParam().entry->probe(other(0xffff, 0xffff)));
}

// A driver that was only made has touched nothing.
TEST_P(DriverConformance, MakingADriverTouchesNothing) {
  EXPECT_EQ(device_->resets(), 0);
  EXPECT_EQ(pci().resets(), 0);
  EXPECT_FALSE(pci().bus_master());
}

TEST_P(DriverConformance, StartsInARegionOfAnyContent) {
  Start();  // the fixture fills it with ones
  ExpectWorks();
  ASSERT_OK(driver_->Stop(Soon()));
  std::ranges::fill(arena_->region().memory, std::byte{0});
  Start();
  ExpectWorks();
  ASSERT_OK(driver_->Stop(Soon()));
  std::ranges::fill(arena_->region().memory, std::byte{0x01});
  Start();
  ExpectWorks();
}

TEST_P(DriverConformance, StartsAndStopsAHundredTimes) {
  for (int i = 0; i < 100; ++i) {
    SCOPED_TRACE(i);
    Start();
    ASSERT_TRUE(pci().bus_master());
    ExpectWorks();
    ASSERT_OK(driver_->Stop(Soon()));
    ASSERT_FALSE(pci().bus_master());
    if (HasFailure()) return;
  }
}

TEST_P(DriverConformance, StartTurnsBusMasterOnAndStopOff) {
  EXPECT_FALSE(pci().bus_master());
  Start();
  EXPECT_TRUE(pci().bus_master());
  ASSERT_OK(driver_->Stop(Soon()));
  EXPECT_FALSE(pci().bus_master());
}

TEST_P(DriverConformance, StartAndStopResetTheDevice) {
  const auto resets = [this] { return device_->resets() + pci().resets(); };
  Start();
  const std::size_t after_start = resets();
  EXPECT_GE(after_start, 1);
  ASSERT_OK(driver_->Stop(Soon()));
  EXPECT_GT(resets(), after_start);
}

TEST_P(DriverConformance, StartRefusesARegionThatIsTooSmall) {
  const DmaRegion region = arena_->region();
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{4096}, region.memory.size() - 4096, region.memory.size() - 1}) {
    if (size >= region.memory.size()) continue;
    SCOPED_TRACE(size);
    EXPECT_THAT(driver_->Start({.memory = region.memory.first(size), .iova = region.iova}, Soon()),
                FailsWith(EINVAL));
    ExpectAllFail(EINVAL);
  }
  EXPECT_FALSE(pci().bus_master());
}

TEST_P(DriverConformance, StartRefusesARegionThatIsNotPageAligned) {
  // One that would be large enough, in the pool.
  ResizePool(traits().region_size + 8192);
  for (const std::size_t offset : {std::size_t{1}, std::size_t{128}, std::size_t{2048}}) {
    SCOPED_TRACE(offset);
    const auto shifted = arena_->pool().subspan(offset, traits().region_size);
    const auto aligned = arena_->pool().first(traits().region_size);
    EXPECT_THAT(driver_->Start({.memory = shifted, .iova = arena_->At(0)}, Soon()),
                FailsWith(EINVAL));
    EXPECT_THAT(driver_->Start({.memory = aligned, .iova = arena_->At(offset)}, Soon()),
                FailsWith(EINVAL));
  }
  EXPECT_FALSE(pci().bus_master());
}

TEST_P(DriverConformance, StartsInARegionThatIsLargerThanNeeded) {
  ResizePool(traits().region_size + 65536);
  const std::size_t extra = 4096;
  ASSERT_OK(driver_->Start(
      {.memory = arena_->pool().first(traits().region_size + extra), .iova = arena_->At(0)},
      Soon()));
  ASSERT_OK(driver_->Stop(Soon()));
  arena_->Refill(3);
}

TEST_P(DriverConformance, StartOfARunningDriverForgetsWhatWasPosted) {
  Start();
  device_->SetHung(true);
  const DmaCopy lost = InPool(0, 8192, 4096);
  ASSERT_OK(CopyOne(lost));
  Start();
  device_->SetHung(false);
  ASSERT_OK(driver_->Wait(Soon()));
  EXPECT_TRUE(arena_->Matches()) << "the copy that was forgotten was done";
  ExpectWorks();
}

// Also a driver that did not start it can stop a running device: its owner may have died.
TEST_P(DriverConformance, StopEndsTheDmaOfADeviceThatAnotherDriverStarted) {
  Start();
  device_->SetHung(true);
  ASSERT_OK(CopyOne(InPool(0, 8192, 4096)));
  const std::size_t resets = device_->resets() + pci().resets();
  ASSERT_OK(MakeDriver()->Stop(Soon()));
  EXPECT_GT(device_->resets() + pci().resets(), resets);
  EXPECT_FALSE(pci().bus_master());
  ASSERT_OK(pci().SetBusMaster(true));
  device_->SetHung(false);
  EXPECT_TRUE(arena_->Matches());
}

TEST_P(DriverConformance, StopEndsTheDmaOfPostedCopies) {
  Start();
  device_->SetHung(true);
  ASSERT_OK(CopyOne(InPool(0, 8192, 4096)));
  ASSERT_OK(driver_->Stop(Soon()));
  const std::vector<std::byte> region(arena_->region().memory.begin(),
                                      arena_->region().memory.end());
  ASSERT_OK(pci().SetBusMaster(true));
  device_->SetHung(false);
  EXPECT_TRUE(arena_->Matches());
  EXPECT_TRUE(std::ranges::equal(region, arena_->region().memory)) << "written after Stop()";
}

TEST_P(DriverConformance, StopMayBeRepeated) {
  ASSERT_OK(driver_->Stop(Soon()));
  Start();
  ASSERT_OK(driver_->Stop(Soon()));
  ASSERT_OK(driver_->Stop(Soon()));
  EXPECT_FALSE(pci().bus_master());
}

TEST_P(DriverConformance, RefusesOperationsBeforeStart) {
  ExpectAllFail(EINVAL);
  EXPECT_EQ(device_->doorbells(), 0);
  EXPECT_FALSE(pci().bus_master());
}

TEST_P(DriverConformance, RefusesOperationsAfterStop) {
  Start();
  ASSERT_OK(driver_->Stop(Soon()));
  ExpectAllFail(EINVAL);
}

TEST_P(DriverConformance, RefusesWhatARunningDriverCannotDo) {
  Start();
  EXPECT_THAT(driver_->Resume(Soon()), FailsWith(EINVAL));
  ASSERT_OK(driver_->Save());
  EXPECT_THAT(driver_->Attach(arena_->region()), FailsWith(EINVAL));
  ExpectWorks();
}

TEST_P(DriverConformance, RefusesWhatAQuiescedDriverCannotDo) {
  Start();
  ASSERT_OK(driver_->Quiesce(Soon()));
  const std::size_t doorbells = device_->doorbells();
  EXPECT_THAT(CopyOne(InPool(0, 4096, 16)), FailsWith(EINVAL));
  EXPECT_THAT(driver_->Wait(Soon()), FailsWith(EINVAL));
  EXPECT_THAT(driver_->RaiseInterrupt(), FailsWith(EINVAL));
  EXPECT_THAT(driver_->Attach(arena_->region()), FailsWith(EINVAL));
  EXPECT_EQ(device_->doorbells(), doorbells);
  ASSERT_OK(driver_->Resume(Soon()));
  ExpectWorks();
}

}  // namespace
}  // namespace carryover
