// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/dmac/identity.h"

#include <fmt/format.h>

#include "drivers/dmac/registers.h"

namespace carryover::dmac {

Result<void> CheckIdentity(Mmio& bar, std::string_view during) {
  const std::uint32_t id = bar.Read32(Id::kOffset);
  if (id == Id::kDmac) return {};
  if (id == ~0U) {
    return Fail(ENODEV, fmt::format("dmac: {}: ID reads as all ones: the device is gone", during));
  }
  return Fail(EIO, fmt::format("dmac: {}: ID is {:#010x}, not {:#010x}", during, id, Id::kDmac));
}

}  // namespace carryover::dmac
