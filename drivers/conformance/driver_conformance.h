// SPDX-License-Identifier: GPL-2.0-only
// The driver conformance suite: what drivers/driver.h promises, in process, on a fake device. It
// runs on every driver. A driver's folder links carryover_conformance and says what to run it on:
//
//   INSTANTIATE_TEST_SUITE_P(Edu, DriverConformance,
//                            testing::Values(ConformanceCase{.name = "Edu", ...}), CaseName);
//
// Every test also fails if the fake saw the driver do what its data sheet forbids, or if a byte was
// written that should not have been.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "drivers/access/event_wait.h"
#include "drivers/access/result_matchers.h"
#include "drivers/conformance/arena.h"
#include "drivers/conformance/conformance_device.h"
#include "drivers/driver.h"

namespace carryover {

class DriverConformance : public testing::TestWithParam<ConformanceCase> {
 protected:
  static constexpr std::size_t kPage = Arena::kPage;

  // Longer than any operation takes on a loaded machine; and what a test that waits for a deadline
  // to pass can afford.
  static constexpr std::chrono::seconds kLong{20};
  static constexpr std::chrono::milliseconds kShort{40};

  DriverConformance();
  void TearDown() override;

  // A pool of another size; before Start().
  void ResizePool(std::size_t size);
  // A driver object for the same device.
  [[nodiscard]] std::unique_ptr<Driver> MakeDriver() {
    return GetParam().entry->make(pci(), GetParam().options);
  }

  [[nodiscard]] FakePciDevice& pci() { return device_->device(); }
  [[nodiscard]] const DriverTraits& traits() const { return driver_->traits(); }
  [[nodiscard]] static Deadline Soon() { return Deadline::After(kLong); }
  [[nodiscard]] static Deadline Almost() { return Deadline::After(kShort); }

  void Start() { ASSERT_OK(driver_->Start(arena_->region(), Soon())); }
  [[nodiscard]] Result<void> CopyOne(const DmaCopy& copy) { return driver_->Copy({&copy, 1}); }
  // The nearest below, and above, that a copy of this device can have: the value itself where any
  // alignment is good. After Start().
  [[nodiscard]] std::size_t Below(std::size_t value) const {
    return value / traits().alignment * traits().alignment;
  }
  [[nodiscard]] std::size_t Above(std::size_t value) const {
    return Below(value + traits().alignment - 1);
  }
  // A copy within the pool, from and to these offsets, or Below() them, of Above() `length`.
  [[nodiscard]] DmaCopy InPool(std::size_t source, std::size_t destination,
                               std::size_t length) const {
    return {.source = arena_->At(Below(source)),
            .destination = arena_->At(Below(destination)),
            .length = Above(length)};
  }
  // `count` copies of Above() `length` bytes that do not overlap, in a pool that is large enough.
  [[nodiscard]] std::vector<DmaCopy> Batch(std::size_t count, std::size_t length) const;
  void Expect(const std::vector<DmaCopy>& copies);

  // Does some copies and checks what they did: the device works.
  void ExpectWorks();
  // Eventfds of all vectors of the kind that the driver uses, enabled.
  void EnableInterrupts();
  // How often the driver's vector was raised since.
  [[nodiscard]] std::uint64_t TakeInterrupts();
  // That no vector but this one was raised since.
  void ExpectOtherVectorsSilent(unsigned vector);
  // The operations that need a started driver fail with this error.
  void ExpectAllFail(int code);
  // Wait() fails, after a copy whose source the IOMMU refuses; unless the device cannot notice.
  void ExpectRefusedReadIsTold();
  // Operations drawn by this seed, checked against a model of the memory.
  void PlayRandomly(std::uint64_t seed);

  std::unique_ptr<ConformanceDevice> device_;
  std::unique_ptr<Driver> driver_;
  std::unique_ptr<Arena> arena_;
  std::unique_ptr<EventSet> events_;  // null before EnableInterrupts()
};

// Fails if the operation took much longer than its deadline.
class InTime {
 public:
  explicit InTime(std::chrono::milliseconds limit) : limit_(limit) {}
  InTime(const InTime&) = delete;
  InTime& operator=(const InTime&) = delete;
  ~InTime();

  [[nodiscard]] std::chrono::nanoseconds elapsed() const {
    return std::chrono::steady_clock::now() - begin_;
  }

 private:
  std::chrono::milliseconds limit_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

[[nodiscard]] std::string CaseName(const testing::TestParamInfo<ConformanceCase>& info);

}  // namespace carryover
