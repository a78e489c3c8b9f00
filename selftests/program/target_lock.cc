// SPDX-License-Identifier: GPL-2.0-only
#include "selftests/program/target_lock.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "selftests/program/process_start.h"

namespace carryover {
namespace {

namespace fs = std::filesystem;

std::string Now() {
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", now);
}

// What is there is the work of whoever has the lock; he may have got it this moment.
LockRecord Parse(const std::string& text) {
  LockRecord record;
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return record;
  const auto text_of = [&](const char* key) {
    const auto found = json.find(key);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  const auto number_of = [&](const char* key) {
    const auto found = json.find(key);
    return found != json.end() && found->is_number() ? found->get<std::uint64_t>() : 0;
  };
  record.owner = text_of("owner");
  record.verb = text_of("verb");
  record.since = text_of("since");
  record.pid = static_cast<pid_t>(number_of("pid"));
  record.start_time = number_of("start_time");
  return record;
}

LockRecord ReadRecord(int file) {
  std::array<char, 4096> text{};
  const ssize_t size = pread(file, text.data(), text.size(), 0);
  return Parse(std::string(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0));
}

Result<void> WriteRecord(int file, const std::string& owner, std::string_view verb) {
  const std::string text = nlohmann::json{{"owner", owner},
                                          {"verb", verb},
                                          {"since", Now()},
                                          {"pid", getpid()},
                                          {"start_time", StartTime(getpid()).value_or(0)}}
                               .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) +
                           "\n";
  if (ftruncate(file, 0) != 0 ||
      pwrite(file, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    return FailErrno("write the lock");
  }
  return {};
}

bool HasEnded(const LockRecord& record) {
  const auto started = StartTime(record.pid);
  return !started || *started != record.start_time;
}

}  // namespace

std::string LockRecord::ToString() const {
  if (owner.empty()) return "somebody who has just taken it";
  return fmt::format("{}, by `{}`, process {} here, since {}", owner, verb, pid, since);
}

Result<TargetLock> TargetLock::Take(const std::string& owner, std::string_view verb,
                                    const fs::path& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  const fs::path path = directory / "lock";
  UniqueFd file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!file.valid()) return FailErrno("open " + path.string());
  if (flock(file.get(), LOCK_EX | LOCK_NB) == 0) {
    if (auto written = WriteRecord(file.get(), owner, verb); !written) {
      return std::unexpected(written.error());
    }
    return TargetLock(std::move(file));
  }
  if (errno != EWOULDBLOCK) return FailErrno("lock " + path.string());
  const LockRecord record = ReadRecord(file.get());
  if (record.pid != 0 && record.owner == owner && HasEnded(record)) return TargetLock(UniqueFd());
  return Fail(EBUSY, fmt::format("the machine is held by {}", record.ToString()));
}

Result<std::optional<LockRecord>> ReadLock(const fs::path& directory) {
  const fs::path path = directory / "lock";
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) {
    if (errno == ENOENT) return std::nullopt;
    return FailErrno("open " + path.string());
  }
  struct stat status{};
  if (fstat(file.get(), &status) != 0) return FailErrno("stat " + path.string());
  // To try it would be to have it for a moment, in which another would be refused. proc_locks(5).
  std::ifstream locks("/proc/locks");
  if (!locks) return FailErrno("open /proc/locks");
  const std::string inode =
      fmt::format(" {:02x}:{:02x}:{} ", major(status.st_dev), minor(status.st_dev), status.st_ino);
  for (std::string line; std::getline(locks, line);) {
    // "-> " stands before one who only waits.
    if (line.find(" FLOCK ") != std::string::npos && line.find(inode) != std::string::npos &&
        line.find("->") == std::string::npos) {
      return ReadRecord(file.get());
    }
  }
  return std::nullopt;
}

std::string DefaultOwner() {
  // NOLINTBEGIN(concurrency-mt-unsafe): never set here
  const char* const name = std::getenv("LOGNAME");
  const char* const ssh = std::getenv("SSH_CONNECTION");
  // NOLINTEND(concurrency-mt-unsafe)
  const std::string who = name != nullptr ? name : fmt::format("user {}", getuid());
  if (ssh == nullptr) return who + " here";
  const std::string connection = ssh;
  return fmt::format("{} from {}", who, connection.substr(0, connection.find(' ')));
}

}  // namespace carryover
