// SPDX-License-Identifier: GPL-2.0-only
#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "drivers/access/unique_fd.h"
#include "fixtures/continuity/continuity_test.h"
#include "fixtures/devices/devices.h"
#include "selftests/program/boot_identity.h"
#include "selftests/program/halves.h"
#include "selftests/program/kernel_clock.h"
#include "selftests/program/selection.h"
#include "selftests/program/verbs.h"

namespace carryover {
namespace {

// A record is carried byte for byte: a program that lays it out otherwise must not read it.
Result<void> CheckAgainstThisProgram(const Ledger& ledger) {
  for (const LedgerEntry& entry : ledger.entries) {
    const ContinuityInfo* info = FindContinuityTest(entry.test);
    if (info == nullptr) {
      return Fail(EPROTO, fmt::format("ledger: test {} is not in this program", entry.test));
    }
    if (info->record_size != entry.record.size()) {
      return Fail(EPROTO, fmt::format("ledger: the record of {} has {} bytes, this program's {}",
                                      entry.test, entry.record.size(), info->record_size));
    }
  }
  return {};
}

// Opening is what makes the kernel read what was handed over. If it has no handler for one file, it
// gives nobody anything (luo_open() in kernel/liveupdate/luo_core.c), and so for ever.
std::optional<ExitCode> RequireHandover(EventWriter& events) {
  const UniqueFd device(open(kLiveUpdateDevice, O_RDWR | O_CLOEXEC));
  if (device.valid() || errno != EIO) return std::nullopt;
  return SayError(events, "handover-refused",
                  fmt::format("open {}: {}: this kernel cannot read what was handed over",
                              kLiveUpdateDevice, strerrordesc_np(EIO)),
                  ExitCode::kCannot);
}

ExitCode VerifyFrom(Ledger ledger, const Options& options, EventWriter& events) {
  std::vector<std::string> names;
  for (const LedgerEntry& entry : ledger.entries) {
    if (MatchesFilter(entry.test, options.Filter())) names.push_back(entry.test);
  }
  if (names.empty()) {
    return SayError(events, "usage", "no armed test matches '" + options.Filter() + "'",
                    ExitCode::kUsage);
  }
  Devices::Get().ExpectAsBefore();
  if (auto exit = PrepareDevices(options, names, events)) return *exit;
  return RunHolding(events, names, [&] -> HolderOutcome {
    const BootIdentity boot = ReadBootIdentity();
    Continuity& continuity = Continuity::Get();
    const std::string nonce = ledger.nonce;
    const std::uint32_t generation = ledger.generation + 1;
    continuity.Begin(Half::kVerify, generation, std::move(ledger));
    continuity.next().boot_id = boot.boot_id;
    continuity.next().kho_count = boot.kho_count.value_or(0);
    continuity.next().nonce = nonce;
    events.Plan(names.size());
    const bool good = RunSelected(names, events);
    const bool hold = HoldWhatIsArmed(events);
    return {good ? ExitCode::kOk : ExitCode::kFailed, hold};
  });
}

}  // namespace

ExitCode Verify(const Options& options, EventWriter& events) {
  if (auto exit = RequireLiveUpdate(events)) return *exit;
  constexpr unsigned kKernelStamps = 3;  // of which one is close
  SayKernelClock(events, kKernelStamps);
  if (auto exit = RequireHandover(events)) return *exit;
  auto ledger = RetrieveLedger();
  if (!ledger) {
    const bool missing = ledger.error().code == ENOENT;
    return SayError(events, missing ? "ledger-missing" : "ledger-refused",
                    ledger.error().ToString(), ExitCode::kCannot);
  }
  events.Write("ledger", {{"generation", ledger->generation},
                          {"nonce", ledger->nonce},
                          {"boot_id", ledger->boot_id},
                          {"kho_count", ledger->kho_count},
                          {"tests", ledger->entries.size()}});
  if (auto fits = CheckAgainstThisProgram(*ledger); !fits) {
    return SayError(events, "ledger-refused", fits.error().ToString(), ExitCode::kCannot);
  }
  return VerifyFrom(std::move(*ledger), options, events);
}

}  // namespace carryover
