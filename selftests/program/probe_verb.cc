// SPDX-License-Identifier: GPL-2.0-only
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "drivers/access/device_use.h"
#include "drivers/access/machine_probe.h"
#include "drivers/access/serial_number.h"
#include "drivers/registry.h"
#include "fixtures/devices/devices.h"
#include "fixtures/kexec/kexec.h"
#include "fixtures/live_update/live_update_probe.h"
#include "selftests/program/halves.h"
#include "selftests/program/handover_owner.h"
#include "selftests/program/target_lock.h"
#include "selftests/program/verbs.h"

namespace carryover {
namespace {

// What the largest tests that are armed together hold at once, with room for the kexec image.

Feature ProbeKexecFile() {
  const bool present = HasKexecFileLoad();
  return {"kexec_file", present, present ? "kexec_file_load(2)" : "no kexec_file_load(2)",
          present ? "" : "build the kernel with CONFIG_KEXEC_FILE=y"};
}

nlohmann::json TextOrNull(std::string_view text) {
  return text.empty() ? nlohmann::json() : nlohmann::json(text);
}

void SayFeatures(const Options& options, EventWriter& events) {
  const MachineRoots roots;
  std::vector<Feature> features{
      ProbeKho(roots),       ProbeLiveUpdate(roots), ProbeKexecFile(),
      ProbeIommu(roots),     ProbeIommufd(roots),    ProbeVfioCdev(roots),
      ProbeVfioType1(roots), ProbeHugepages(roots),  ProbeMemory(roots, options.memory << 20)};
  if (IsClaimed(options, Claim::kMapping) || IsClaimed(options, Claim::kStream)) {
    if (auto stream = ProbeStream(roots)) features.push_back(std::move(*stream));
  }
  for (const Feature& feature : features) {
    events.Write("feature", {{"name", feature.name},
                             {"present", feature.present},
                             {"detail", feature.detail},
                             {"remedy", TextOrNull(feature.remedy)}});
  }
}

nlohmann::json ScratchOf(const ListedDevice& device) {
  const auto& scratch = device.options.scratch;
  if (!scratch) return {};
  return fmt::format("{}+{}", scratch->first, scratch->count);
}

void SayFunction(const Sysfs& sysfs, const PciAddress& address, const Result<MachineUse>& use,
                 EventWriter& events) {
  const auto id = sysfs.Id(address);
  if (!id) return;  // unplugged since it was seen
  const auto& all_listed = Devices::Get().listed();
  const auto listed = std::ranges::find(all_listed, address, &ListedDevice::address);
  const auto group = sysfs.IommuGroup(address);
  const auto class_code = sysfs.ClassCode(address);
  const DriverEntry* driver = DriverFor({*id, class_code.value_or(0)});
  const auto refused = use ? WhyInUse(sysfs, address, *use) : std::optional(use.error().ToString());
  std::vector<std::string> mates;
  for (const PciAddress& mate : sysfs.GroupMates(address)) mates.push_back(mate.ToString());
  events.Write(
      "device",
      {{"address", address.ToString()},
       {"id", id->ToString()},
       {"class", class_code ? nlohmann::json(*class_code) : nlohmann::json()},
       {"driver", TextOrNull(sysfs.Driver(address).value_or(""))},
       {"iommu_group", group ? nlohmann::json(*group) : nlohmann::json()},
       {"group_mates", mates},
       {"reset_methods", sysfs.ResetMethods(address)},
       {"listed", listed != all_listed.end()},
       {"serial", TextOrNull(SerialNumber(sysfs, address).value_or(""))},
       {"scratch", listed != all_listed.end() ? ScratchOf(*listed) : nlohmann::json()},
       {"refused", TextOrNull(refused.value_or(""))},
       {"harness_driver", driver != nullptr ? nlohmann::json(driver->name) : nlohmann::json()}});
}

void SayHeld(EventWriter& events) {
  const auto lock = ReadLock(kRunDirectory);
  if (lock && *lock) {
    events.Write("held",
                 {{"owner", (*lock)->owner}, {"verb", (*lock)->verb}, {"since", (*lock)->since}});
  } else if (const auto owner = OwnerOfUnverified()) {
    events.Write("held", {{"owner", *owner}, {"verb", "kexec"}, {"since", nullptr}});
  }
}

}  // namespace

ExitCode Probe(const Options& options, EventWriter& events) {
  SayFeatures(options, events);
  SayHeld(events);
  if (auto exit = PrepareDevices(options, {}, events)) return *exit;
  const Sysfs& sysfs = Devices::Get().sysfs();
  const auto use = ReadMachineUse(sysfs);
  for (const PciAddress& address : sysfs.Functions()) {
    SayFunction(sysfs, address, use, events);
  }
  return ExitCode::kOk;
}

}  // namespace carryover
