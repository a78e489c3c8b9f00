// SPDX-License-Identifier: GPL-2.0-only
// The command line (docs/protocol.md).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace carryover {

// Exit codes of every verb.
enum class ExitCode : int {
  kOk = 0,
  kFailed = 1,   // a half is FAIL, LOST or INFRA
  kUsage = 2,    // the command line is wrong, or nothing is selected
  kCannot = 3,   // this machine cannot
  kRefused = 4,  // the kernel refused the kexec
};

struct Options {
  std::string verb;
  std::vector<std::string> filters;
  bool json = false;
  bool hidden = false;
  std::string events_file;
  double time_scale = 1.0;
  unsigned soak = 1;
  unsigned chain = 1;
  std::vector<std::string> devices;
  std::vector<std::string> claims;
  std::string iommu_mode = "iommufd";
  std::string nonce;
  std::string owner;  // who has the machine meanwhile; DefaultOwner() if it is not given
  bool take_over = false;
  bool with_run = false;
  std::string kernel;
  std::string initrd;
  std::string append;
  bool no_load = false;
  bool tell_shutdown = false;   // the kernel is to say on its console when devices shut down
  std::size_t memory = 1024;    // MiB that must be available, for `probe`
  std::int64_t after = -1;      // record of the kernel's log; -1: none
  int holder = 0;               // process id that `holding` told; 0: do not ask
  std::string driver;           // of `restore`: what a device was bound to; empty: nothing
  std::string driver_override;  // and its driver_override; empty: not set

  // The filters as one GoogleTest filter.
  [[nodiscard]] std::string Filter() const;
};

// Parses argv. On --help and on errors CLI11 prints, and the process is to exit with `exit_code`.
struct ParsedOptions {
  Options options;
  bool exit_now = false;
  int exit_code = 0;
};
[[nodiscard]] ParsedOptions ParseOptions(int argc, char** argv);

}  // namespace carryover
