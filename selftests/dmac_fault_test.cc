// SPDX-License-Identifier: GPL-2.0-only
// A device that misbehaves, as dmac does on request (docs/dmac.md): what is told of it, and that
// the IOMMU and the kernel hold.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "drivers/access/event_wait.h"
#include "drivers/dmac/registers.h"
#include "fixtures/dma/device_test.h"
#include "fixtures/dma/refused_dma.h"
#include "fixtures/kernel_log/expected_message.h"
#include "fixtures/pattern/pattern_matchers.h"

namespace carryover {
namespace {

using dmac::Faults;

class DmacFaults : public DeviceTest {
 protected:
  DmacFaults() : DeviceTest("dmac") {}

  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(DeviceTest::SetUp());
    ASSERT_OK_AND_ASSIGN(bar_, dma().device().pci().Bar(0));
    ASSERT_NE(bar_->Read32(dmac::Features::kOffset) & dmac::Features::kFaults, 0U);
  }
  void TearDown() override {
    if (bar_ != nullptr) SetFaults(0);
    EXPECT_OK(dma().device().StopShared());
    DeviceTest::TearDown();
  }

  [[nodiscard]] Mmio& bar() { return *bar_; }
  void SetFaults(std::uint32_t faults) { bar().Write32(Faults::kOffset, faults); }
  static Deadline Short() { return Deadline::After(std::chrono::milliseconds(200)); }
  // A copy of a few bytes.
  Result<void> CopySome() {
    auto memory = MakeGuarded(kPage);
    if (!memory) return std::unexpected(memory.error());
    auto iova = dma().Map(memory->memory());
    if (!iova) return std::unexpected(iova.error());
    const DmaCopy copy{*iova + kPage, *iova + kPage + 64, 64};
    if (auto posted = driver().Copy({&copy, 1}); !posted) return posted;
    memory_.push_back(std::move(*memory));
    return driver().Wait(Short());
  }

 private:
  Mmio* bar_ = nullptr;
  std::vector<GuardedMemory> memory_;  // stays until nothing is mapped any more
};
NEEDS_DEVICE(DmacFaults, "dmac");

TEST_F(DmacFaults, DeadlineEndsTheWaitForADeviceThatHangs) {
  ASSERT_OK(CopySome());
  SetFaults(Faults::kHung);
  EXPECT_THAT(CopySome(), FailsWith(ETIMEDOUT));
}

TEST_F(DmacFaults, DeviceThatIsGoneIsTold) {
  SetFaults(Faults::kAllOnes);
  EXPECT_THAT(CopySome(), FailsWith(ENODEV));
}

TEST_F(DmacFaults, DeviceThatDoesNotStopIsTold) {
  SetFaults(Faults::kStuckBusy);
  EXPECT_THAT(driver().Quiesce(Short()), FailsWith(ETIMEDOUT));
}

TEST_F(DmacFaults, AnotherIdentityIsTold) {
  ASSERT_OK(dma().device().StopShared());
  SetFaults(Faults::kWrongIdentity);
  const auto running = dma().device().Running();
  EXPECT_THAT(running, FailsWith(EIO));
}

TEST_F(DmacFaults, LostInterruptIsTold) {
  SetFaults(Faults::kLostInterrupt);
  PciDevice& pci = dma().device().pci();
  ASSERT_OK_AND_ASSIGN(EventSet events, EventSet::Create(1));
  ASSERT_OK(pci.EnableInterrupts(InterruptKind::kMsix, events.fds()));
  ASSERT_OK(driver().RaiseInterrupt());
  EXPECT_THAT(events.Wait(0, Short()), FailsWith(ETIMEDOUT));
  EXPECT_OK(pci.DisableInterrupts(InterruptKind::kMsix));
}

// It writes where it was mapped, then where nothing is: only the former is seen.
TEST_F(DmacFaults, RogueWritesEndWithTheMapping) {
  ASSERT_OK_AND_ASSIGN(const GuardedMemory memory, MakeGuarded(kPage));
  ASSERT_OK_AND_ASSIGN(const Iova iova, dma().Map(memory.memory()));
  bar().Write64(dmac::FaultAddress::kOffset, iova + GuardedMemory::kGuard);
  SetFaults(Faults::kRogue);
  ASSERT_OK(driver().Quiesce(DrivenDevice::Patience()));
  const auto begin = std::chrono::steady_clock::now();
  const auto written = [&] {
    return std::ranges::any_of(memory.payload().first(8),
                               [](std::byte byte) { return byte != std::byte{0}; });
  };
  while (!written() && std::chrono::steady_clock::now() - begin < std::chrono::seconds(5)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ASSERT_TRUE(written()) << "the device does not misbehave as it was told to";
  ALLOW_KERNEL_MESSAGE(RefusedDma(iova + GuardedMemory::kGuard));
  (void)dma().TakeMappings();
  const std::vector<std::byte> before(memory.payload().begin(), memory.payload().end());
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_TRUE(std::ranges::equal(before, memory.payload())) << "written after it was unmapped";
  ExpectGuards(memory);
}

}  // namespace
}  // namespace carryover
