// SPDX-License-Identifier: GPL-2.0-only
// The driver conformance suite on the model of the 82574, as the data sheet and as QEMU has it.
#include "drivers/conformance/driver_conformance.h"
#include "drivers/conformance/model_device.h"
#include "drivers/e1000e/e1000e.h"
#include "drivers/e1000e/model/e1000e_model.h"

namespace carryover {
namespace {

using e1000e::E1000eModel;

// As e1000e::Entry(), but a PHY that needs no time: a quarter of a second a Start() is long here.
const DriverEntry kQuick{.name = e1000e::Entry().name,
                         .probe = e1000e::Entry().probe,
                         .make = [](PciDevice& device, const DriverOptions&) {
                           return e1000e::MakeDriver(device,
                                                     {.configuration = std::chrono::milliseconds(0),
                                                      .loopback = std::chrono::milliseconds(0)});
                         }};

INSTANTIATE_TEST_SUITE_P(
    E1000e, DriverConformance,
    testing::Values(
        ConformanceCase{.name = "Hardware",
                        .entry = &kQuick,
                        .make_device = [] { return std::make_unique<ModelDevice<E1000eModel>>(); }},
        ConformanceCase{.name = "Qemu",
                        .entry = &kQuick,
                        .make_device =
                            [] {
                              return std::make_unique<ModelDevice<E1000eModel>>(
                                  E1000eModel::Flavour::kQemu);
                            },
                        .notices_refused_writes = false}),
    CaseName);

}  // namespace
}  // namespace carryover
