// SPDX-License-Identifier: GPL-2.0-only
// The driver conformance suite on models of QuickData channels.
#include "drivers/conformance/driver_conformance.h"
#include "drivers/conformance/model_device.h"
#include "drivers/ioat/ioat.h"
#include "drivers/ioat/model/ioat_model.h"

namespace carryover {
namespace {

using ioat::IoatFlavour;
using ioat::IoatModel;

ConformanceCase Case(std::string name, IoatFlavour flavour) {
  return {.name = std::move(name),
          .entry = &ioat::Entry(),
          .make_device = [flavour] { return std::make_unique<ModelDevice<IoatModel>>(flavour); },
          .interrupts_overtake_copies = false};
}

INSTANTIATE_TEST_SUITE_P(Ioat, DriverConformance,
                         testing::Values(Case("Version33", {}),
                                         Case("Version32OfSmallDescriptors",
                                              {.version = 0x32, .capacity_log = 12})),
                         CaseName);

}  // namespace
}  // namespace carryover
