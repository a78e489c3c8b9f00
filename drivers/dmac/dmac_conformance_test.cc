// SPDX-License-Identifier: GPL-2.0-only
// The driver conformance suite on the model of dmac.
#include "drivers/conformance/driver_conformance.h"
#include "drivers/conformance/model_device.h"
#include "drivers/dmac/dmac.h"
#include "drivers/dmac/model/dmac_model.h"

namespace carryover {
namespace {

INSTANTIATE_TEST_SUITE_P(Dmac, DriverConformance,
                         testing::Values(ConformanceCase{
                             .name = "Model",
                             .entry = &dmac::Entry(),
                             .make_device =
                                 [] { return std::make_unique<ModelDevice<dmac::DmacModel>>(); }}),
                         CaseName);

}  // namespace
}  // namespace carryover
