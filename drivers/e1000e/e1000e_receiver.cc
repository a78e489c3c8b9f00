// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/e1000e/e1000e_receiver.h"

#include "drivers/e1000e/mac.h"
#include "drivers/ethernet_receive/receiver.h"

namespace carryover::e1000e {
namespace {

Result<std::unique_ptr<Mac>> MakePort(PciDevice& device) {
  auto bar = device.Bar(0);
  if (!bar) return std::unexpected(bar.error());
  return std::make_unique<Mac>(**bar, Settling());
}

}  // namespace

std::unique_ptr<FrameReceiver> MakeFrameReceiver(PciDevice& device) {
  return std::make_unique<ethernet_receive::Receiver<Mac>>("e1000e", device, MakePort);
}

}  // namespace carryover::e1000e
