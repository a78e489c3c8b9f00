// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/fake/fake_pci_device.h"

#include <gtest/gtest.h>

#include <array>

#include "drivers/access/dma_memory.h"
#include "drivers/access/event_wait.h"

namespace carryover {
namespace {

class PlainDevice final : public FakePciDevice {
 public:
  PlainDevice()
      : FakePciDevice(PciId{0x1234, 0x11e8},
                      {{InterruptKind::kIntx, 1U}, {InterruptKind::kMsix, 2U}}) {}
  using FakePciDevice::DmaWrite;
  using FakePciDevice::Raise;

 protected:
  Mmio* BarModel(unsigned) override { return nullptr; }
  void OnReset() override {}
};

class FakePciDeviceTest : public testing::Test {
 protected:
  void SetUp() override {
    auto events = EventSet::Create(2);
    ASSERT_TRUE(events);
    events_ = std::make_unique<EventSet>(std::move(*events));
  }
  PlainDevice device_;
  std::unique_ptr<EventSet> events_;
};

TEST_F(FakePciDeviceTest, HasItsIdentityInConfigSpace) {
  EXPECT_EQ(device_.ReadConfig(0, 4), 0x11e81234);
  EXPECT_EQ(device_.ReadConfig(2, 2), 0x11e8);
  EXPECT_FALSE(device_.ReadConfig(254, 4));
  EXPECT_FALSE(device_.Bar(0));
}

TEST_F(FakePciDeviceTest, DoesDmaOnlyAsBusMaster) {
  auto memory = DmaMemory::Create(4096, PageKind::kBase);
  ASSERT_TRUE(memory);
  ASSERT_TRUE(device_.iommu().Map(0x1000, memory->address(), 4096, DmaAccess::kWrite));
  constexpr std::array kData{std::byte{1}};
  EXPECT_FALSE(device_.DmaWrite(0x1000, kData));
  ASSERT_TRUE(device_.SetBusMaster(true));
  EXPECT_TRUE(device_.DmaWrite(0x1000, kData));
  ASSERT_TRUE(device_.Reset());
  EXPECT_FALSE(device_.bus_master());
  EXPECT_FALSE(device_.DmaWrite(0x1000, kData));
}

TEST_F(FakePciDeviceTest, SignalsEnabledVectorsOnly) {
  ASSERT_TRUE(device_.SetBusMaster(true));
  device_.Raise(InterruptKind::kMsix, 0);
  ASSERT_TRUE(device_.EnableInterrupts(InterruptKind::kMsix, events_->fds()));
  device_.Raise(InterruptKind::kMsix, 1);
  device_.Raise(InterruptKind::kIntx, 0);
  EXPECT_EQ(events_->Take(0), 0);
  EXPECT_EQ(events_->Take(1), 1);
  ASSERT_TRUE(device_.SetBusMaster(false));
  device_.Raise(InterruptKind::kMsix, 1);
  EXPECT_EQ(events_->Take(1), 0) << "a message is a write to memory";
  EXPECT_FALSE(device_.EnableInterrupts(InterruptKind::kMsi, events_->fds()));
}

}  // namespace
}  // namespace carryover
