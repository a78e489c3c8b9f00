// SPDX-License-Identifier: GPL-2.0-only
#include <fmt/format.h>
#include <unistd.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "fixtures/kexec/kexec.h"
#include "selftests/program/handover_owner.h"
#include "selftests/program/holder.h"
#include "selftests/program/verbs.h"

namespace carryover {
namespace {

ExitCode Refused(EventWriter& events, const Error& error) {
  events.Write("refused", {{"errno", error.code}, {"message", error.ToString()}});
  return ExitCode::kRefused;
}

}  // namespace

ExitCode Kexec(const Options& options, EventWriter& events) {
  if (options.holder != 0 && FindHolder().value_or(0) != options.holder) {
    return SayError(events, "holder",
                    fmt::format("process {}, which held the armed sessions, is gone: nothing would "
                                "be carried over",
                                options.holder),
                    ExitCode::kCannot);
  }
  if (!options.no_load) {
    // A file that is not there is the caller's mistake, not the kernel's refusal.
    for (const std::string& path : {options.kernel, options.initrd}) {
      if (!path.empty() && access(path.c_str(), R_OK) != 0) {
        return SayError(events, "kexec", path + ": " + strerrordesc_np(errno), ExitCode::kUsage);
      }
    }
    std::string append = options.append;
    // Only what a holder has is handed over, and has to be kept for its owner.
    if (FindHolder()) append += (append.empty() ? "" : " ") + OwnerWord(options.owner);
    if (auto loaded = LoadKexecImage(options.kernel, options.initrd, append); !loaded) {
      return Refused(events, loaded.error());
    }
    events.Write("loaded",
                 {{"kernel", options.kernel}, {"initrd", options.initrd}, {"append", append}});
  }
  events.Write("jump", {});
  sync();
  return Refused(events, JumpToKexecImage());
}

}  // namespace carryover
