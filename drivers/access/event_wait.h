// SPDX-License-Identifier: GPL-2.0-only
// Waiting for eventfds with deadlines, through io_uring.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "drivers/access/deadline.h"
#include "drivers/access/result.h"
#include "drivers/access/unique_fd.h"

struct io_uring;

namespace carryover {

// A set of eventfds that VFIO signals.
class EventSet {
 public:
  // `count` eventfds, none signalled.
  [[nodiscard]] static Result<EventSet> Create(unsigned count);

  EventSet(EventSet&&) noexcept;
  EventSet& operator=(EventSet&&) noexcept;
  EventSet(const EventSet&) = delete;
  EventSet& operator=(const EventSet&) = delete;
  ~EventSet();

  // For PciDevice::EnableInterrupts().
  [[nodiscard]] std::span<const int> fds() const { return fds_; }

  // Waits until event `index` is signalled; returns how often it was since the last Wait(), and
  // clears it. Errors: ETIMEDOUT.
  [[nodiscard]] Result<std::uint64_t> Wait(unsigned index, Deadline deadline);

  // How often it was signalled since the last time, without waiting.
  [[nodiscard]] Result<std::uint64_t> Take(unsigned index);

 private:
  struct CloseRing {
    void operator()(io_uring* ring) const;
  };
  EventSet() = default;

  std::vector<UniqueFd> owned_;
  std::vector<int> fds_;
  std::unique_ptr<io_uring, CloseRing> ring_;
};

}  // namespace carryover
