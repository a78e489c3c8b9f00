// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/fake/loop_device.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace carryover {

Result<LoopDevice> LoopDevice::Create() {
  constexpr int kAttempts = 10;
  constexpr off_t kSize = 1 << 20;
  const UniqueFd control(open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  if (!control.valid()) return FailErrno("open /dev/loop-control");
  const UniqueFd content(memfd_create("loop", MFD_CLOEXEC));
  if (!content.valid() || ftruncate(content.get(), kSize) != 0) return FailErrno("memfd_create");
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const int number = ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (number < 0) return FailErrno("LOOP_CTL_GET_FREE");
    const std::filesystem::path node = fmt::format("/dev/loop{}", number);
    UniqueFd file(open(node.c_str(), O_RDWR | O_CLOEXEC));
    if (!file.valid()) return FailErrno("open " + node.string());
    loop_config config{};
    config.fd = static_cast<std::uint32_t>(content.get());
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    if (ioctl(file.get(), LOOP_CONFIGURE, &config) == 0) return LoopDevice(node, std::move(file));
    if (errno != EBUSY) return FailErrno("LOOP_CONFIGURE");  // another process has got it
  }
  return Fail(EBUSY, "no loop device is free for long enough");
}

}  // namespace carryover
