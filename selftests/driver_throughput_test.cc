// SPDX-License-Identifier: GPL-2.0-only
// What rings are worth: a batch of copies against one copy at a time, with a driver's own code for
// both. Bytes a second are in the test's properties.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "fixtures/dma/bytes_per_second.h"
#include "fixtures/driver_suites/driver_device_test.h"
#include "fixtures/pattern/pattern_matchers.h"

namespace carryover {
namespace {

constexpr PatternKey kKey{.seed = 0x64, .generation = 0};
constexpr int kRounds = 3;  // the best counts
constexpr int kRoundsWhenBusy = 12;

class DriverBatch : public DriverDeviceTest {
 public:
  using DriverDeviceTest::DriverDeviceTest;

 protected:
  void AtOnce(std::span<const DmaCopy> copies) {
    ASSERT_OK(driver().Copy(copies));
    ASSERT_OK(driver().Wait(DrivenDevice::Patience()));
  }
  void OneAtATime(std::span<const DmaCopy> copies) {
    for (const DmaCopy& copy : copies) ASSERT_NO_FATAL_FAILURE(AtOnce({&copy, 1}));
  }
  void RecordRate(const std::string& name, double bytes_per_second) {
    RecordProperty(name, fmt::format("{:.3f}", bytes_per_second / 1e6));
  }
};

DRIVER_TEST(DriverBatch, CopiesAPageAlone) {
  ASSERT_OK_AND_ASSIGN(const CopyBuffers buffers, MakeBuffers(kPage));
  FillPattern(buffers.source.payload(), kKey);
  const std::vector<DmaCopy> copies = buffers.Pieces(kPage);
  double best = 0;
  for (int round = 0; round < kRounds; ++round) {
    best = std::max(best, BytesPerSecond(copies, [&] { AtOnce(copies); }));
  }
  RecordRate("page_MBps", best);
  EXPECT_THAT(buffers.destination.payload(), HoldsPattern(kKey));
  ExpectGuards(buffers.destination);
}

DRIVER_TEST_NEEDS(DriverBatch, WinsOverOneAtATime, {.payload = std::size_t{64} * 4096}) {
  constexpr std::size_t kCopies = 64;
  for (const std::size_t length : {std::size_t{64}, kPage}) {
    ASSERT_OK_AND_ASSIGN(const CopyBuffers buffers, MakeBuffers(kCopies * length));
    const std::vector<DmaCopy> copies = buffers.Pieces(length);
    double batch = 0;
    double single = 0;
    // In turn: what disturbs one disturbs both. On a busy host more rounds bring out the best.
    for (int round = 0; round < kRounds || (batch <= single && round < kRoundsWhenBusy); ++round) {
      batch = std::max(batch, BytesPerSecond(copies, [&] { AtOnce(copies); }));
      single = std::max(single, BytesPerSecond(copies, [&] { OneAtATime(copies); }));
    }
    RecordRate(fmt::format("batch_MBps_{}", length), batch);
    RecordRate(fmt::format("one_at_a_time_MBps_{}", length), single);
    EXPECT_GT(batch, single) << length << " bytes a copy";
  }
}

}  // namespace
}  // namespace carryover
