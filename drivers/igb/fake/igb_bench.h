// SPDX-License-Identifier: GPL-2.0-only
// A fake 82576, a driver on it and the memory they share, for igb's own unit tests.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>

#include "drivers/access/event_wait.h"
#include "drivers/access/result_matchers.h"
#include "drivers/conformance/arena.h"
#include "drivers/contract/contract_driver.h"
#include "drivers/igb/fake/fake_igb.h"
#include "drivers/igb/igb.h"
#include "drivers/igb/region.h"

namespace carryover::igb {

class IgbBench : public testing::Test {
 protected:
  using Flavour = FakeIgb::Flavour;
  static constexpr std::chrono::milliseconds kShort{40};

  explicit IgbBench(Flavour flavour, unsigned port = 0)
      : fake_(flavour, port),
        driver_(MakeDriver(fake_.device(), {.before_mac = std::chrono::milliseconds(0),
                                            .after_mac = std::chrono::milliseconds(0)})),
        arena_(driver_->traits().region_size, 1 << 20) {
    arena_.MapIn(fake_.device().iommu());
  }
  void TearDown() override {
    EXPECT_THAT(fake_.violations(), testing::IsEmpty());
    EXPECT_TRUE(arena_.Matches());
  }

  [[nodiscard]] static Deadline Soon() { return Deadline::After(std::chrono::seconds(20)); }
  [[nodiscard]] static Deadline Almost() { return Deadline::After(kShort); }
  void Start() { ASSERT_OK(driver_->Start(arena_.region(), Soon())); }
  [[nodiscard]] DmaCopy InPool(std::size_t source, std::size_t destination,
                               std::size_t length) const {
    return {.source = arena_.At(source), .destination = arena_.At(destination), .length = length};
  }
  [[nodiscard]] Result<void> CopyOne(const DmaCopy& copy) { return driver_->Copy({&copy, 1}); }
  // The device works.
  void ExpectCopies() {
    arena_.Refill(7);
    const DmaCopy copy = InPool(3, 65536, 20000);
    ASSERT_OK(CopyOne(copy));
    ASSERT_OK(driver_->Wait(Soon()));
    arena_.Expect(copy);
    ASSERT_TRUE(arena_.Matches());
  }
  [[nodiscard]] RegionLayout& memory() const {
    return *reinterpret_cast<RegionLayout*>(arena_.region().memory.data() +
                                            ContractDriver::kStateSize);
  }
  [[nodiscard]] SavedState& saved() const {
    return *reinterpret_cast<SavedState*>(arena_.region().memory.data());
  }
  [[nodiscard]] std::uint32_t Register(std::size_t offset) const { return fake_.Register(offset); }

  FakeIgb fake_;
  std::unique_ptr<Driver> driver_;
  Arena arena_;
};

// Tests of what is the same on hardware and in QEMU.
class IgbOnBoth : public IgbBench, public testing::WithParamInterface<FakeIgb::Flavour> {
 protected:
  IgbOnBoth() : IgbBench(GetParam()) {}
};

class IgbHardware : public IgbBench {
 protected:
  IgbHardware() : IgbBench(Flavour::kHardware) {}
};

class IgbSecondPort : public IgbBench {
 protected:
  IgbSecondPort() : IgbBench(Flavour::kHardware, 1) {}
};

class IgbQemu : public IgbBench {
 protected:
  IgbQemu() : IgbBench(Flavour::kQemu) {}
};

}  // namespace carryover::igb
