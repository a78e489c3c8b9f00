// SPDX-License-Identifier: GPL-2.0-only
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "drivers/access/unique_fd.h"
#include "fixtures/kernel_log/kernel_log.h"
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

// From now on the kernel says which device it shuts down (device_shutdown() in
// drivers/base/core.c): nothing else that it says tells where the freeze ends. Without it, that is
// not known.
void SayWhenDevicesShutDown(bool say) {
  const UniqueFd fd(open("/sys/module/kernel/parameters/initcall_debug", O_WRONLY | O_CLOEXEC));
  if (fd.valid()) (void)!write(fd.get(), say ? "Y" : "N", 1);
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
    events.Write("step", {{"what", "load"}});
    std::string append = options.append;
    // Only what a holder has is handed over, and has to be kept for its owner.
    if (FindHolder()) append += (append.empty() ? "" : " ") + OwnerWord(options.owner);
    if (auto loaded = LoadKexecImage(options.kernel, options.initrd, append); !loaded) {
      return Refused(events, loaded.error());
    }
    events.Write("loaded",
                 {{"kernel", options.kernel}, {"initrd", options.initrd}, {"append", append}});
    // This event and the next one can be lost with the kernel that is to send them; the console's
    // lines are stamped.
    (void)WriteKernelLog("<5>carryover: loaded");
  }
  sync();
  if (options.tell_shutdown) SayWhenDevicesShutDown(true);
  events.Write("jump", {});
  (void)WriteKernelLog("<5>carryover: jump");
  const Error refused = JumpToKexecImage();
  if (options.tell_shutdown) SayWhenDevicesShutDown(false);
  return Refused(events, refused);
}

}  // namespace carryover
