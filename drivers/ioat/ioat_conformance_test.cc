// SPDX-License-Identifier: GPL-2.0-only
// The driver conformance suite on models of two channels: as Skylake-SP's, and as little as the
// data sheet promises.
#include "drivers/conformance/driver_conformance.h"
#include "drivers/conformance/model_device.h"
#include "drivers/ioat/ioat.h"
#include "drivers/ioat/model/ioat_model.h"

namespace carryover {
namespace {

ConformanceCase CaseOf(const char* name, ioat::ChannelKind kind) {
  return {.name = name,
          .entry = &ioat::Entry(),
          .make_device = [kind] { return std::make_unique<ModelDevice<ioat::IoatModel>>(kind); },
          .interrupts_overtake_copies = false};
}

INSTANTIATE_TEST_SUITE_P(Ioat, DriverConformance,
                         testing::Values(CaseOf("Hardware", ioat::ChannelKind::Skylake()),
                                         CaseOf("Smallest", ioat::ChannelKind::Smallest())),
                         CaseName);

}  // namespace
}  // namespace carryover
