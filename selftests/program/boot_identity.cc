// SPDX-License-Identifier: GPL-2.0-only
#include "selftests/program/boot_identity.h"

#include <sys/utsname.h>

#include <fstream>

#include "fixtures/kernel_log/kernel_log.h"

namespace carryover {
namespace {

std::string FirstLine(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

}  // namespace

BootIdentity ReadBootIdentity() {
  BootIdentity identity;
  utsname names{};
  if (uname(&names) == 0) identity.kernel = names.release;
  identity.boot_id = FirstLine("/proc/sys/kernel/random/boot_id");
  identity.command_line = FirstLine("/proc/cmdline");
  std::ifstream tainted("/proc/sys/kernel/tainted");
  if (std::uint64_t flags = 0; tainted >> flags) identity.tainted = flags;
  auto log = KernelLog::Open(KernelLog::From::kBoot);
  if (!log) return identity;
  const auto messages = log->ReadAll();
  if (!messages) return identity;
  const HandoverMessages handover = FindHandoverMessages(*messages);
  // A cold boot says nothing; sequence 0 tells that the log still begins with the boot.
  const bool whole = !messages->empty() && messages->front().sequence == 0;
  if (handover.kho_count) {
    identity.kho_count = handover.kho_count;
  } else if (whole) {
    identity.kho_count = 0;
  }
  identity.luo_number = handover.luo_number;
  return identity;
}

}  // namespace carryover
