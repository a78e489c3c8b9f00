// SPDX-License-Identifier: GPL-2.0-only
// A device on the machine as it is: what every continuity test of it stands on. No kexec.
#include "fixtures/driver_suites/driver_device_test.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "drivers/access/event_wait.h"
#include "fixtures/dma/refused_dma.h"
#include "fixtures/kernel_log/expected_message.h"
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
  for (const std::size_t length : {1U, 2U, 59U, 60U, 61U, 63U, 64U, 65U, 1499U, 1500U, 4095U, 4096U,
                                   4097U, 8191U, 8192U, 8193U, 12288U}) {
    if (length > Payload(length)) break;
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

DRIVER_TEST(DriverDevice, EveryVectorIsRaised) {
  const DriverTraits& traits = driver().traits();
  PciDevice& pci = dma().device().pci();
  ASSERT_OK_AND_ASSIGN(const unsigned count, pci.InterruptVectors(traits.interrupt));
  ASSERT_OK_AND_ASSIGN(EventSet events, EventSet::Create(count));
  ASSERT_OK(pci.EnableInterrupts(traits.interrupt, events.fds()));
  for (unsigned vector = traits.vector; vector < count; ++vector) {
    ASSERT_OK(driver().RaiseInterrupt(vector)) << "vector " << vector;
    ASSERT_OK_AND_ASSIGN(const std::uint64_t times, events.Wait(vector, DrivenDevice::Patience()));
    EXPECT_EQ(times, 1U) << "vector " << vector;
    for (unsigned other = traits.vector; other < count; ++other) {
      ASSERT_OK_AND_ASSIGN(const std::uint64_t stray, events.Take(other));
      EXPECT_EQ(stray, 0U) << "vector " << other << " with " << vector;
    }
  }
  EXPECT_OK(pci.DisableInterrupts(traits.interrupt));
}

DRIVER_TEST(DriverDevice, MaskedVectorIsDeliveredLater) {
  const unsigned vector = driver().traits().vector;
  if (driver().traits().interrupt != InterruptKind::kMsix) {
    GTEST_SKIP() << "VFIO masks vectors of MSI-X only, and this device has none";
  }
  PciDevice& pci = dma().device().pci();
  ASSERT_OK_AND_ASSIGN(EventSet events, EventSet::Create(vector + 1));
  ASSERT_OK(pci.EnableInterrupts(InterruptKind::kMsix, events.fds()));
  ASSERT_OK(pci.MaskMsix(vector));
  ASSERT_OK(driver().RaiseInterrupt());
  EXPECT_THAT(events.Wait(vector, Deadline::After(std::chrono::milliseconds(100))),
              FailsWith(ETIMEDOUT));
  ASSERT_OK(pci.UnmaskMsix(vector, events.fds()[vector]));
  ASSERT_OK_AND_ASSIGN(const std::uint64_t times, events.Wait(vector, DrivenDevice::Patience()));
  EXPECT_EQ(times, 1U);
  ASSERT_OK(pci.DisableInterrupts(InterruptKind::kMsix));
}

DRIVER_TEST(DriverDevice, QuiesceEndsDmaUntilResume) {
  const std::size_t bytes = Payload(driver().traits().max_copy_bytes);
  ASSERT_OK_AND_ASSIGN(const CopyBuffers buffers, MakeBuffers(bytes));
  FillPattern(buffers.source.payload(), kKey);
  const DmaCopy copy = buffers.copy();
  ASSERT_OK(driver().Copy({&copy, 1}));
  ASSERT_OK(driver().Quiesce(DrivenDevice::Patience()));
  const std::vector<std::byte> before(buffers.destination.payload().begin(),
                                      buffers.destination.payload().end());
  std::this_thread::sleep_for(std::chrono::seconds(1));
  EXPECT_TRUE(std::ranges::equal(before, buffers.destination.payload())) << "DMA after Quiesce()";
  ASSERT_OK(driver().Resume(DrivenDevice::Patience()));
  ASSERT_OK(driver().Wait(DrivenDevice::Patience()));
  EXPECT_THAT(buffers.destination.payload(), HoldsPattern(kKey));
  ExpectGuards(buffers.destination);
}

DRIVER_TEST(DriverDevice, DmaOutsideOfMappingsGoesNowhere) {
  ASSERT_OK_AND_ASSIGN(const GuardedMemory memory, MakeGuarded(kPage));
  ASSERT_OK_AND_ASSIGN(const Iova iova, dma().Map(memory.memory()));
  constexpr Iova kUnmapped = 0x7f'0000'0000;
  ALLOW_KERNEL_MESSAGE(RefusedDma(kUnmapped));
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
  ALLOW_KERNEL_MESSAGE(RefusedDma(iova + kGuard + kPage));
  CopyThatMayFail({iova + kGuard, iova + kGuard + kPage, 64});
  EXPECT_THAT(memory.payload(), HoldsPattern(kKey));
  ExpectGuards(memory);
}

DRIVER_TEST(DriverDevice, CopiesItsMaximum) {
  const std::size_t bytes = driver().traits().max_copy_bytes;
  if (bytes > Payload(bytes))
    GTEST_SKIP() << "this device takes too long for " << bytes << " bytes";
  ASSERT_OK_AND_ASSIGN(const CopyBuffers buffers, MakeBuffers(bytes));
  FillPattern(buffers.source.payload(), kKey);
  const DmaCopy copy = buffers.copy();
  ASSERT_OK(driver().Copy({&copy, 1}));
  ASSERT_OK(driver().Wait(DrivenDevice::Patience()));
  EXPECT_THAT(buffers.destination.payload(), HoldsPattern(kKey));
  ExpectGuards(buffers.destination);
}

// Whatever the device was at, it can be started anew, and does nothing that it was told before.
DRIVER_TEST(DriverDevice, AResetInMidFlightEndsDma) {
  const std::size_t bytes = Payload(driver().traits().max_copy_bytes);
  ASSERT_OK_AND_ASSIGN(const CopyBuffers buffers, MakeBuffers(bytes));
  FillPattern(buffers.source.payload(), kKey);
  const DmaCopy copy = buffers.copy();
  ASSERT_OK(driver().Copy({&copy, 1}));
  ASSERT_OK(dma().device().pci().Reset());
  ASSERT_OK(dma().device().StopShared());
  ASSERT_OK(dma().Start());
  std::ranges::fill(buffers.destination.payload(), std::byte{0});
  std::this_thread::sleep_for(std::chrono::milliseconds(300));  // longer than a transfer of edu's
  EXPECT_THAT(buffers.destination.payload(), IsAllZero());
  ASSERT_OK(dma().Copy(copy));
  EXPECT_THAT(buffers.destination.payload(), HoldsPattern(kKey));
  ExpectGuards(buffers.destination);
}

DRIVER_TEST(DriverDevice, StartsAndStopsManyTimes) {
  ASSERT_OK_AND_ASSIGN(const CopyBuffers buffers, MakeBuffers(64));
  FillPattern(buffers.source.payload(), kKey);
  for (unsigned i = 0; i < Restarts(); ++i) {
    ASSERT_OK(dma().device().StopShared()) << "time " << i;
    ASSERT_OK(dma().Start()) << "time " << i;
  }
  ASSERT_OK(dma().Copy(buffers.copy()));
  EXPECT_THAT(buffers.destination.payload(), HoldsPattern(kKey));
}

// What one device can reach is not what the other can.
class DriverBeside : public DriverDevice {
 public:
  using DriverDevice::DriverDevice;

 protected:
  // Both copy at once, each within memory of its own that is mapped at the same IOVA.
  void CopyAtOnce(DrivenDevice& other) {
    const std::size_t bytes = Payload(16 * kPage);
    constexpr Iova kIova = 0x1'0000'0000;
    std::vector<GuardedMemory> memory;
    const std::vector<DrivenDevice*> devices{&dma(), &other};
    for (DrivenDevice* device : devices) {
      ASSERT_OK_AND_ASSIGN(GuardedMemory own, MakeGuarded(2 * bytes));
      FillPattern(own.payload().first(bytes), KeyOf(memory.size()));
      ASSERT_OK(device->MapAt(kIova, own.memory()));
      memory.push_back(std::move(own));
    }
    const DmaCopy copy{kIova + kGuard, kIova + kGuard + bytes, bytes};
    for (DrivenDevice* device : devices) ASSERT_OK(device->driver().Copy({&copy, 1}));
    for (DrivenDevice* device : devices) {
      ASSERT_OK(device->driver().Wait(DrivenDevice::Patience()));
    }
    for (std::size_t i = 0; i < memory.size(); ++i) {
      EXPECT_THAT(memory[i].payload().subspan(bytes), HoldsPattern(KeyOf(i)));
      ExpectGuards(memory[i]);
    }
  }

 private:
  static PatternKey KeyOf(std::size_t index) { return {.seed = 0x2d + index, .generation = 0}; }
};

DRIVER_TEST(DriverBeside, AnotherKindCopiesAtOnce) {
  const auto& listed = Devices::Get().listed();
  const auto another = std::ranges::find_if(listed, [this](const ListedDevice& device) {
    return device.driver != driver_name() && device.driver != Devices::kNoDriver;
  });
  if (another == listed.end()) GTEST_SKIP() << "no device of another driver is listed";
  ASSERT_OK_AND_ASSIGN(DrivenDevice other, DrivenDevice::Open(another->driver));
  ASSERT_OK(other.Start());
  CopyAtOnce(other);
}

class DriverTwins : public DriverBeside {
 public:
  using DriverBeside::DriverBeside;
};

DRIVER_TEST_NEEDS(DriverTwins, CopyAtOnce, {.devices = 2}) {
  ASSERT_OK_AND_ASSIGN(DrivenDevice other, DrivenDevice::Open(driver_name(), 1));
  ASSERT_OK(other.Start());
  CopyAtOnce(other);
}

// As one process hands a running device to the next.
DRIVER_TEST(DriverDevice, AnotherDriverTakesOverWithoutReset) {
  ASSERT_OK_AND_ASSIGN(const CopyBuffers buffers, MakeBuffers(kPage));
  FillPattern(buffers.source.payload(), kKey);
  ASSERT_OK_AND_ASSIGN(Driver * next, dma().device().HandOver());
  const DmaCopy copy = buffers.copy();
  ASSERT_OK(next->Copy({&copy, 1}));
  ASSERT_OK(next->Wait(DrivenDevice::Patience()));
  EXPECT_THAT(buffers.destination.payload(), HoldsPattern(kKey));
}

}  // namespace
}  // namespace carryover
