// SPDX-License-Identifier: GPL-2.0-only
// A model of a channel, a driver on it and the memory they share, for ioat's own unit tests.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>

#include "drivers/access/event_wait.h"
#include "drivers/access/result_matchers.h"
#include "drivers/conformance/arena.h"
#include "drivers/conformance/model_device.h"
#include "drivers/ioat/ioat.h"
#include "drivers/ioat/model/ioat_model.h"

namespace carryover::ioat {

class IoatBench : public testing::Test {
 protected:
  explicit IoatBench(ChannelKind kind = ChannelKind::Skylake()) : device_(kind) {
    arena_.MapIn(device_.device().iommu());
  }

  [[nodiscard]] static Deadline Soon() { return Deadline::After(std::chrono::seconds(20)); }
  [[nodiscard]] static Deadline Almost() { return Deadline::After(std::chrono::milliseconds(40)); }
  [[nodiscard]] FakePciDevice& pci() { return device_.device(); }
  [[nodiscard]] Mmio& bar() { return **pci().Bar(0); }
  void Start() { ASSERT_OK(driver_->Start(arena_.region(), Soon())); }
  // Posts a copy of this length.
  void Post(std::size_t length = 100) {
    const DmaCopy copy{.source = arena_.At(0), .destination = arena_.At(kHalf), .length = length};
    ASSERT_OK(driver_->Copy({&copy, 1}));
    arena_.Expect(copy);
  }
  void CopyOne(std::size_t length = 100) {
    ASSERT_NO_FATAL_FAILURE(Post(length));
    ASSERT_OK(driver_->Wait(Soon()));
    ASSERT_TRUE(arena_.Matches());
  }
  void EnableInterrupts() {
    auto events = EventSet::Create(1);
    ASSERT_OK(events);
    events_ = std::make_unique<EventSet>(std::move(*events));
    ASSERT_OK(pci().EnableInterrupts(InterruptKind::kMsix, events_->fds()));
    ASSERT_OK(pci().SetBusMaster(true));
  }
  [[nodiscard]] std::uint64_t TakeInterrupts() { return events_->Take(0).value_or(~0ULL); }
  [[nodiscard]] std::uint64_t State() {
    return bar().Read64(ChanSts::kOffset) & ChanSts::kStateMask;
  }

  static constexpr std::size_t kHalf = std::size_t{256} * 1024;

  ModelDevice<IoatModel> device_;
  std::unique_ptr<Driver> driver_ = Entry().make(device_.device(), {});
  Arena arena_{driver_->traits().region_size, 2 * kHalf};
  std::unique_ptr<EventSet> events_;
};

}  // namespace carryover::ioat
