// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/bounded_write.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>

#include "drivers/access/await_readable.h"
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

}  // namespace

Result<void> BoundedWrite(const std::filesystem::path& attribute, std::string_view value,
                          Deadline deadline) {
  const std::string what = fmt::format("write '{}' to {}", value, attribute.string());
  const pid_t child = fork();
  if (child < 0) return FailErrno(what + ": fork");
  if (child == 0) WriteAndExit(attribute.c_str(), value);
  // glibc 2.36 declares pidfd_open() without C linkage.
  const UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));
  const bool ended = pidfd.valid() && AwaitReadable(pidfd.get(), deadline).has_value();
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
