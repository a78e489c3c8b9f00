// SPDX-License-Identifier: GPL-2.0-only
#include "selftests/program/test_events.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "fixtures/continuity/continuity_test.h"
#include "fixtures/kernel_log/expected_message.h"
#include "fixtures/kernel_log/kernel_log.h"
#include "fixtures/pattern/damage_log.h"

namespace carryover {
namespace {

std::string FullName(const ::testing::TestInfo& info) {
  return fmt::format("{}.{}", info.test_suite_name(), info.name());
}

std::string FirstLine(std::string_view text) {
  return std::string(text.substr(0, text.find('\n')));
}

// By this, a report in the kernel's log is known to be of a test. At the level of debugging, so
// that a serial line need not carry it. Where it cannot be written, the runner goes by what it sees
// first.
void Mark(std::string_view what, const std::string& test, Half half) {
  (void)WriteKernelLog(fmt::format("<7>carryover: {} {} {}", what, HalfName(half), test));
}

}  // namespace

TestEvents::TestEvents(EventWriter& events) : events_(events) {
  ExpectedKernelMessage::SetObserver([this](std::string_view pattern) {
    events_.Write("expect-message", {{"name", current_}, {"pattern", pattern}});
  });
}

TestEvents::~TestEvents() { ExpectedKernelMessage::SetObserver(nullptr); }

void TestEvents::Start(const std::string& test, Half half) {
  started_ = std::chrono::steady_clock::now();
  first_message_.clear();
  Mark("begin", test, half);
  used_.clear();
  DamageLog::Get().Begin();
  events_.Write(
      "start",
      {{"name", test}, {"half", HalfName(half)}, {"generation", Continuity::Get().generation()}});
}

void TestEvents::Finish(const std::string& test, Half half, const std::string& result,
                        const std::string& reason) {
  const auto duration = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::steady_clock::now() - started_);
  ++counts_[result];
  Mark("end", test, half);
  events_.Write("finish", {{"name", test},
                           {"half", HalfName(half)},
                           {"generation", Continuity::Get().generation()},
                           {"result", result},
                           {"reason", reason.empty() ? nlohmann::json() : nlohmann::json(reason)},
                           {"duration_us", duration.count()}});
}

void TestEvents::OnTestStart(const ::testing::TestInfo& info) {
  current_ = FullName(info);
  half_ = FindContinuityTest(current_) != nullptr ? Continuity::Get().half() : Half::kRun;
  verify_reported_ = false;
  noted_.clear();
  (void)Continuity::Get().TakeLost();
  (void)Continuity::Get().TakeInfrastructure();
  Start(current_, half_);
}

void TestEvents::OnTestPartResult(const ::testing::TestPartResult& part) {
  if (part.passed()) return;
  std::string_view message = part.message();
  // FAIL() puts that before what the test has to say.
  constexpr std::string_view kFailed = "Failed\n";
  if (message.starts_with(kFailed)) message.remove_prefix(kFailed.size());
  if (first_message_.empty()) first_message_ = FirstLine(message);
  if (part.skipped()) return;
  events_.Write("failure", {{"name", current_},
                            {"half", HalfName(half_)},
                            {"file", part.file_name() == nullptr ? "" : part.file_name()},
                            {"line", part.line_number()},
                            {"message", message}});
  for (nlohmann::json& damage : DamageLog::Get().Take()) {
    events_.Write("note", {{"name", current_}, {"key", "damage"}, {"value", std::move(damage)}});
  }
}

void TestEvents::OnUse(const PciAddress& address) {
  if (current_.empty() || !used_.insert(address).second) return;
  events_.Write("uses", {{"name", current_}, {"address", address.ToString()}});
}

void TestEvents::TellNotes(const ::testing::TestResult& result) {
  for (int i = 0; i < result.test_property_count(); ++i) {
    const ::testing::TestProperty& property = result.GetTestProperty(i);
    if (!noted_.emplace(property.key(), property.value()).second) continue;
    events_.Write("note",
                  {{"name", current_}, {"key", property.key()}, {"value", property.value()}});
  }
}

void TestEvents::OnTestEnd(const ::testing::TestInfo& info) {
  const ::testing::TestResult& result = *info.result();
  TellNotes(result);
  const auto lost = Continuity::Get().TakeLost();
  const auto infrastructure = Continuity::Get().TakeInfrastructure();
  if (verify_reported_) return;  // a carry half has said the rest
  if (lost && result.Failed()) {
    Finish(current_, half_, "LOST", *lost);
  } else if (infrastructure && result.Failed()) {
    Finish(current_, half_, "INFRA", *infrastructure);
  } else if (result.Failed()) {
    Finish(current_, half_, "FAIL", first_message_);
  } else if (result.Skipped()) {
    Finish(current_, half_, "SKIP", first_message_);
  } else {
    Finish(current_, half_, half_ == Half::kArm ? "ARMED" : "PASS", "");
  }
}

void TestEvents::OnCarryStart(const std::string& test) {
  // Those of the second half, before it ends.
  if (const auto* info = ::testing::UnitTest::GetInstance()->current_test_info()) {
    TellNotes(*info->result());
  }
  Finish(test, Half::kVerify, "PASS", "");
  verify_reported_ = true;
  Start(test, Half::kCarry);
}

void TestEvents::OnCarryEnd(const std::string& test, bool failed) {
  Finish(test, Half::kCarry, failed ? "FAIL" : "ARMED", failed ? first_message_ : "");
}

bool TestEvents::AllGood() const {
  return !counts_.contains("FAIL") && !counts_.contains("LOST") && !counts_.contains("INFRA");
}

}  // namespace carryover
