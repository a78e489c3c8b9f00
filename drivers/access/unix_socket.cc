// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/unix_socket.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

namespace carryover {
namespace {

Result<sockaddr_un> UnixAddress(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return Fail(ENAMETOOLONG,
                fmt::format("socket {}: at most {} bytes", path, sizeof(address.sun_path) - 1));
  }
  path.copy(address.sun_path, path.size());
  return address;
}

}  // namespace

Result<UniqueFd> BindUnixSocket(const std::string& path, int type) {
  const auto address = UnixAddress(path);
  if (!address) return std::unexpected(address.error());
  UniqueFd fd(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return FailErrno("socket");
  struct stat found{};
  if (lstat(path.c_str(), &found) == 0 && S_ISSOCK(found.st_mode)) (void)unlink(path.c_str());
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) != 0) {
    return FailErrno("bind " + path);
  }
  return fd;
}

Result<void> ConnectUnixSocket(int fd, const std::string& path) {
  const auto address = UnixAddress(path);
  if (!address) return std::unexpected(address.error());
  if (connect(fd, reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) != 0) {
    return FailErrno("connect to " + path);
  }
  return {};
}

}  // namespace carryover
