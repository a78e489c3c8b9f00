// SPDX-License-Identifier: GPL-2.0-only
// The driver conformance suite on models of virtio block devices.
#include "drivers/conformance/driver_conformance.h"
#include "drivers/conformance/model_device.h"
#include "drivers/virtio/model/virtio_model.h"
#include "drivers/virtio/virtio.h"

namespace carryover {
namespace {

using virtio::VirtioFlavour;
using virtio::VirtioModel;

ConformanceCase Case(std::string name, VirtioFlavour flavour) {
  return {.name = std::move(name),
          .entry = &virtio::Entry(),
          .make_device = [flavour] { return std::make_unique<ModelDevice<VirtioModel>>(flavour); },
          .doorbells_a_batch = 2,
          .options = {.scratch = BlockRange{.first = 1000, .count = 8192}}};
}

INSTANTIATE_TEST_SUITE_P(Virtio, DriverConformance,
                         testing::Values(Case("Disk", {}),
                                         Case("DiskOfLargeBlocks", {.block_size = 4096}),
                                         Case("SmallSegmentsAndOneDoorbell",
                                              {.size_max = 16384, .notify_multiplier = 0})),
                         CaseName);

}  // namespace
}  // namespace carryover
