// SPDX-License-Identifier: GPL-2.0-only
#include <fmt/format.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "drivers/access/device_use.h"
#include "selftests/program/holder.h"
#include "selftests/program/put_back.h"
#include "selftests/program/verbs.h"

namespace carryover {
namespace {

// "ADDRESS,VENDOR:DEVICE"
Result<BindingRecord> Wanted(const Options& options) {
  const std::string& text = options.devices.front();
  const std::size_t comma = text.find(',');
  if (options.devices.size() != 1 || comma == std::string::npos) {
    return Fail(EINVAL, fmt::format("device '{}': expected one ADDRESS,VENDOR:DEVICE, such as "
                                    "0000:01:00.0,8086:10c9",
                                    text));
  }
  const auto address = PciAddress::Parse(text.substr(0, comma));
  if (!address) return std::unexpected(address.error());
  const auto id = PciId::Parse(text.substr(comma + 1));
  if (!id) return std::unexpected(id.error());
  std::optional<std::string> driver;
  if (!options.driver.empty()) driver = options.driver;
  return BindingRecord{*address, *id, driver, options.driver_override};
}

nlohmann::json DriverOrNull(const std::optional<std::string>& driver) {
  return driver ? nlohmann::json(*driver) : nlohmann::json();
}

}  // namespace

ExitCode Restore(const Options& options, EventWriter& events) {
  const auto wanted = Wanted(options);
  if (!wanted) return SayError(events, "usage", wanted.error().ToString(), ExitCode::kUsage);
  // A holder has the device open: it lets go, and puts back what it has bound, by itself.
  const auto released = ReleaseHolder(Deadline::After(std::chrono::seconds(30)));
  if (!released && released.error().code != ENOENT) {
    return SayError(events, "holder", released.error().ToString(), ExitCode::kCannot);
  }
  const Sysfs sysfs;
  const auto found = PutBack(
      sysfs, *wanted, [&sysfs](const PciAddress& address) { return WhyInUse(sysfs, address); });
  if (!found) return SayError(events, "device", found.error().ToString(), ExitCode::kCannot);
  events.Write("restored", {{"address", wanted->address.ToString()},
                            {"to", DriverOrNull(wanted->driver)},
                            {"was", DriverOrNull(found->driver)}});
  return ExitCode::kOk;
}

}  // namespace carryover
