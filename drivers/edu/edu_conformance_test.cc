// SPDX-License-Identifier: GPL-2.0-only
// The driver conformance suite on a model of edu.
#include "drivers/conformance/driver_conformance.h"
#include "drivers/conformance/model_device.h"
#include "drivers/edu/edu.h"
#include "drivers/edu/model/edu_model.h"

namespace carryover {
namespace {

// As edu::Entry(), but of little patience: the model's transfers need no time.
const DriverEntry kImpatientEdu{.name = edu::Entry().name,
                                .probe = edu::Entry().probe,
                                .make = [](PciDevice& device, const DriverOptions&) {
                                  return edu::MakeDriver(device, std::chrono::milliseconds(0));
                                }};

INSTANTIATE_TEST_SUITE_P(Edu, DriverConformance,
                         testing::Values(ConformanceCase{
                             .name = "Model",
                             .entry = &kImpatientEdu,
                             .make_device =
                                 [] { return std::make_unique<ModelDevice<edu::EduModel>>(); },
                             .notices_refused_reads = false,
                             .notices_refused_writes = false,
                             .reports_errors = false,
                             .uses_its_region = false,
                             .doorbells_a_batch = 0}),
                         CaseName);

}  // namespace
}  // namespace carryover
