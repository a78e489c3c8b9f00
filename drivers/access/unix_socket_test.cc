// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/unix_socket.h"

#include <sys/socket.h>

#include <filesystem>
#include <fstream>

#include "drivers/access/result_matchers.h"
#include "drivers/access/temporary_folder.h"

namespace carryover {
namespace {

class UnixSocketTest : public testing::Test {
 protected:
  TemporaryFolder folder_;
};

TEST_F(UnixSocketTest, ConnectsToWhatIsBound) {
  const std::string path = folder_ / "socket";
  const UniqueFd mine(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  EXPECT_THAT(ConnectUnixSocket(mine.get(), path), FailsWith(ENOENT));
  ASSERT_OK_AND_ASSIGN(UniqueFd other, BindUnixSocket(path, SOCK_DGRAM));
  EXPECT_OK(ConnectUnixSocket(mine.get(), path));
  other.reset();
  EXPECT_THAT(ConnectUnixSocket(mine.get(), path), FailsWith(ECONNREFUSED));
  ASSERT_OK_AND_ASSIGN(other, BindUnixSocket(path, SOCK_DGRAM));
  EXPECT_OK(ConnectUnixSocket(mine.get(), path));
}

TEST_F(UnixSocketTest, ReplacesSocketsOnly) {
  const std::string path = folder_ / "precious";
  std::ofstream(path) << "text";
  EXPECT_THAT(BindUnixSocket(path, SOCK_STREAM), FailsWith(EADDRINUSE));
  EXPECT_TRUE(std::filesystem::is_regular_file(path));
}

TEST_F(UnixSocketTest, RefusesANameThatIsTooLong) {
  const std::string path(200, 'x');
  EXPECT_THAT(BindUnixSocket(path, SOCK_STREAM), FailsWith(ENAMETOOLONG));
  EXPECT_THAT(ConnectUnixSocket(0, path), FailsWith(ENAMETOOLONG));
}

}  // namespace
}  // namespace carryover
