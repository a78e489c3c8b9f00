// SPDX-License-Identifier: GPL-2.0-only
// carryover-selftests: one static program, so that the same file runs in an initramfs and on any
// distribution.
#include <gtest/gtest.h>
#include <signal.h>

#include <array>
#include <iostream>
#include <nlohmann/json.hpp>

#include "drivers/access/deadline.h"
#include "fixtures/continuity/continuity_test.h"
#include "fixtures/devices/devices.h"
#include "fixtures/soak/soak.h"
#include "selftests/program/boot_identity.h"
#include "selftests/program/take_machine.h"
#include "selftests/program/verbs.h"

namespace carryover {
namespace {

using Verb = ExitCode (*)(const Options&, EventWriter&);

struct NamedVerb {
  std::string_view name;
  Verb verb;
  bool takes_machine;  // it changes something there: one run at a time
};

constexpr std::array<NamedVerb, 10> kVerbs{{
    {"list", List, false},
    {"probe", Probe, false},
    {"run", Run, true},
    {"arm", Arm, true},
    {"verify", Verify, true},
    {"kexec", Kexec, true},
    {"clock", Clock, false},
    {"log", Log, false},
    {"release", Release, true},
    {"restore", Restore, true},
}};

ExitCode Do(const NamedVerb& verb, const Options& options, EventWriter& events) {
  if (verb.takes_machine) {
    if (const auto exit = TakeMachine(options, events)) return *exit;
  }
  return verb.verb(options, events);
}

void SayHello(const Options& options, EventWriter& events) {
  const BootIdentity boot = ReadBootIdentity();
  nlohmann::json hello{
      {"schema", 1},           {"verb", options.verb},    {"version", CARRYOVER_VERSION},
      {"kernel", boot.kernel}, {"boot_id", boot.boot_id}, {"cmdline", boot.command_line},
      {"kho_count", nullptr},  {"luo_number", nullptr},   {"tainted", nullptr}};
  if (boot.kho_count) hello["kho_count"] = *boot.kho_count;
  if (boot.luo_number) hello["luo_number"] = *boot.luo_number;
  if (boot.tainted) hello["tainted"] = *boot.tainted;
  events.Write("hello", std::move(hello));
}

int Main(int argc, char** argv) {
  int gtest_argc = 1;
  ::testing::InitGoogleTest(&gtest_argc, argv);
  ::testing::TestEventListeners& listeners = ::testing::UnitTest::GetInstance()->listeners();
  const std::unique_ptr<::testing::TestEventListener> unused(
      listeners.Release(listeners.default_result_printer()));

  const ParsedOptions parsed = ParseOptions(argc, argv);
  if (parsed.exit_now) return parsed.exit_code;
  const Options& options = parsed.options;

  auto events = EventWriter::Open(options.json, options.events_file);
  if (!events) {
    std::cerr << "carryover-selftests: " << events.error().ToString() << '\n';
    return static_cast<int>(ExitCode::kUsage);
  }
  (void)signal(SIGPIPE, SIG_IGN);
  Deadline::SetScale(options.time_scale);
  Soak::SetFactor(options.soak);
  LengthenChains(options.chain);
  Devices::Get().set_observer([&events](std::string_view event, const nlohmann::json& fields) {
    (*events)->Write(event, fields);
  });

  SayHello(options, **events);
  ExitCode code = ExitCode::kUsage;
  for (const NamedVerb& verb : kVerbs) {
    if (verb.name == options.verb) code = Do(verb, options, **events);
  }
  (*events)->Write("end", {{"exit_code", static_cast<int>(code)}});
  return static_cast<int>(code);
}

}  // namespace

ExitCode SayError(EventWriter& events, std::string_view kind, std::string_view message,
                  ExitCode code) {
  events.Write("error", {{"kind", kind}, {"message", message}});
  return code;
}

}  // namespace carryover

// NOLINTNEXTLINE(bugprone-exception-escape): an exception that nobody expects ends the program.
int main(int argc, char** argv) { return carryover::Main(argc, argv); }
