// SPDX-License-Identifier: GPL-2.0-only
// The driver conformance suite on models of NVMe controllers.
#include "drivers/conformance/driver_conformance.h"
#include "drivers/conformance/model_device.h"
#include "drivers/nvme/model/nvme_model.h"
#include "drivers/nvme/nvme.h"

namespace carryover {
namespace {

using nvme::NvmeFlavour;
using nvme::NvmeModel;

constexpr BlockRange kScratch{.first = 1000, .count = 8192};

ConformanceCase Case(std::string name, NvmeFlavour flavour) {
  flavour.scratch = kScratch;
  return {.name = std::move(name),
          .entry = &nvme::Entry(),
          .make_device = [flavour] { return std::make_unique<ModelDevice<NvmeModel>>(flavour); },
          .doorbells_a_batch = 2,
          .administration_interrupts = true,
          .options = {.scratch = kScratch}};
}

INSTANTIATE_TEST_SUITE_P(
    Nvme, DriverConformance,
    testing::Values(Case("Sgl", {}),
                    Case("SglInBlocksOf4KiBWithAStride", {.block_shift = 12, .doorbell_stride = 2}),
                    Case("SglOfSmallCommandsInSmallQueues", {.max_entries = 100, .mdts = 1}),
                    // As hardware may: a command is done when it is done, and enabling takes time.
                    Case("SglInAnyOrderAndSlowlyReady", {.polls = 3, .reorders = true}),
                    Case("PrpInBlocksOf512Bytes", {.sgl = false, .reorders = true}),
                    Case("PrpInBlocksOf4KiB", {.sgl = false, .block_shift = 12}),
                    Case("PrpInPairsOfPages", {.sgl = false, .mdts = 1})),
    CaseName);

}  // namespace
}  // namespace carryover
