// SPDX-License-Identifier: GPL-2.0-only
// Errors of the libraries: a value or what went wrong. Tests turn these into assertions.
#pragma once

#include <cerrno>
#include <expected>
#include <string>
#include <utility>

namespace carryover {

struct Error {
  int code = 0;         // errno value; ETIMEDOUT for a deadline that passed
  std::string message;  // what was tried, on which object, and why it failed

  // "message: strerror(code)", for people.
  [[nodiscard]] std::string ToString() const;
};

template <typename T>
using Result = std::expected<T, Error>;

[[nodiscard]] inline std::unexpected<Error> Fail(int code, std::string message) {
  return std::unexpected(Error{code, std::move(message)});
}

// Fail() with the current errno. Call it before anything else can change errno.
[[nodiscard]] inline std::unexpected<Error> FailErrno(std::string message) {
  return Fail(errno, std::move(message));
}

}  // namespace carryover
