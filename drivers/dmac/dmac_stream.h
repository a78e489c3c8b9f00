// SPDX-License-Identifier: GPL-2.0-only
// dmac's stream (docs/dmac.md). It is independent of the ring of copies, and of the driver of that,
// but for a reset, which ends both.
#pragma once

#include <memory>

#include "drivers/access/pci_device.h"
#include "drivers/stream.h"

namespace carryover::dmac {

// The clock of its entries is the monotonic one of the host that runs the model. `device` outlives
// the stream.
[[nodiscard]] std::unique_ptr<Stream> MakeStream(PciDevice& device);

}  // namespace carryover::dmac
