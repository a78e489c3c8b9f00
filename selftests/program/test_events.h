// SPDX-License-Identifier: GPL-2.0-only
// Turns what GoogleTest reports into events.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "drivers/access/pci_id.h"
#include "fixtures/continuity/continuity.h"
#include "selftests/program/event_writer.h"

namespace carryover {

class TestEvents : public ::testing::EmptyTestEventListener, public HalfObserver {
 public:
  explicit TestEvents(EventWriter& events);
  ~TestEvents() override;
  TestEvents(const TestEvents&) = delete;
  TestEvents& operator=(const TestEvents&) = delete;
  TestEvents(TestEvents&&) = delete;
  TestEvents& operator=(TestEvents&&) = delete;

  void OnTestStart(const ::testing::TestInfo& info) override;
  void OnTestPartResult(const ::testing::TestPartResult& part) override;
  void OnTestEnd(const ::testing::TestInfo& info) override;
  void OnCarryStart(const std::string& test) override;
  void OnCarryEnd(const std::string& test, bool failed) override;
  // The test that runs asks for this function.
  void OnUse(const PciAddress& address);

  // Halves by result ("PASS", "FAIL", ...), and names of the tests that are armed.
  [[nodiscard]] const std::map<std::string, int>& counts() const { return counts_; }
  [[nodiscard]] bool AllGood() const;

 private:
  void Start(const std::string& test, Half half);
  void Finish(const std::string& test, Half half, const std::string& result,
              const std::string& reason);
  // The test's properties, those that were not told yet.
  void TellNotes(const ::testing::TestResult& result);

  EventWriter& events_;
  std::string current_;
  Half half_ = Half::kRun;  // of the current test
  std::string first_message_;
  std::chrono::steady_clock::time_point started_;
  bool verify_reported_ = false;
  std::set<PciAddress> used_;                            // in this half
  std::set<std::pair<std::string, std::string>> noted_;  // properties of this test
  std::map<std::string, int> counts_;
};

}  // namespace carryover
