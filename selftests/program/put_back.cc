// SPDX-License-Identifier: GPL-2.0-only
#include "selftests/program/put_back.h"

#include <fmt/format.h>

#include <cerrno>

namespace carryover {

Result<BindingRecord> PutBack(
    const Sysfs& sysfs, const BindingRecord& wanted,
    const std::function<std::optional<std::string>(const PciAddress&)>& why_in_use) {
  auto found = RecordBinding(sysfs, wanted.address, wanted.id);
  if (!found) return found;
  if (found->driver && found->driver != wanted.driver && *found->driver != kVfioPci) {
    if (const auto reason = why_in_use(wanted.address)) {
      return Fail(EBUSY, fmt::format("{} is bound to {} by now and is not touched: {}",
                                     wanted.address.ToString(), *found->driver, *reason));
    }
  }
  if (auto restored = RestoreBinding(sysfs, wanted); !restored) {
    return std::unexpected(restored.error());
  }
  return found;
}

}  // namespace carryover
