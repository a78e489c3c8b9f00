// SPDX-License-Identifier: GPL-2.0-only
// The models that carryover-model can show.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "drivers/vfio_user/server.h"

namespace carryover::vfio_user {

struct NamedModel {
  std::string_view name;  // of its driver; "idle" has none, "rogue" is a dmac
  std::unique_ptr<DeviceModel> (*make)(ModelHost&);
  DmaWay way = DmaWay::kAsked;
};

[[nodiscard]] std::span<const NamedModel> Models();

// Null if there is none of this name.
[[nodiscard]] const NamedModel* FindModel(std::string_view name);

// "dmac, dsa", for messages.
[[nodiscard]] std::string ModelNames();

}  // namespace carryover::vfio_user
