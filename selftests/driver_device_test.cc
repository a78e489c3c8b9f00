// SPDX-License-Identifier: GPL-2.0-only
// igb (Intel 82576) on the machine as it is: what every continuity test of it stands on. No kexec.
#include "fixtures/driver_suites/driver_device_test.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "fixtures/pattern/pattern_matchers.h"

namespace carryover {
namespace {

constexpr PatternKey kKey{.seed = 0x82576, .generation = 0};
constexpr std::size_t kGuard = GuardedMemory::kGuard;

class DriverDevice : public DriverDeviceTest {
 protected:
  using DriverDeviceTest::DriverDeviceTest;
};

DRIVER_TEST(DriverDevice, CopiesEveryLengthBetweenGuards) {
  ASSERT_OK_AND_ASSIGN(const GuardedMemory source, MakeGuarded(3 * kPage));
  FillPattern(source.payload(), kKey);
  ASSERT_OK_AND_ASSIGN(const Iova from, dma().Map(source.memory()));
  for (const std::size_t length :
       {1, 2, 59, 60, 61, 63, 64, 65, 1499, 1500, 4095, 4096, 4097, 8191, 8192, 8193, 12288}) {
    ASSERT_OK_AND_ASSIGN(const GuardedMemory destination, MakeGuarded(length));
    ASSERT_OK_AND_ASSIGN(const Iova to, dma().Map(destination.memory()));
    ASSERT_OK(dma().Copy({from + kGuard, to + kGuard, length})) << length << " bytes";
    EXPECT_THAT(destination.payload(), HoldsPattern(kKey)) << length << " bytes";
    ExpectGuards(destination);
  }
}

DRIVER_TEST(DriverDevice, RaisesItsInterruptOnce) {
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK_AND_ASSIGN(const std::uint64_t times, dma().RaiseAndAwaitInterrupt());
    EXPECT_EQ(times, 1U);
  }
}

DRIVER_TEST(DriverDevice, QuiesceEndsDmaUntilResume) {
  constexpr std::size_t kBytes = std::size_t{512} * 1024;
  ASSERT_OK_AND_ASSIGN(const GuardedMemory source, MakeGuarded(kBytes));
  ASSERT_OK_AND_ASSIGN(const GuardedMemory destination, MakeGuarded(kBytes));
  FillPattern(source.payload(), kKey);
  ASSERT_OK_AND_ASSIGN(const Iova from, dma().Map(source.memory()));
  ASSERT_OK_AND_ASSIGN(const Iova to, dma().Map(destination.memory()));
  const DmaCopy copy{from + kGuard, to + kGuard, kBytes};
  ASSERT_OK(driver().Copy({&copy, 1}));
  ASSERT_OK(driver().Quiesce(DrivenDevice::Patience()));
  const std::vector<std::byte> before(destination.payload().begin(), destination.payload().end());
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_TRUE(std::ranges::equal(before, destination.payload())) << "DMA after Quiesce()";
  ASSERT_OK(driver().Resume(DrivenDevice::Patience()));
  ASSERT_OK(driver().Wait(DrivenDevice::Patience()));
  EXPECT_THAT(destination.payload(), HoldsPattern(kKey));
  ExpectGuards(destination);
}

DRIVER_TEST(DriverDevice, DmaOutsideOfMappingsGoesNowhere) {
  ASSERT_OK_AND_ASSIGN(const GuardedMemory memory, MakeGuarded(kPage));
  ASSERT_OK_AND_ASSIGN(const Iova iova, dma().Map(memory.memory()));
  constexpr Iova kUnmapped = 0x7f'0000'0000;
  for (const DmaCopy& copy :
       {DmaCopy{kUnmapped, iova + kGuard, kPage}, DmaCopy{iova + kGuard, kUnmapped, kPage}}) {
    CopyThatMayFail(copy);
    EXPECT_THAT(memory.payload(), IsAllZero());
    ExpectGuards(memory);
  }
  EXPECT_OK(dma().Copy({iova + kGuard, iova + kGuard + kPage / 2, 16}));
}

DRIVER_TEST(DriverDevice, ReadOnlyMappingIsNotWritten) {
  ASSERT_OK_AND_ASSIGN(const GuardedMemory memory, MakeGuarded(2 * kPage));
  ASSERT_OK_AND_ASSIGN(const Iova iova, dma().Map(memory.memory(), DmaAccess::kRead));
  FillPattern(memory.payload(), kKey);
  CopyThatMayFail({iova + kGuard, iova + kGuard + kPage, 64});
  EXPECT_THAT(memory.payload(), HoldsPattern(kKey));
  ExpectGuards(memory);
}

// As one process hands a running device to the next.
DRIVER_TEST(DriverDevice, AnotherDriverTakesOverWithoutReset) {
  ASSERT_OK_AND_ASSIGN(const GuardedMemory source, MakeGuarded(kPage));
  ASSERT_OK_AND_ASSIGN(const GuardedMemory destination, MakeGuarded(kPage));
  FillPattern(source.payload(), kKey);
  ASSERT_OK_AND_ASSIGN(const Iova from, dma().Map(source.memory()));
  ASSERT_OK_AND_ASSIGN(const Iova to, dma().Map(destination.memory()));
  ASSERT_OK_AND_ASSIGN(Driver * next, dma().device().HandOver());
  const DmaCopy copy{from + kGuard, to + kGuard, kPage};
  ASSERT_OK(next->Copy({&copy, 1}));
  ASSERT_OK(next->Wait(DrivenDevice::Patience()));
  EXPECT_THAT(destination.payload(), HoldsPattern(kKey));
}

}  // namespace
}  // namespace carryover
