// SPDX-License-Identifier: GPL-2.0-only
// The driver conformance suite on models of a Data Streaming Accelerator.
#include "drivers/conformance/driver_conformance.h"
#include "drivers/conformance/model_device.h"
#include "drivers/dsa/dsa.h"
#include "drivers/dsa/model/dsa_model.h"

namespace carryover {
namespace {

using dsa::DsaFlavour;
using dsa::DsaModel;

ConformanceCase Case(std::string name, DsaFlavour flavour) {
  return {.name = std::move(name), .entry = &dsa::Entry(), .make_device = [flavour] {
            return std::make_unique<ModelDevice<DsaModel>>(flavour);
          }};
}

INSTANTIATE_TEST_SUITE_P(Dsa, DriverConformance,
                         testing::Values(Case("Vectors", {}),
                                         Case("HandlesAndSmallLimits", {.interrupt_handles = true,
                                                                        .batch_shift = 6,
                                                                        .transfer_shift = 18,
                                                                        .total_size = 48})),
                         CaseName);

}  // namespace
}  // namespace carryover
