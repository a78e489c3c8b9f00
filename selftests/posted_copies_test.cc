// SPDX-License-Identifier: GPL-2.0-only
// The claim `stream` for devices that work off what they were given: chains of descriptors, and
// commands, that are posted before the kexec, done across it, and found complete behind it. The
// device files of these tests are their own, of devices that are slow enough (ci/streams.yaml).
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "drivers/contract/contract_driver.h"
#include "drivers/nvme/region.h"
#include "fixtures/posted_copies/posted_copies_continuity.h"

namespace carryover {
namespace {

using std::chrono::seconds;

// The listed device of each driver that is for these tests: the one before is reset by others.
constexpr unsigned kOfPosted = 1;
// The second half waits until the device is done.
constexpr seconds kLimit{90};

constexpr ContinuityTraits TraitsOf(std::string_view driver) {
  return {.claim = Claim::kStream, .driver = driver, .device = kOfPosted, .time_limit = kLimit};
}

class IoatChain : public PostedCopiesContinuity {
 public:
  static constexpr ContinuityTraits kTraits = TraitsOf("ioat");

 protected:
  // A ring has 4096 descriptors.
  IoatChain()
      : PostedCopiesContinuity(
            "ioat", kOfPosted,
            {.slots = {.count = 4064, .bytes = 256}, .group = 32, .begun = 64, .again = 128}) {}
};

CONTINUITY_TEST(IoatChain, IsDoneAcrossTheKexec, PostedCopiesRecord,
                "A channel works through its chain of descriptors across the kexec: the driver "
                "finds in memory how far it is, and waits for the rest")
ARM(IoatChain, IsDoneAcrossTheKexec) { ArmCopies(record); }
VERIFY(IoatChain, IsDoneAcrossTheKexec) { VerifyCopies(record); }

class DsaBatches : public PostedCopiesContinuity {
 public:
  static constexpr ContinuityTraits kTraits = TraitsOf("dsa");

 protected:
  // 32 entries of the work queue, each a batch of 64 descriptors.
  DsaBatches()
      : PostedCopiesContinuity(
            "dsa", kOfPosted,
            {.slots = {.count = 2048, .bytes = 512}, .group = 64, .begun = 64, .again = 128}) {}
};

CONTINUITY_TEST(DsaBatches, AreDoneAcrossTheKexec, PostedCopiesRecord,
                "A work queue full of batches is done across the kexec: the driver finds their "
                "completion records, and waits for the rest")
ARM(DsaBatches, AreDoneAcrossTheKexec) { ArmCopies(record); }
VERIFY(DsaBatches, AreDoneAcrossTheKexec) { VerifyCopies(record); }

class NvmeCommands : public PostedCopiesContinuity {
 public:
  static constexpr ContinuityTraits kTraits = TraitsOf("nvme");

 protected:
  // A copy is a write, and a read when that is complete. The disk takes the first half of the
  // writes at once: as the driver is saved, reads of that half and writes of the other are posted.
  NvmeCommands()
      : PostedCopiesContinuity(
            "nvme", kOfPosted,
            {.slots = {.count = 256, .bytes = 4096}, .group = 256, .begun = 136, .again = 16}) {}

  // Completions that the controller has posted, of commands that it was given. They go once around
  // their queues: in that of completions the entries of the first round have the phase 1, and what
  // is not used yet is zeros.
  [[nodiscard]] Progress ProgressOf(std::span<const std::byte> region,
                                    std::span<const std::byte> /*destination*/,
                                    PatternKey /*key*/) const override {
    const auto* const rings = reinterpret_cast<const nvme::RegionLayout*>(
        region.subspan(ContractDriver::kStateSize).data());
    return {.done = [rings] -> std::uint64_t {
              return static_cast<std::uint64_t>(std::ranges::count_if(
                  rings->copy_cq, [](const nvme::Completion& one) { return one.phase(); }));
            },
            .all = static_cast<std::uint64_t>(std::ranges::count_if(
                rings->copy_sq, [](const nvme::Command& one) { return one.opcode != 0; }))};
  }
};

CONTINUITY_TEST(NvmeCommands, CompleteAcrossTheKexec, PostedCopiesRecord,
                "Reads and writes that are posted before the kexec complete across it: the driver "
                "finds the completions that no kernel saw come, each of a command that it knows "
                "and once, and posts what follows from them")
ARM(NvmeCommands, CompleteAcrossTheKexec) { ArmCopies(record); }
VERIFY(NvmeCommands, CompleteAcrossTheKexec) { VerifyCopies(record); }

}  // namespace
}  // namespace carryover
