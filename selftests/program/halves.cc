// SPDX-License-Identifier: GPL-2.0-only
#include "selftests/program/halves.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "fixtures/continuity/continuity_test.h"
#include "fixtures/device_need/device_need.h"
#include "fixtures/devices/devices.h"
#include "fixtures/soak/soak.h"
#include "selftests/program/selection.h"
#include "selftests/program/verbs.h"

namespace carryover {
namespace {

// Longest that these halves may take together. A runner that watches each half by itself is sooner:
// it can say which one hangs.
Deadline DeadlineOf(const std::vector<std::string>& names) {
  std::chrono::milliseconds sum{0};
  for (const std::string& name : names) {
    const ContinuityInfo* info = FindContinuityTest(name);
    sum += Soak::Scaled(info != nullptr ? info->traits.time_limit : kRunTimeLimit);
  }
  constexpr std::chrono::seconds kGrace{30};
  return Deadline::After(sum + kGrace);
}

DeviceNeed NeedOf(const std::string& test) {
  const ContinuityInfo* info = FindContinuityTest(test);
  if (info == nullptr) return NeededDevices(test);
  const ContinuityTraits& traits = info->traits;
  return {.driver = traits.driver, .count = traits.device + traits.devices, .first = traits.device};
}

std::string_view DriverOf(const std::string& test) { return NeedOf(test).driver; }

// The first device of each driver, if a test uses it: most do.
void OpenNeededDevices(const std::vector<std::string>& names) {
  std::set<std::string_view> drivers;
  for (const ListedDevice& device : Devices::Get().listed()) {
    const bool needed = std::ranges::any_of(names, [&](const std::string& name) {
      const DeviceNeed need = NeedOf(name);
      return need.driver == device.driver && need.first == 0;
    });
    if (needed && drivers.insert(device.driver).second) Devices::Get().OpenAhead(device.driver);
  }
}

}  // namespace

std::optional<Claim> ClaimOf(const std::string& test) {
  const ContinuityInfo* info = FindContinuityTest(test);
  return info != nullptr ? info->traits.claim : NeededClaim(test);
}

bool IsClaimed(const Options& options, Claim claim) {
  return std::ranges::find(options.claims, ClaimName(claim)) != options.claims.end();
}

Selection Select(const Options& options, TestKind kind) {
  Selection selection;
  for (const TestCase& test : AllTests(options.hidden)) {
    const ContinuityInfo* info = FindContinuityTest(test.name);
    if ((info != nullptr) != (kind == TestKind::kContinuity)) continue;
    if (!MatchesFilter(test.name, options.Filter())) continue;
    const auto claim = ClaimOf(test.name);
    if (!claim || IsClaimed(options, *claim)) {
      selection.names.push_back(test.name);
    } else {
      selection.skipped.push_back(
          {test.name, fmt::format("this kernel does not claim `{}`", ClaimName(*claim))});
    }
  }
  return selection;
}

std::optional<ExitCode> PrepareDevices(const Options& options,
                                       const std::vector<std::string>& names, EventWriter& events) {
  Devices& devices = Devices::Get();
  devices.set_mode(IommuModeOf(options.iommu_mode).value_or(IommuMode::kIommufd));
  for (const std::string& text : options.devices) {
    if (auto listed = devices.List(text); !listed) {
      const bool usage = listed.error().code == EINVAL;
      return SayError(events, "device", listed.error().ToString(),
                      usage ? ExitCode::kUsage : ExitCode::kCannot);
    }
  }
  for (const std::string& name : names) {
    const std::string_view driver = DriverOf(name);
    if (driver.empty() || devices.CountListed(driver) > 0) continue;
    return SayError(events, "device",
                    fmt::format("{} needs a device of driver {}, and none is listed; give --device "
                                "ADDRESS,VENDOR:DEVICE,{} or leave these tests out",
                                name, driver, driver),
                    ExitCode::kUsage);
  }
  return std::nullopt;
}

void SkipWithoutDevices(Selection& selection) {
  const auto lacks = [](const std::string& name) {
    const DeviceNeed need = NeedOf(name);
    return !need.driver.empty() && Devices::Get().CountListed(need.driver) < need.count;
  };
  for (const std::string& name : selection.names) {
    if (!lacks(name)) continue;
    const DeviceNeed need = NeedOf(name);
    selection.skipped.push_back(
        {name, fmt::format("needs {} devices of driver {}, and {} is listed", need.count,
                           need.driver, Devices::Get().CountListed(need.driver))});
  }
  std::erase_if(selection.names, lacks);
}

std::optional<ExitCode> RequireLiveUpdate(EventWriter& events) {
  if (access(kLiveUpdateDevice, F_OK) == 0) return std::nullopt;
  return SayError(events, "feature",
                  fmt::format("{} is not there: this kernel has no live update. Build it with "
                              "CONFIG_LIVEUPDATE=y and CONFIG_KEXEC_HANDOVER=y and boot it with "
                              "kho=on liveupdate=on",
                              kLiveUpdateDevice),
                  ExitCode::kCannot);
}

bool RunSelected(const std::vector<std::string>& names, EventWriter& events) {
  if (names.empty()) return true;
  SelectTests(names);
  OpenNeededDevices(names);
  auto listener = std::make_unique<TestEvents>(events);
  TestEvents& report = *listener;
  ::testing::TestEventListeners& listeners = ::testing::UnitTest::GetInstance()->listeners();
  listeners.Append(listener.release());  // GoogleTest takes ownership
  Continuity::Get().set_observer(&report);
  Devices::Get().set_use_observer([&report](const PciAddress& used) { report.OnUse(used); });
  const int failed = RUN_ALL_TESTS();
  Continuity::Get().set_observer(nullptr);
  Devices::Get().set_use_observer({});
  return failed == 0 && report.AllGood();
}

void ReportSkipped(const std::vector<Selection::Skipped>& skipped, EventWriter& events) {
  for (const auto& [name, reason] : skipped) {
    events.Write("finish", {{"name", name},
                            {"half", FindContinuityTest(name) != nullptr ? "arm" : "run"},
                            {"generation", 0},
                            {"result", "SKIP"},
                            {"reason", reason},
                            {"duration_us", 0}});
  }
}

bool HoldWhatIsArmed(EventWriter& events) {
  Continuity& continuity = Continuity::Get();
  const Ledger& ledger = continuity.next();
  if (ledger.entries.empty()) return false;
  if (auto preserved = PreserveLedger(ledger); !preserved) {
    (void)SayError(events, "ledger", preserved.error().ToString(), ExitCode::kCannot);
    return false;
  }
  std::vector<std::string> armed;
  for (const LedgerEntry& entry : ledger.entries) armed.push_back(entry.test);
  events.Write("holding", {{"pid", getpid()},
                           {"armed", armed},
                           {"sessions", continuity.sessions_kept()},
                           {"generation", ledger.generation},
                           {"remaining", ledger.RemainingAfter(ledger.generation)}});
  return true;
}

ExitCode RunHolding(EventWriter& events, const std::vector<std::string>& names,
                    const std::function<HolderOutcome()>& work) {
  const auto let_go = [] {
    Continuity::Get().ReleaseKept();
    (void)Devices::Get().RestoreAll();
  };
  auto code = RunInHolder(work, let_go, DeadlineOf(names));
  if (!code) return SayError(events, "holder", code.error().ToString(), ExitCode::kCannot);
  return *code;
}

}  // namespace carryover
