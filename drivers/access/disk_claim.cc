// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/disk_claim.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>
#include <vector>

#include "drivers/access/disks.h"
#include "drivers/access/unique_fd.h"

namespace carryover {
namespace {

namespace fs = std::filesystem;

bool IsClaimed(const fs::path& node, const Claim& claim) {
  constexpr int kAttempts = 3;
  for (int attempt = 1; claim(node) == EBUSY; ++attempt) {
    if (attempt == kAttempts) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));  // there is nothing to wait on
  }
  return false;
}

}  // namespace

int ClaimOnce(const fs::path& node) {
  // O_NONBLOCK: a drive without a medium is not waited for.
  const UniqueFd fd(open(node.c_str(), O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC));
  return fd.valid() ? 0 : errno;
}

std::optional<std::string> WhyClaimed(const Sysfs& sysfs, const PciAddress& address,
                                      const Claim& claim, const fs::path& devices) {
  for (const fs::path& disk : DisksOf(sysfs, address)) {
    std::vector<fs::path> blocks;  // partitions first: a claimed one claims its disk as well
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(disk, error)) {
      if (fs::exists(entry.path() / "partition", error)) blocks.push_back(entry.path());
    }
    std::ranges::sort(blocks);
    blocks.push_back(disk);
    for (const fs::path& block : blocks) {
      const std::string name = block.filename().string();
      if (IsClaimed(devices / name, claim)) {
        return fmt::format(
            "its block device {} is held exclusively (a file system, dm, md, swap, "
            "ZFS, or a program)",
            name);
      }
    }
  }
  return std::nullopt;
}

}  // namespace carryover
