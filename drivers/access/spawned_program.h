// SPDX-License-Identifier: GPL-2.0-only
// A program that a test runs as a process, and that does not outlive the test.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): kill
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "drivers/access/await_readable.h"
#include "drivers/access/result_matchers.h"
#include "drivers/access/unique_fd.h"

namespace carryover {

class SpawnedProgram {
 public:
  // Its standard error goes into the file `errors`, which is emptied.
  SpawnedProgram(const std::string& path, std::vector<std::string> words,
                 const std::string& errors) {
    words.insert(words.begin(), path);
    std::vector<char*> arguments;
    arguments.reserve(words.size() + 1);
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    std::array<int, 2> ends{};
    EXPECT_EQ(pipe2(ends.data(), O_CLOEXEC), 0) << strerrordesc_np(errno);
    output_ = UniqueFd(ends[0]);
    const UniqueFd input(ends[1]);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input.get(), STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors.c_str(),
                                     O_WRONLY | O_CREAT | O_TRUNC, 0600);
    EXPECT_EQ(posix_spawn(&pid_, path.c_str(), &actions, nullptr, arguments.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    // glibc 2.36 declares pidfd_open() without C linkage.
    pidfd_ = UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
    EXPECT_TRUE(pidfd_.valid());
  }
  SpawnedProgram(const SpawnedProgram&) = delete;
  SpawnedProgram& operator=(const SpawnedProgram&) = delete;
  ~SpawnedProgram() {
    if (!pidfd_.valid()) return;
    (void)kill(pid_, SIGKILL);
    (void)waitpid(pid_, nullptr, 0);
  }

  // Until its standard output is "ready".
  void AwaitReady() {
    ASSERT_OK(AwaitReadable(output_.get(), Soon()));
    std::array<char, 16> said{};
    ASSERT_GT(read(output_.get(), said.data(), said.size() - 1), 0) << "it has ended";
    ASSERT_STREQ(said.data(), "ready\n");
  }

  [[nodiscard]] pid_t pid() const { return pid_; }
  void Signal(int number) const { EXPECT_EQ(kill(pid_, number), 0) << strerrordesc_np(errno); }

  // Its exit status; negative: the signal that ended it.
  [[nodiscard]] int End() {
    EXPECT_OK(AwaitReadable(pidfd_.get(), Soon()));
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) != pid_) return -1;
    pidfd_.reset();
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  static Deadline Soon() { return Deadline::After(std::chrono::seconds(30)); }

  pid_t pid_ = -1;
  UniqueFd pidfd_;
  UniqueFd output_;
};

}  // namespace carryover
