// SPDX-License-Identifier: GPL-2.0-only
#include "selftests/program/process_start.h"

#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

namespace carryover {

Result<std::uint64_t> StartTime(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string stat;
  if (!std::getline(file, stat)) return Fail(ENOENT, fmt::format("process {}", pid));
  std::istringstream fields(stat.substr(stat.rfind(')') + 2));
  std::string field;
  fields >> field;
  if (field == "Z" || field == "X") return Fail(ENOENT, fmt::format("process {}", pid));
  for (int i = 4; i <= 22 && fields >> field; ++i) {
  }
  return std::strtoull(field.c_str(), nullptr, 10);
}

}  // namespace carryover
