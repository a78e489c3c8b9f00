// SPDX-License-Identifier: GPL-2.0-only
// What rings are worth: a batch of copies against one copy at a time, with a driver's own code for
// both. Bytes a second are in the test's properties.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "fixtures/driver_suites/driver_device_test.h"

namespace carryover {
namespace {

class DriverBatch : public DriverDeviceTest {
 public:
  using DriverDeviceTest::DriverDeviceTest;

 protected:
  // Bytes a second.
  template <typename Run>
  double Measure(const std::vector<DmaCopy>& copies, Run run) {
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_OK(run());
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    return static_cast<double>(copies.size() * copies[0].length) / took.count();
  }
  Result<void> AtOnce(std::span<const DmaCopy> copies) {
    if (auto posted = driver().Copy(copies); !posted) return posted;
    return driver().Wait(DrivenDevice::Patience());
  }
  Result<void> OneAtATime(const std::vector<DmaCopy>& copies) {
    for (const DmaCopy& copy : copies) {
      if (auto done = AtOnce({&copy, 1}); !done) return done;
    }
    return {};
  }
};

DRIVER_TEST_NEEDS(DriverBatch, WinsOverOneAtATime, {.payload = std::size_t{64} * 4096}) {
  constexpr std::size_t kCopies = 64;
  constexpr int kRounds = 3;
  for (const std::size_t length : {std::size_t{64}, kPage}) {
    ASSERT_OK_AND_ASSIGN(const GuardedMemory source, MakeGuarded(kCopies * length));
    ASSERT_OK_AND_ASSIGN(const GuardedMemory destination, MakeGuarded(kCopies * length));
    ASSERT_OK_AND_ASSIGN(const Iova from, dma().Map(source.memory()));
    ASSERT_OK_AND_ASSIGN(const Iova to, dma().Map(destination.memory()));
    std::vector<DmaCopy> copies;
    for (std::size_t i = 0; i < kCopies; ++i) {
      const std::size_t at = GuardedMemory::kGuard + i * length;
      copies.push_back({from + at, to + at, length});
    }
    double batch = 0;
    double single = 0;
    for (int round = 0; round < kRounds; ++round) {  // in turn: what disturbs one disturbs both
      batch = std::max(batch, Measure(copies, [&] { return AtOnce(copies); }));
      single = std::max(single, Measure(copies, [&] { return OneAtATime(copies); }));
    }
    const std::string name = std::to_string(length);
    RecordProperty("batch_MBps_" + name, fmt::format("{:.2f}", batch / 1e6));
    RecordProperty("one_at_a_time_MBps_" + name, fmt::format("{:.2f}", single / 1e6));
    EXPECT_GT(batch, single) << length << " bytes a copy";
  }
}

}  // namespace
}  // namespace carryover
