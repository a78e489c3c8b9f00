// SPDX-License-Identifier: GPL-2.0-only
// A model of dmac, a driver on it and the memory they share, for dmac's own unit tests.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>

#include "drivers/access/event_wait.h"
#include "drivers/access/result_matchers.h"
#include "drivers/conformance/arena.h"
#include "drivers/conformance/model_device.h"
#include "drivers/dmac/dmac.h"
#include "drivers/dmac/model/dmac_model.h"

namespace carryover::dmac {

class DmacBench : public testing::Test {
 protected:
  DmacBench() { arena_.MapIn(device_.device().iommu()); }

  [[nodiscard]] static Deadline Soon() { return Deadline::After(std::chrono::seconds(20)); }
  [[nodiscard]] static Deadline Almost() { return Deadline::After(std::chrono::milliseconds(40)); }
  void Start() { ASSERT_OK(driver_->Start(arena_.region(), Soon())); }
  [[nodiscard]] Mmio& bar() { return **device_.device().Bar(0); }
  void SetFaults(std::uint32_t faults) { bar().Write32(Faults::kOffset, faults); }
  [[nodiscard]] Result<void> CopySome() {
    const DmaCopy copy{.source = arena_.At(0), .destination = arena_.At(4096), .length = 100};
    const auto posted = driver_->Copy({&copy, 1});
    return posted ? driver_->Wait(Almost()) : posted;
  }
  // Does what is due by then.
  void WorkUntil(std::chrono::milliseconds from_now) {
    const auto end = std::chrono::steady_clock::now() + from_now;
    while (std::chrono::steady_clock::now() < end) device_.model().Work();
  }

  ModelDevice<DmacModel> device_;
  std::unique_ptr<Driver> driver_ = Entry().make(device_.device(), {});
  Arena arena_{driver_->traits().region_size, 65536};
};

}  // namespace carryover::dmac
