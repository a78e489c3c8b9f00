// SPDX-License-Identifier: GPL-2.0-only
#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>

#include "drivers/access/machine_use.h"

namespace carryover {
namespace {

namespace fs = std::filesystem;

// tty0, tty1, ...: the kernel's own terminal on a screen. ttyS0 is a serial port.
bool IsVirtualTerminal(std::string_view name) {
  constexpr std::string_view kPrefix = "tty";
  if (!name.starts_with(kPrefix) || name.size() == kPrefix.size()) return false;
  return std::ranges::all_of(name.substr(kPrefix.size()),
                             [](char c) { return '0' <= c && c <= '9'; });
}

void Add(const fs::path& link, const std::string& why, std::vector<ConsoleUse>& used) {
  std::error_code error;
  const fs::path path = fs::canonical(link, error);
  if (!error) used.push_back({path, why});
}

void AddAllOf(const fs::path& folder, std::string_view prefix, const std::string& what,
              std::vector<ConsoleUse>& used) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(prefix)) Add(entry.path(), fmt::format("its {} {}", name, what), used);
  }
}

// A frame buffer of the firmware's (efifb) is a platform device: its card is known by boot_vga.
void AddScreens(const Sysfs& sysfs, const std::string& console, std::vector<ConsoleUse>& used) {
  const std::string what = fmt::format("may show {}, a console of the kernel", console);
  AddAllOf(sysfs.root() / "class/graphics", "fb", what, used);
  for (const PciAddress& function : sysfs.Functions()) {
    const fs::path boot_vga = sysfs.FunctionPath(function) / "boot_vga";
    if (Sysfs::Read(boot_vga).value_or("0") == "1") Add(boot_vga, "its screen " + what, used);
  }
}

}  // namespace

Result<std::vector<ConsoleUse>> ConsolesInUse(const Sysfs& sysfs, const fs::path& proc) {
  std::ifstream consoles(proc / "consoles");
  if (!consoles) return FailErrno("open " + (proc / "consoles").string());
  std::vector<ConsoleUse> used;
  for (std::string line; std::getline(consoles, line);) {
    std::string name;
    std::istringstream(line) >> name;
    if (IsVirtualTerminal(name)) {
      AddScreens(sysfs, name, used);
    } else if (name.starts_with("hvc")) {
      // sysfs does not tell which of its ports a virtio console is.
      AddAllOf(sysfs.root() / "class/virtio-ports", "vport",
               fmt::format("may be {}, a console of the kernel", name), used);
    } else if (!name.empty()) {
      Add(sysfs.root() / "class/tty" / name, fmt::format("its {} is a console of the kernel", name),
          used);
    }
  }
  return used;
}

}  // namespace carryover
