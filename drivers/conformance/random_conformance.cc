// SPDX-License-Identifier: GPL-2.0-only
// Random sequences of operations against a model: the memory as it should be.
#include <gmock/gmock.h>

#include <array>
#include <optional>
#include <random>

#include "drivers/conformance/driver_conformance.h"

namespace carryover {
namespace {

// Copies from one half of the pool into the other, side by side, so that their order is all one.
class RandomCopies {
 public:
  RandomCopies(std::mt19937_64& random, std::size_t pool_size, const DriverTraits& traits)
      : random_(random),
        half_(pool_size / 2),
        max_length_(traits.max_copy_bytes),
        alignment_(traits.alignment) {}

  // All destinations are free again, and data flows the other way.
  void TurnAround() {
    taken_ = 0;
    upwards_ = !upwards_;
  }

  // {source, destination, length}, offsets in the pool; none if no room is left.
  std::optional<std::array<std::size_t, 3>> Next() {
    // Short ones and long ones alike.
    const std::size_t limit = std::min(max_length_, std::size_t{1} << Below(22));
    const std::size_t length = Above(1 + Below(limit));
    const std::size_t destination = Above(taken_ + Below(64));
    if (destination + length > half_) return std::nullopt;
    taken_ = destination + length;
    const std::size_t source = Below(half_ - length + 1) / alignment_ * alignment_;
    return upwards_ ? std::array{source, half_ + destination, length}
                    : std::array{half_ + source, destination, length};
  }

  std::size_t Below(std::size_t limit) { return static_cast<std::size_t>(random_() % limit); }

 private:
  [[nodiscard]] std::size_t Above(std::size_t value) const {
    return (value + alignment_ - 1) / alignment_ * alignment_;
  }

  std::mt19937_64& random_;
  std::size_t half_;
  std::size_t max_length_;
  std::size_t alignment_;
  std::size_t taken_ = 0;
  bool upwards_ = true;
};

}  // namespace

void DriverConformance::PlayRandomly(std::uint64_t seed) {
  arena_->Refill(seed);
  EnableInterrupts();
  ASSERT_NO_FATAL_FAILURE(Start());
  std::mt19937_64 random(seed);
  RandomCopies copies(random, arena_->pool().size(), traits());
  std::vector<DmaCopy> posted;
  const auto post = [&] {
    std::vector<DmaCopy> batch;
    for (std::size_t i = copies.Below(8); i-- > 0;) {
      const auto next = copies.Next();
      if (next) batch.push_back(InPool((*next)[0], (*next)[1], (*next)[2]));
    }
    if (const auto done = driver_->Copy(batch)) {
      posted.insert(posted.end(), batch.begin(), batch.end());
    } else {
      ASSERT_THAT(done, FailsWith(ENOSPC));
    }
  };
  const auto settle = [&] {
    device_->SetHung(false);
    ASSERT_OK(driver_->Wait(Soon()));
    Expect(posted);
    posted.clear();
    copies.TurnAround();
    ASSERT_TRUE(arena_->Matches());
  };

  for (int step = 0; step < 150; ++step) {
    SCOPED_TRACE(testing::Message() << "step " << step);
    switch (copies.Below(12)) {
      case 0:
        ASSERT_NO_FATAL_FAILURE(settle());
        break;
      case 1:
        device_->SetHung(copies.Below(2) == 0);
        break;
      case 2:
        device_->LetThrough(1 + copies.Below(20));
        break;
      case 3:
        ASSERT_OK(driver_->Quiesce(Soon()));
        ASSERT_OK(driver_->Resume(Soon()));
        break;
      case 4:
        if (!GetParam().interrupts_overtake_copies) {
          ASSERT_NO_FATAL_FAILURE(settle());
        }
        ASSERT_OK(driver_->RaiseInterrupt());
        ASSERT_EQ(TakeInterrupts(), 1);
        break;
      case 5: {
        ASSERT_NO_FATAL_FAILURE(settle());
        const bool quiesced = copies.Below(2) == 0;
        if (quiesced) {
          ASSERT_OK(driver_->Quiesce(Soon()));
        }
        ASSERT_OK(driver_->Save());
        driver_ = MakeDriver();
        ASSERT_OK(driver_->Attach(arena_->region()));
        if (quiesced) {
          ASSERT_OK(driver_->Resume(Soon()));
        }
        break;
      }
      case 6:
        if (copies.Below(8) != 0) break;
        ASSERT_NO_FATAL_FAILURE(settle());
        ASSERT_OK(driver_->Stop(Soon()));
        ASSERT_NO_FATAL_FAILURE(Start());
        break;
      default:
        ASSERT_NO_FATAL_FAILURE(post());
    }
  }
  ASSERT_NO_FATAL_FAILURE(settle());
  EXPECT_EQ(TakeInterrupts(), 0);
}

namespace {

TEST_P(DriverConformance, KeepsMemoryAsTheModelSaysInRandomSequences) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    ASSERT_NO_FATAL_FAILURE(PlayRandomly(seed));
  }
}

}  // namespace
}  // namespace carryover
