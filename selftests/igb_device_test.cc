// SPDX-License-Identifier: GPL-2.0-only
// igb (Intel 82576) on the machine as it is, through iommufd and through type1: what every
// continuity test of it stands on. No kexec.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "fixtures/device_need/device_need.h"
#include "fixtures/dma/device_test.h"
#include "fixtures/kernel_log/kernel_log.h"
#include "fixtures/pattern/pattern_matchers.h"

namespace carryover {
namespace {

constexpr PatternKey kKey{.seed = 0x82576, .generation = 0};
constexpr std::size_t kGuard = GuardedMemory::kGuard;

template <typename Way>
class IgbDevice : public DeviceTest {
 protected:
  IgbDevice() : DeviceTest("igb", Way::value) {}
};
TYPED_TEST_SUITE(IgbDevice, IommuWays, IommuWayNames);
NEEDS_DEVICE(IgbDevice, "igb");

TYPED_TEST(IgbDevice, CopiesEveryLengthBetweenGuards) {
  ASSERT_OK_AND_ASSIGN(const GuardedMemory source, this->MakeGuarded(3 * this->kPage));
  FillPattern(source.payload(), kKey);
  ASSERT_OK_AND_ASSIGN(const Iova from, this->dma().Map(source.memory()));
  for (const std::size_t length :
       {1, 2, 59, 60, 61, 63, 64, 65, 1499, 1500, 4095, 4096, 4097, 8191, 8192, 8193, 12288}) {
    ASSERT_OK_AND_ASSIGN(const GuardedMemory destination, this->MakeGuarded(length));
    ASSERT_OK_AND_ASSIGN(const Iova to, this->dma().Map(destination.memory()));
    ASSERT_OK(this->dma().Copy({from + kGuard, to + kGuard, length})) << length << " bytes";
    EXPECT_THAT(destination.payload(), HoldsPattern(kKey)) << length << " bytes";
    this->ExpectGuards(destination);
  }
}

TYPED_TEST(IgbDevice, RaisesItsInterruptOnce) {
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK_AND_ASSIGN(const std::uint64_t times, this->dma().RaiseAndAwaitInterrupt());
    EXPECT_EQ(times, 1U);
  }
}

TYPED_TEST(IgbDevice, QuiesceEndsDmaUntilResume) {
  constexpr std::size_t kBytes = 512 * 1024;
  ASSERT_OK_AND_ASSIGN(const GuardedMemory source, this->MakeGuarded(kBytes));
  ASSERT_OK_AND_ASSIGN(const GuardedMemory destination, this->MakeGuarded(kBytes));
  FillPattern(source.payload(), kKey);
  ASSERT_OK_AND_ASSIGN(const Iova from, this->dma().Map(source.memory()));
  ASSERT_OK_AND_ASSIGN(const Iova to, this->dma().Map(destination.memory()));
  const DmaCopy copy{from + kGuard, to + kGuard, kBytes};
  ASSERT_OK(this->driver().Copy({&copy, 1}));
  ASSERT_OK(this->driver().Quiesce(DrivenDevice::Patience()));
  const std::vector<std::byte> before(destination.payload().begin(), destination.payload().end());
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_TRUE(std::ranges::equal(before, destination.payload())) << "DMA after Quiesce()";
  ASSERT_OK(this->driver().Resume(DrivenDevice::Patience()));
  ASSERT_OK(this->driver().Wait(DrivenDevice::Patience()));
  EXPECT_THAT(destination.payload(), HoldsPattern(kKey));
  this->ExpectGuards(destination);
}

// Nowhere: no mapping is made there.
constexpr Iova kUnmapped = 0x7f'0000'0000;

TYPED_TEST(IgbDevice, DmaOutsideOfMappingsGoesNowhere) {
  ASSERT_OK_AND_ASSIGN(const GuardedMemory memory, this->MakeGuarded(this->kPage));
  ASSERT_OK_AND_ASSIGN(const Iova iova, this->dma().Map(memory.memory()));
  for (const DmaCopy& copy : {DmaCopy{kUnmapped, iova + kGuard, this->kPage},
                              DmaCopy{iova + kGuard, kUnmapped, this->kPage}}) {
    this->CopyThatMayFail(copy);
    EXPECT_THAT(memory.payload(), IsAllZero());
    this->ExpectGuards(memory);
  }
  EXPECT_OK(this->dma().Copy({iova + kGuard, iova + kGuard + this->kPage / 2, 16}));
}

TYPED_TEST(IgbDevice, ReadOnlyMappingIsNotWritten) {
  ASSERT_OK_AND_ASSIGN(const GuardedMemory memory, this->MakeGuarded(2 * this->kPage));
  ASSERT_OK_AND_ASSIGN(const Iova iova, this->dma().Map(memory.memory(), DmaAccess::kRead));
  FillPattern(memory.payload(), kKey);
  this->CopyThatMayFail({iova + kGuard, iova + kGuard + this->kPage, 64});
  EXPECT_THAT(memory.payload(), HoldsPattern(kKey));
  this->ExpectGuards(memory);
}

// As one process hands a running device to the next.
TYPED_TEST(IgbDevice, AnotherDriverTakesOverWithoutReset) {
  ASSERT_OK_AND_ASSIGN(const GuardedMemory source, this->MakeGuarded(this->kPage));
  ASSERT_OK_AND_ASSIGN(const GuardedMemory destination, this->MakeGuarded(this->kPage));
  FillPattern(source.payload(), kKey);
  ASSERT_OK_AND_ASSIGN(const Iova from, this->dma().Map(source.memory()));
  ASSERT_OK_AND_ASSIGN(const Iova to, this->dma().Map(destination.memory()));
  ASSERT_OK_AND_ASSIGN(Driver * next, this->dma().device().HandOver());
  const DmaCopy copy{from + kGuard, to + kGuard, this->kPage};
  ASSERT_OK(next->Copy({&copy, 1}));
  ASSERT_OK(next->Wait(DrivenDevice::Patience()));
  EXPECT_THAT(destination.payload(), HoldsPattern(kKey));
}

class IgbFault : public DeviceTest {
 protected:
  IgbFault() : DeviceTest("igb", IommuMode::kIommufd) {}
};
NEEDS_DEVICE(IgbFault, "igb");

// What the IOMMU refuses is reported by the kernel (drivers/iommu/intel/dmar.c).
TEST_F(IgbFault, RefusedReadIsInTheKernelsLog) {
  ASSERT_OK_AND_ASSIGN(const GuardedMemory memory, MakeGuarded(kPage));
  ASSERT_OK_AND_ASSIGN(const Iova iova, dma().Map(memory.memory()));
  ASSERT_OK_AND_ASSIGN(KernelLog log, KernelLog::Open(KernelLog::From::kNow));
  const Deadline deadline = DrivenDevice::Patience();
  Result<KernelMessage> message = Fail(ETIMEDOUT, "no fault");
  // Again, if need be: the kernel reports at most five faults in five seconds, and a fault that
  // comes while another one is being handled need not be recorded (VT-d, 7.2.1).
  while (!message && !deadline.Passed()) {
    CopyThatMayFail({kUnmapped, iova + kGuard, 64});
    message = log.WaitFor("fault addr 0x7f00000000", Deadline::After(std::chrono::seconds(1)));
  }
  EXPECT_OK(message);
}

}  // namespace
}  // namespace carryover
