// SPDX-License-Identifier: GPL-2.0-only
#include "selftests/program/options.h"

#include <CLI/CLI.hpp>

#include "fixtures/continuity/claim.h"
#include "selftests/program/target_lock.h"

namespace carryover {
namespace {

void AddOutput(CLI::App& verb, Options& options) {
  verb.add_flag("--json", options.json, "Events on standard output instead of KTAP");
  verb.add_option("--events", options.events_file, "Append events to FILE as well");
}

void AddSelection(CLI::App& verb, Options& options) {
  verb.add_option("filter", options.filters, "GoogleTest filters: Suite.Test, * and ?, -excluded");
  verb.add_flag("--hidden", options.hidden, "Also tests that exist to prove the runner");
  verb.add_option("--soak", options.soak, "Tests that repeat themselves do so N times as often")
      ->check(CLI::Range(1U, 10'000U));
  verb.add_option("--chain", options.chain,
                  "Tests that go on after their first kexec do so for at least N in a row")
      ->check(CLI::Range(1U, 10'000U));
}

void AddTarget(CLI::App& verb, Options& options) {
  std::vector<std::string> claims;
  for (const auto& [claim, name] : kClaimNames) claims.emplace_back(name);
  verb.add_option(
      "--device", options.devices,
      "A PCI function that may be used: ADDRESS,VENDOR:DEVICE,DRIVER, for a disk the blocks that "
      "may be overwritten: ,scratch=FIRST+COUNT, and the card's serial number: ,serial=NUMBER");
  verb.add_option("--claim", options.claims, "A claim that this kernel makes (default: memory)")
      ->check(CLI::IsMember(claims));
  verb.add_option("--iommu-mode", options.iommu_mode, "How memory is mapped for devices")
      ->check(CLI::IsMember({"iommufd", "iommufd_compat", "type1v2", "type1"}));
  verb.add_option("--time-scale", options.time_scale, "Multiplies every deadline")
      ->check(CLI::PositiveNumber);
}

void AddOwner(CLI::App& verb, Options& options) {
  verb.add_option("--owner", options.owner, "Who has the machine meanwhile, for others to read");
  verb.add_flag("--take-over", options.take_over, "Take it from another owner");
}

}  // namespace

std::string Options::Filter() const {
  // Positive parts first: a GoogleTest filter has one '-', and all after it is left out.
  std::string positive;
  std::string negative;
  for (const std::string& filter : filters) {
    const std::size_t dash = filter.find('-');
    const std::string wanted = filter.substr(0, dash);
    if (!wanted.empty()) positive += (positive.empty() ? "" : ":") + wanted;
    if (dash != std::string::npos) {
      negative += (negative.empty() ? "" : ":") + filter.substr(dash + 1);
    }
  }
  if (positive.empty()) positive = "*";
  return negative.empty() ? positive : positive + "-" + negative;
}

ParsedOptions ParseOptions(int argc, char** argv) {
  ParsedOptions parsed;
  Options& options = parsed.options;
  CLI::App app{"Proves what carries over a kexec live update, on real PCI devices."};
  app.require_subcommand(1);

  CLI::App& list = *app.add_subcommand("list", "The tests of this program; touches nothing");
  AddOutput(list, options);
  AddSelection(list, options);

  CLI::App& probe = *app.add_subcommand("probe", "What this machine can do");
  AddOutput(probe, options);
  AddTarget(probe, options);
  probe.add_option("--memory", options.memory, "MiB that must be available (default: 1024)")
      ->check(CLI::Range(1U, 1U << 30));

  for (const auto& [name, help] :
       {std::pair{"run", "Run tests that need no kexec"},
        std::pair{"arm", "Run first halves and hold every session open until the kexec"},
        std::pair{"verify", "Run second halves, from the ledger"}}) {
    CLI::App& verb = *app.add_subcommand(name, help);
    AddOutput(verb, options);
    AddSelection(verb, options);
    AddTarget(verb, options);
    AddOwner(verb, options);
    if (std::string_view(name) == "arm") {
      verb.add_option("--nonce", options.nonce, "Goes into the ledger, to prove which run armed");
      verb.add_flag("--with-run", options.with_run, "Also run the tests that need no kexec");
    }
  }

  CLI::App& kexec = *app.add_subcommand("kexec", "Load a kernel and jump to it");
  AddOutput(kexec, options);
  AddOwner(kexec, options);
  auto* kernel = kexec.add_option("--kernel", options.kernel, "bzImage");
  kexec.add_option("--initrd", options.initrd, "Initial RAM file system");
  kexec.add_option("--append", options.append, "Kernel command line");
  kexec.add_flag("--no-load", options.no_load, "Jump to the image that is loaded, if any")
      ->excludes(kernel);
  kexec.add_option("--holder", options.holder, "Do nothing unless this process holds the sessions")
      ->check(CLI::PositiveNumber);
  kexec.add_flag(
      "--tell-shutdown", options.tell_shutdown,
      "The kernel says each device that it shuts down, by which the end of the freeze is "
      "known; a serial console costs time for that");

  CLI::App& clock = *app.add_subcommand("clock", "Answers each line of standard input with a time");
  AddOutput(clock, options);

  CLI::App& log = *app.add_subcommand("log", "What this kernel has logged");
  AddOutput(log, options);
  log.add_option("--after", options.after, "Only what comes after this record");

  CLI::App& release = *app.add_subcommand("release", "End the holder, put devices back");
  AddOutput(release, options);
  AddOwner(release, options);

  CLI::App& restore = *app.add_subcommand("restore", "Put a device back as it was found");
  AddOutput(restore, options);
  AddOwner(restore, options);
  restore.add_option("--device", options.devices, "ADDRESS,VENDOR:DEVICE")->required();
  restore.add_option("--driver", options.driver, "The driver that it had; none if it had none");
  restore.add_option("--driver-override", options.driver_override,
                     "Its driver_override; none if it was not set");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    parsed.exit_now = true;
    parsed.exit_code = app.exit(error) == 0 ? 0 : static_cast<int>(ExitCode::kUsage);
    return parsed;
  }
  options.verb = app.get_subcommands().front()->get_name();
  if (options.verb == "kexec" && options.kernel.empty() && !options.no_load) {
    std::cerr << "kexec: --kernel is required (or --no-load)\n";
    parsed.exit_now = true;
    parsed.exit_code = static_cast<int>(ExitCode::kUsage);
  }
  if (options.owner.empty()) options.owner = DefaultOwner();
  if (options.claims.empty()) options.claims.emplace_back("memory");
  return parsed;
}

}  // namespace carryover
