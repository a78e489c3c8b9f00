// SPDX-License-Identifier: GPL-2.0-only
// Which of the linked tests a verb runs.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace carryover {

struct TestCase {
  std::string name;  // "Suite.Test"
  std::string file;
  int line = 0;
};

// All tests in this program. Suites whose names begin with "Hidden" exist to prove the runner.
[[nodiscard]] std::vector<TestCase> AllTests(bool hidden);

// True if `name` matches a GoogleTest filter: patterns joined by ':', '*' and '?', after '-' those
// left out.
[[nodiscard]] bool MatchesFilter(std::string_view name, std::string_view filter);

// Makes RUN_ALL_TESTS() run just these, each by its exact name.
void SelectTests(const std::vector<std::string>& names);

}  // namespace carryover
