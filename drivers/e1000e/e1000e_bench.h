// SPDX-License-Identifier: GPL-2.0-only
// A model of the 82574, a driver on it and the memory they share, for e1000e's own unit tests.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <vector>

#include "drivers/access/result_matchers.h"
#include "drivers/conformance/arena.h"
#include "drivers/conformance/model_device.h"
#include "drivers/e1000e/e1000e.h"
#include "drivers/e1000e/model/e1000e_model.h"
#include "drivers/e1000e/region.h"

namespace carryover::e1000e {

class E1000e : public testing::Test {
 protected:
  static constexpr std::size_t kPool = std::size_t{1} << 20;

  explicit E1000e(E1000eModel::Flavour flavour = E1000eModel::Flavour::kHardware)
      : device_(flavour) {
    arena_.MapIn(device_.device().iommu());
  }
  void TearDown() override { EXPECT_THAT(device_.violations(), testing::IsEmpty()); }

  [[nodiscard]] static Deadline Soon() { return Deadline::After(std::chrono::seconds(20)); }
  [[nodiscard]] static Deadline Almost() { return Deadline::After(std::chrono::milliseconds(40)); }
  [[nodiscard]] std::unique_ptr<Driver> Make() {
    return MakeDriver(device_.device(), {.configuration = std::chrono::milliseconds(0),
                                         .loopback = std::chrono::milliseconds(0)});
  }
  [[nodiscard]] E1000eModel& model() { return device_.model(); }
  [[nodiscard]] Mmio& bar() { return **device_.device().Bar(0); }
  void Start() { ASSERT_OK(driver_->Start(arena_.region(), Soon())); }
  [[nodiscard]] DmaCopy InPool(std::size_t source, std::size_t destination,
                               std::size_t length) const {
    return {.source = arena_.At(source), .destination = arena_.At(destination), .length = length};
  }
  [[nodiscard]] Result<void> CopyOne(const DmaCopy& copy) { return driver_->Copy({&copy, 1}); }
  void ExpectCopies() {
    const DmaCopy copy = InPool(100, kPool / 2 + 301, 20000);
    ASSERT_OK(CopyOne(copy));
    ASSERT_OK(driver_->Wait(Soon()));
    arena_.Expect(copy);
    EXPECT_TRUE(arena_.Matches());
  }
  [[nodiscard]] RegionLayout& region() {
    return *reinterpret_cast<RegionLayout*>(arena_.region().memory.data() + 4096);
  }

  ModelDevice<E1000eModel> device_;
  std::unique_ptr<Driver> driver_ = Make();
  Arena arena_{driver_->traits().region_size, kPool};
};

}  // namespace carryover::e1000e
