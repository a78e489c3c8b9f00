// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/vfio_user/event_log.h"

#include <gmock/gmock.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "drivers/access/result_matchers.h"

namespace carryover::vfio_user {
namespace {

class VfioUserEventLog : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(path_); }
  [[nodiscard]] std::vector<nlohmann::json> Lines() const {
    std::vector<nlohmann::json> lines;
    std::ifstream file(path_);
    for (std::string line; std::getline(file, line);) lines.push_back(nlohmann::json::parse(line));
    return lines;
  }

  const std::string path_ = testing::TempDir() + "vfio_user_event_log.jsonl";
};

TEST_F(VfioUserEventLog, WritesALineAtOnce) {
  ASSERT_OK_AND_ASSIGN(EventLog log, EventLog::Open(path_));
  const auto before = std::chrono::steady_clock::now().time_since_epoch();
  log.Write("connected");
  log.Write("reset", {{"by", "function"}});
  const auto after = std::chrono::steady_clock::now().time_since_epoch();
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0].at("event"), "connected");
  EXPECT_EQ(lines[1].at("by"), "function");
  EXPECT_GE(lines[0].at("t").get<std::int64_t>(), std::chrono::nanoseconds(before).count());
  EXPECT_LE(lines[0].at("t"), lines[1].at("t"));
  EXPECT_LE(lines[1].at("t").get<std::int64_t>(), std::chrono::nanoseconds(after).count());
}

TEST_F(VfioUserEventLog, Appends) {
  for (const auto* event : {"one", "two"}) {
    ASSERT_OK_AND_ASSIGN(EventLog log, EventLog::Open(path_));
    log.Write(event);
  }
  EXPECT_EQ(Lines().size(), 2U);
}

// As a control socket's sender may have sent it.
TEST_F(VfioUserEventLog, TakesWhatIsNoText) {
  ASSERT_OK_AND_ASSIGN(EventLog log, EventLog::Open(path_));
  log.Write("faults", {{"set", std::string("a\xff\0\nb", 5)}});
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0].at("set"), std::string("a\xef\xbf\xbd\0\nb", 7));
}

TEST_F(VfioUserEventLog, SaysWhatItCannotOpen) {
  const auto log = EventLog::Open("/nonexistent/log");
  ASSERT_THAT(log, FailsWith(ENOENT));
  EXPECT_THAT(log.error().message, testing::HasSubstr("/nonexistent/log"));
}

}  // namespace
}  // namespace carryover::vfio_user
