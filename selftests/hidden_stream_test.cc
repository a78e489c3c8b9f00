// SPDX-License-Identifier: GPL-2.0-only
// A stream on a kernel that does not carry it, whatever is claimed: that the suite says so, and
// where it was lost. Selected only with --hidden.
#include <gtest/gtest.h>

#include "drivers/access/result_matchers.h"
#include "fixtures/dma/dma_continuity.h"
#include "fixtures/stream/stream_loss.h"
#include "fixtures/stream/stream_ring.h"

namespace carryover {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr std::size_t kRing = std::size_t{4} * 1024 * 1024;
constexpr milliseconds kPeriod{1};

class HiddenStream : public DmaContinuity {
 public:
  static constexpr ContinuityTraits kTraits{.claim = Claim::kStream, .driver = "dmac"};

 protected:
  HiddenStream() : DmaContinuity("dmac") {}

  // Has written some entries on return, into blank memory.
  [[nodiscard]] Result<std::unique_ptr<Stream>> Begin(const GuardedMemory& ring, Iova iova) {
    BlankRing(ring.payload());
    auto stream = dma().device().MakeStream();
    if (!stream) return stream;
    if (auto begun = (*stream)->Start({ring.payload(), iova + GuardedMemory::kGuard}, kPeriod);
        !begun) {
      return std::unexpected(begun.error());
    }
    const Deadline deadline = DrivenDevice::Patience();
    while (!(*stream)->ReadSlot(ring.payload().first((*stream)->slot_size()))) {
      if (deadline.Passed()) return Fail(ETIMEDOUT, "the stream does not begin");
    }
    return stream;
  }
};

CONTINUITY_TEST(HiddenStream, IsNotPreserved, GuardedRecord,
                "The ring is preserved, and the device is not: its stream ends with the outgoing "
                "kernel, and another begins when its file is opened anew")
ARM(HiddenStream, IsNotPreserved) {
  ASSERT_OK_AND_ASSIGN(const GuardedMemory ring, MakeGuarded(kRing));
  ASSERT_OK_AND_ASSIGN(const Iova iova, dma().Map(ring.memory()));
  ASSERT_NO_FATAL_FAILURE(PreserveGuarded(ring, iova, record));
  ASSERT_OK(Begin(ring, iova));
  Keep(dma().TakeMappings());
}
VERIFY(HiddenStream, IsNotPreserved) {
  ASSERT_OK_AND_ASSIGN(const GuardedMemory ring, RetrieveGuarded(record));
  ASSERT_OK_AND_ASSIGN(const GuardedMemory anew, MakeGuarded(kRing));
  ASSERT_OK_AND_ASSIGN(const Iova iova, dma().Map(anew.memory()));
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Stream> stream, Begin(anew, iova));
  const auto first = stream->ReadSlot(ring.payload().first(stream->slot_size()));
  const auto now = stream->ReadSlot(anew.payload().first(stream->slot_size()));
  ASSERT_TRUE(first && now);
  // What would be there if the device had gone on until now.
  const auto end = static_cast<std::uint64_t>((now->time - first->time) / kPeriod);
  ASSERT_OK_AND_ASSIGN(const StreamReport report,
                       CheckStreamRing(*stream, ring.payload(), {.first = 0, .end = end}));
  NoteLoss(report);
  RecordProperty("stream_silent_to_ns", std::to_string(now->time.count()));
  EXPECT_TRUE(report.ok()) << report.ToString();
  EXPECT_OK(stream->Stop(DrivenDevice::Patience()));
}

}  // namespace
}  // namespace carryover
