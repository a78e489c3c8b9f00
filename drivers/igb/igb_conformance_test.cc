// SPDX-License-Identifier: GPL-2.0-only
// The driver conformance suite on igb: on a model of the 82576, of its second port, and of QEMU's
// igb.
#include "drivers/conformance/driver_conformance.h"
#include "drivers/igb/fake/fake_igb.h"
#include "drivers/igb/igb.h"

namespace carryover {
namespace {

using igb::FakeIgb;

// As igb::Entry(), but a link that needs no time: half a second a Start() is long for a fake.
const DriverEntry kQuickIgb{.name = igb::Entry().name,
                            .probe = igb::Entry().probe,
                            .make = [](PciDevice& device, const DriverOptions&) {
                              return igb::MakeDriver(device,
                                                     {.before_mac = std::chrono::milliseconds(0),
                                                      .after_mac = std::chrono::milliseconds(0)});
                            }};

INSTANTIATE_TEST_SUITE_P(
    Igb, DriverConformance,
    testing::Values(
        ConformanceCase{
            .name = "Hardware",
            .entry = &kQuickIgb,
            .make_device = [] { return std::make_unique<FakeIgb>(FakeIgb::Flavour::kHardware); }},
        ConformanceCase{
            .name = "SecondPort",
            .entry = &kQuickIgb,
            .make_device =
                [] { return std::make_unique<FakeIgb>(FakeIgb::Flavour::kHardware, 1); }},
        ConformanceCase{
            .name = "Qemu",
            .entry = &igb::Entry(),
            .make_device = [] { return std::make_unique<FakeIgb>(FakeIgb::Flavour::kQemu); },
            .notices_refused_writes = false}),
    CaseName);

}  // namespace
}  // namespace carryover
