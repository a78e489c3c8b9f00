// SPDX-License-Identifier: GPL-2.0-only
#include "selftests/program/selection.h"

#include <fnmatch.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace carryover {
namespace {

bool MatchesAny(const std::string& name, std::string_view patterns) {
  while (!patterns.empty()) {
    const std::size_t end = std::min(patterns.find(':'), patterns.size());
    const std::string pattern(patterns.substr(0, end));
    if (!pattern.empty() && fnmatch(pattern.c_str(), name.c_str(), FNM_NOESCAPE) == 0) return true;
    patterns.remove_prefix(std::min(end + 1, patterns.size()));
  }
  return false;
}

}  // namespace

std::vector<TestCase> AllTests(bool hidden) {
  std::vector<TestCase> tests;
  const ::testing::UnitTest& unit = *::testing::UnitTest::GetInstance();
  for (int i = 0; i < unit.total_test_suite_count(); ++i) {
    const ::testing::TestSuite& suite = *unit.GetTestSuite(i);
    if (!hidden && std::string_view(suite.name()).starts_with("Hidden")) continue;
    for (int j = 0; j < suite.total_test_count(); ++j) {
      const ::testing::TestInfo& info = *suite.GetTestInfo(j);
      tests.push_back({std::string(suite.name()) + "." + info.name(), info.file(), info.line()});
    }
  }
  return tests;
}

bool MatchesFilter(std::string_view name, std::string_view filter) {
  const std::string text(name);
  // A '-' begins the negative part only at the start or after a ':' (names hold no '-').
  const std::size_t dash = filter.find('-');
  const std::string_view positive = filter.substr(0, dash);
  if (!positive.empty() && !MatchesAny(text, positive)) return false;
  return dash == std::string_view::npos || !MatchesAny(text, filter.substr(dash + 1));
}

void SelectTests(const std::vector<std::string>& names) {
  std::string filter;
  for (const std::string& name : names) {
    if (!filter.empty()) filter += ':';
    filter += name;
  }
  GTEST_FLAG_SET(filter, filter);
}

}  // namespace carryover
