// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/igb/igb_receiver.h"

#include "drivers/ethernet_receive/receiver.h"
#include "drivers/igb/mac.h"

namespace carryover::igb {
namespace {

Result<std::unique_ptr<Mac>> MakePort(PciDevice& device) {
  auto bar = device.Bar(0);
  if (!bar) return std::unexpected(bar.error());
  auto emulated = IsEmulated(device);
  if (!emulated) return std::unexpected(emulated.error());
  return std::make_unique<Mac>(**bar, *emulated, LinkSettling());
}

}  // namespace

std::unique_ptr<FrameReceiver> MakeFrameReceiver(PciDevice& device) {
  return std::make_unique<ethernet_receive::Receiver<Mac>>("igb", device, MakePort);
}

}  // namespace carryover::igb
