// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/fake/own_network.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "drivers/access/unique_fd.h"

namespace carryover {

namespace {
constexpr int kNoNamespace = 77;
}  // namespace

std::optional<std::string> InOwnNetwork(const std::function<std::string()>& work) {
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) return std::nullopt;
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const pid_t child = fork();
  if (child < 0) return std::nullopt;
  if (child == 0) {
    // Others than root have one in a user namespace of their own.
    if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
      _exit(kNoNamespace);
    const std::string text = work();
    (void)!write(write_end.get(), text.data(), text.size());
    _exit(0);
  }
  write_end.reset();
  std::string text;
  std::array<char, 1024> piece{};
  for (ssize_t size = 0; (size = read(read_end.get(), piece.data(), piece.size())) > 0;) {
    text.append(piece.data(), static_cast<std::size_t>(size));
  }
  int status = -1;
  if (waitpid(child, &status, 0) != child) return "waitpid failed";
  if (WIFEXITED(status) && WEXITSTATUS(status) == kNoNamespace) return std::nullopt;
  return status == 0 ? text : fmt::format("the child process ended with status {:#x}", status);
}

}  // namespace carryover
