// SPDX-License-Identifier: GPL-2.0-only
// A point in time by which a wait must have ended. Every wait in Carryover takes one.
#pragma once

#include <chrono>

namespace carryover {

class Deadline {
 public:
  using Clock = std::chrono::steady_clock;

  // Durations given here are multiplied by the process-wide scale (--time-scale).
  [[nodiscard]] static Deadline After(std::chrono::nanoseconds duration) {
    return Deadline(Clock::now() + std::chrono::duration_cast<Clock::duration>(duration * scale_));
  }

  // Not scaled.
  [[nodiscard]] static Deadline At(Clock::time_point when) { return Deadline(when); }

  // This one, or After(duration) if that is sooner.
  [[nodiscard]] Deadline OrAfter(std::chrono::nanoseconds duration) const {
    const Deadline other = After(duration);
    return other.when_ < when_ ? other : *this;
  }

  [[nodiscard]] bool Passed() const { return Clock::now() >= when_; }
  [[nodiscard]] Clock::time_point when() const { return when_; }

  // Zero when the deadline has passed.
  [[nodiscard]] std::chrono::nanoseconds Remaining() const {
    const auto left = when_ - Clock::now();
    return left > Clock::duration::zero() ? left : Clock::duration::zero();
  }

  // For debug kernels, emulation and big servers. Set once, before any test runs.
  static void SetScale(double scale) { scale_ = scale; }

 private:
  explicit Deadline(Clock::time_point when) : when_(when) {}

  static inline double scale_ = 1.0;
  Clock::time_point when_;
};

}  // namespace carryover
