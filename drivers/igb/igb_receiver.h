// SPDX-License-Identifier: GPL-2.0-only
// The 82576's receive ring, filled from the cable with nobody driving it.
#pragma once

#include <memory>

#include "drivers/frame_receiver.h"

namespace carryover::igb {

[[nodiscard]] std::unique_ptr<FrameReceiver> MakeFrameReceiver(PciDevice& device);

}  // namespace carryover::igb
