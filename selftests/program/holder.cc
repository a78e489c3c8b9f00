// SPDX-License-Identifier: GPL-2.0-only
#include "selftests/program/holder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "drivers/access/await_readable.h"
#include "drivers/access/unique_fd.h"
#include "selftests/program/process_start.h"
#include "selftests/program/target_lock.h"

namespace carryover {
namespace {

constexpr const char* kPath = "/run/carryover/holder.json";

Result<void> WriteHolderFile() {
  std::error_code error;
  std::filesystem::create_directories(kRunDirectory, error);
  const auto started = StartTime(getpid());
  if (!started) return std::unexpected(started.error());
  const std::string temporary = fmt::format("{}.{}", kPath, getpid());
  std::ofstream file(temporary);
  file << nlohmann::json{{"pid", getpid()}, {"start_time", *started}}.dump() << '\n';
  file.close();
  if (!file || std::rename(temporary.c_str(), kPath) != 0) {
    return FailErrno(fmt::format("write {}", kPath));
  }
  return {};
}

[[noreturn]] void Child(int report, const std::function<HolderOutcome()>& work,
                        const std::function<void()>& let_go) {
  (void)setsid();
  sigset_t signals{};
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  (void)pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  (void)signal(SIGHUP, SIG_IGN);
  (void)signal(SIGPIPE, SIG_IGN);

  HolderOutcome outcome{ExitCode::kCannot, false};
  if (auto written = WriteHolderFile(); !written) {
    fmt::print(stderr, "carryover-selftests: {}\n", written.error().ToString());
  } else {
    outcome = work();
  }
  if (!outcome.hold) {
    // Before it is said that the work is done: devices are back by then.
    let_go();
    (void)unlink(kPath);
  } else {
    if (const int null = open("/dev/null", O_RDWR | O_CLOEXEC); null >= 0) {
      for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) (void)dup2(null, fd);
    }
  }
  const auto code = static_cast<char>(outcome.code);
  (void)!write(report, &code, 1);
  (void)close(report);
  // To hold is to wait for what may never come: the kexec ends this process, or SIGTERM does.
  // EINTR comes without a signal, too: closing an io_uring leaves task work (io_ring_exit_work()).
  if (outcome.hold) {
    while (sigwaitinfo(&signals, nullptr) < 0 && errno == EINTR) {
    }
    let_go();
    (void)unlink(kPath);
  }
  std::_Exit(static_cast<int>(outcome.code));
}

}  // namespace

Result<ExitCode> RunInHolder(const std::function<HolderOutcome()>& work,
                             const std::function<void()>& let_go, Deadline deadline) {
  if (const auto holder = FindHolder()) {
    return Fail(EBUSY, fmt::format("process {} holds armed sessions; `release` ends it", *holder));
  }
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return FailErrno("pipe");
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  (void)std::fflush(nullptr);
  const pid_t child = fork();
  if (child < 0) return FailErrno("fork");
  if (child == 0) Child(write_end.release(), work, let_go);
  write_end = UniqueFd();
  if (!AwaitReadable(read_end.get(), deadline)) {
    (void)kill(child, SIGKILL);
    return Fail(ETIMEDOUT, "the halves did not end in time; the holder was killed");
  }
  char code = 0;
  if (read(read_end.get(), &code, 1) == 1) return static_cast<ExitCode>(code);
  int status = 0;
  (void)waitpid(child, &status, 0);
  return Fail(ECHILD, WIFSIGNALED(status)
                          ? fmt::format("the holder died of signal {}", WTERMSIG(status))
                          : fmt::format("the holder ended with {}", WEXITSTATUS(status)));
}

Result<pid_t> FindHolder() {
  std::ifstream file(kPath);
  const auto json = nlohmann::json::parse(file, nullptr, false);
  if (json.is_discarded()) return Fail(ENOENT, "no holder");
  const pid_t pid = json.value("pid", 0);
  const auto started = StartTime(pid);
  if (!started || *started != json.value("start_time", std::uint64_t{0})) {
    return Fail(ENOENT, "no holder");
  }
  return pid;
}

Result<void> ReleaseHolder(Deadline deadline) {
  const auto holder = FindHolder();
  if (!holder) return std::unexpected(holder.error());
  const UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, *holder, 0)));
  if (!process.valid()) return FailErrno(fmt::format("pidfd_open({})", *holder));
  if (kill(*holder, SIGTERM) != 0) return FailErrno(fmt::format("signal process {}", *holder));
  if (!AwaitReadable(process.get(), deadline)) {
    return Fail(ETIMEDOUT, fmt::format("the holder, process {}, does not end", *holder));
  }
  return {};
}

}  // namespace carryover
