// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/bounded_write.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>

#include "drivers/access/unique_fd.h"

namespace carryover {
namespace {

// Runs in the child of a process that may have threads: async-signal-safe calls only.
[[noreturn]] void WriteAndExit(const char* path, std::string_view value) {
  (void)close_range(0, ~0U, 0);
  const int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
  if (fd < 0) _exit(errno);
  const ssize_t written = write(fd, value.data(), value.size());
  if (written < 0) _exit(errno);
  _exit(written == static_cast<ssize_t>(value.size()) ? 0 : EIO);
}

// Until the child has ended or the deadline passed; true if it has ended.
bool AwaitExit(int pidfd, Deadline deadline) {
  for (;;) {
    const auto left = deadline.Remaining();
    const timespec timeout{.tv_sec = left.count() / 1'000'000'000,
                           .tv_nsec = left.count() % 1'000'000'000};
    pollfd ended{.fd = pidfd, .events = POLLIN, .revents = 0};
    const int ready = ppoll(&ended, 1, &timeout, nullptr);
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

}  // namespace

Result<void> BoundedWrite(const std::filesystem::path& attribute, std::string_view value,
                          Deadline deadline) {
  const std::string what = fmt::format("write '{}' to {}", value, attribute.string());
  const pid_t child = fork();
  if (child < 0) return FailErrno(what + ": fork");
  if (child == 0) WriteAndExit(attribute.c_str(), value);
  // glibc 2.36 declares pidfd_open() without C linkage.
  const UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));
  const bool ended = pidfd.valid() && AwaitExit(pidfd.get(), deadline);
  int status = 0;
  if (!ended) {
    (void)kill(child, SIGKILL);
    (void)waitpid(child, &status, WNOHANG);  // what sleeps unkillable is left to init
    return Fail(ETIMEDOUT, what + ": the kernel waits, as it does while a VFIO file is open");
  }
  if (waitpid(child, &status, 0) != child) return FailErrno(what + ": waitpid");
  if (!WIFEXITED(status)) return Fail(EINTR, what + ": the writing process was killed");
  if (const int error = WEXITSTATUS(status); error != 0) return Fail(error, what);
  return {};
}

}  // namespace carryover
