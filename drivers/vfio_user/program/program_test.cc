// SPDX-License-Identifier: GPL-2.0-only
// carryover-model, run as a process.
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <fstream>
#include <optional>
#include <sstream>

#include "drivers/access/await_readable.h"
#include "drivers/access/result_matchers.h"
#include "drivers/access/spawned_program.h"
#include "drivers/access/temporary_folder.h"
#include "drivers/vfio_user/connection.h"
#include "drivers/vfio_user/request.h"

namespace carryover::vfio_user {
namespace {

using testing::HasSubstr;

Deadline Soon() { return Deadline::After(std::chrono::seconds(10)); }

class ModelProgram : public testing::Test {
 protected:
  [[nodiscard]] std::string Path(const char* name) const { return folder_ / name; }
  [[nodiscard]] std::string Text(const char* name) const {
    std::stringstream text;
    text << std::ifstream(Path(name)).rdbuf();
    return text.str();
  }
  // Its standard error is the file "errors".
  void Start(const std::vector<std::string>& words) {
    program_.emplace(CARRYOVER_MODEL, words, Path("errors"));
  }
  // With a socket, a control socket and a log, until it says that it is ready.
  void StartReady(const std::vector<std::string>& more = {}) {
    std::vector<std::string> words{"--device",  "dmac",          "--socket", Path("socket"),
                                   "--control", Path("control"), "--log",    Path("log")};
    words.insert(words.end(), more.begin(), more.end());
    Start(words);
    ASSERT_NO_FATAL_FAILURE(program_->AwaitReady()) << Text("errors");
  }
  int End() { return program_->End(); }
  int Run(const std::vector<std::string>& words) {
    Start(words);
    return End();
  }

  [[nodiscard]] static UniqueFd SocketTo(const std::string& path, int type) {
    UniqueFd fd(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
    if (!fd.valid()) {
      ADD_FAILURE() << "socket(): errno " << errno;
      return fd;
    }
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (type == SOCK_DGRAM) {  // any name of its own
      EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(sa_family_t)),
                0);
    }
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0)
        << path;
    return fd;
  }
  [[nodiscard]] Connection Connect() const {
    return Connection(SocketTo(Path("socket"), SOCK_STREAM));
  }
  // Agrees on a version.
  static void Negotiate(Connection& connection) {
    std::vector<std::byte> version;
    Append(version, Version{});
    ASSERT_OK(connection.Send({.command = Command::kVersion}, version, Soon()));
    ASSERT_OK_AND_ASSIGN(const auto reply, connection.Receive(Soon()));
    ASSERT_TRUE(reply);
    EXPECT_TRUE(reply->header.is_reply());
  }
  [[nodiscard]] std::string Control(std::string_view request) const {
    const UniqueFd fd = SocketTo(Path("control"), SOCK_DGRAM);
    EXPECT_EQ(send(fd.get(), request.data(), request.size(), 0),
              static_cast<ssize_t>(request.size()));
    EXPECT_OK(AwaitReadable(fd.get(), Soon()));
    std::array<char, 1024> answer{};
    const ssize_t got = recv(fd.get(), answer.data(), answer.size(), MSG_DONTWAIT);
    return {answer.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0))};
  }

  TemporaryFolder folder_;
  std::optional<SpawnedProgram> program_;
};

TEST_F(ModelProgram, EndsWith2IfItIsNotUsedRight) {
  EXPECT_EQ(Run({}), 2);
  EXPECT_THAT(Text("errors"), HasSubstr("--device"));
  EXPECT_EQ(Run({"--device", "nothing", "--socket", Path("socket")}), 2);
  EXPECT_THAT(Text("errors"), HasSubstr("nothing"));
  EXPECT_EQ(Run({"--device", "dmac"}), 2);
  EXPECT_EQ(Run({"--device", "dmac", "--socket", Path("socket"), "--explode"}), 2);
  EXPECT_EQ(Run({"--help"}), 0);
}

TEST_F(ModelProgram, SaysWhatItCannotOpen) {
  EXPECT_EQ(Run({"--device", "dmac", "--socket", "/nonexistent/socket"}), 1);
  EXPECT_THAT(Text("errors"), HasSubstr("/nonexistent/socket"));
  EXPECT_EQ(Run({"--device", "dmac", "--socket", std::string(200, 'x')}), 1);
  EXPECT_EQ(Run({"--device", "dmac", "--socket", Path("socket"), "--log", "/nonexistent/log"}), 1);
}

TEST_F(ModelProgram, ReplacesSocketsOnly) {
  std::ofstream(Path("precious")) << "text";
  EXPECT_EQ(Run({"--device", "dmac", "--socket", Path("precious")}), 1);
  EXPECT_THAT(Text("errors"), HasSubstr("precious"));
  EXPECT_EQ(Text("precious"), "text");
  StartReady();
  program_->Signal(SIGKILL);
  EXPECT_EQ(End(), -SIGKILL);
  StartReady();
}

TEST_F(ModelProgram, EndsOnSigterm) {
  StartReady();
  Connection connection = Connect();
  Negotiate(connection);
  program_->Signal(SIGTERM);
  EXPECT_EQ(End(), 0);
}

TEST_F(ModelProgram, ListensAgain) {
  StartReady();
  for (int i = 0; i < 3; ++i) {
    Connection connection = Connect();
    Negotiate(connection);
  }
}

TEST_F(ModelProgram, EndsWithTheFirstConnectionOnRequest) {
  StartReady({"--once"});
  {
    Connection connection = Connect();
    Negotiate(connection);
  }
  EXPECT_EQ(End(), 0);
  EXPECT_THAT(Text("log"), HasSubstr("disconnected"));
}

TEST_F(ModelProgram, ClosesABrokenConnectionAndSaysWhy) {
  StartReady();
  {
    Connection connection = Connect();
    ASSERT_OK(connection.Send({.command = Command::kReset}, {}, Soon()));
    const auto next = connection.Receive(Soon());
    EXPECT_TRUE(!next || !*next);
  }
  Connection connection = Connect();
  Negotiate(connection);
  EXPECT_THAT(Text("errors"), HasSubstr("no version"));
  EXPECT_THAT(Text("log"), HasSubstr("no version"));
}

TEST_F(ModelProgram, TakesFaults) {
  StartReady();
  EXPECT_THAT(Control(R"({"hung":true})"), HasSubstr("nobody is connected"));
  Connection connection = Connect();
  Negotiate(connection);
  EXPECT_EQ(Control(R"({"hung":true})"), R"({"ok":true})");
  EXPECT_THAT(Control(R"({"explode":true})"), HasSubstr("no such fault"));
  EXPECT_THAT(Control("\xff\xfe"), HasSubstr("not JSON"));
  EXPECT_EQ(Control(R"({"let_through":3})"), R"({"ok":true})");
}

}  // namespace
}  // namespace carryover::vfio_user
