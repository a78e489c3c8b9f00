// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/event_wait.h"

#include <fmt/format.h>
#include <liburing.h>
#include <poll.h>
#include <sys/eventfd.h>

namespace carryover {

void EventSet::CloseRing::operator()(io_uring* ring) const {
  io_uring_queue_exit(ring);
  const std::unique_ptr<io_uring> owned(ring);
}

EventSet::EventSet(EventSet&&) noexcept = default;
EventSet& EventSet::operator=(EventSet&&) noexcept = default;
EventSet::~EventSet() = default;

Result<EventSet> EventSet::Create(unsigned count) {
  EventSet set;
  for (unsigned i = 0; i < count; ++i) {
    UniqueFd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!fd.valid()) return FailErrno("eventfd");
    set.fds_.push_back(fd.get());
    set.owned_.push_back(std::move(fd));
  }
  auto ring = std::make_unique<io_uring>();
  if (const int error = io_uring_queue_init(4, ring.get(), 0); error < 0) {
    return Fail(-error, "io_uring_queue_init (CONFIG_IO_URING)");
  }
  set.ring_.reset(ring.release());
  return set;
}

Result<std::uint64_t> EventSet::Wait(unsigned index, Deadline deadline) {
  io_uring_sqe* poll = io_uring_get_sqe(ring_.get());
  if (poll == nullptr) return Fail(EBUSY, "no free submission entry");
  io_uring_prep_poll_add(poll, fds_.at(index), POLLIN);
  poll->flags |= IOSQE_IO_LINK;
  const auto left = deadline.Remaining();
  __kernel_timespec timeout{.tv_sec = left.count() / 1'000'000'000,
                            .tv_nsec = left.count() % 1'000'000'000};
  // A linked timeout cancels the poll: after both completions nothing is left in the ring.
  io_uring_sqe* linked = io_uring_get_sqe(ring_.get());
  io_uring_prep_link_timeout(linked, &timeout, 0);
  if (const int error = io_uring_submit(ring_.get()); error < 0) {
    return Fail(-error, "io_uring_submit");
  }
  for (int done = 0; done < 2; ++done) {
    io_uring_cqe* completion = nullptr;
    if (const int error = io_uring_wait_cqe(ring_.get(), &completion); error < 0) {
      if (error == -EINTR) {
        --done;
        continue;
      }
      return Fail(-error, "io_uring_wait_cqe");
    }
    io_uring_cqe_seen(ring_.get(), completion);
  }
  auto count = Take(index);
  if (count && *count == 0) {
    return Fail(ETIMEDOUT, fmt::format("no interrupt on vector {}", index));
  }
  return count;
}

Result<std::uint64_t> EventSet::Take(unsigned index) {
  eventfd_t count = 0;
  if (eventfd_read(fds_.at(index), &count) != 0) {
    if (errno == EAGAIN) return std::uint64_t{0};
    return FailErrno("read an eventfd");
  }
  return count;
}

}  // namespace carryover
