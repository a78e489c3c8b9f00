// SPDX-License-Identifier: GPL-2.0-only
// A stream on a kernel that does not carry it, whatever is claimed: that the suite says so, and
// where it was lost. Selected only with --hidden.
#include <gtest/gtest.h>

#include "drivers/access/result_matchers.h"
#include "fixtures/dma/dma_continuity.h"
#include "fixtures/stream/expect_stream.h"
#include "fixtures/stream/stream_loss.h"
#include "fixtures/stream/stream_ring.h"

namespace carryover {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr std::size_t kSlots = std::size_t{64} * 1024;
constexpr milliseconds kPeriod{1};

class HiddenStream : public DmaContinuity {
 public:
  static constexpr ContinuityTraits kTraits{.claim = Claim::kStream, .driver = "dmac"};

 protected:
  HiddenStream() : DmaContinuity("dmac") {}

  [[nodiscard]] static DmaRegion At(const GuardedMemory& ring, Iova iova) {
    return {ring.payload(), iova + GuardedMemory::kGuard};
  }
  [[nodiscard]] Result<GuardedMemory> MakeRing() {
    auto stream = dma().device().MakeStream();
    if (!stream) return std::unexpected(stream.error());
    return MakeGuarded((*stream)->RingBytes(kSlots));
  }
  // Has written some entries on return, into blank memory.
  [[nodiscard]] Result<std::unique_ptr<Stream>> Begin(const GuardedMemory& ring, Iova iova) {
    BlankRing(ring.payload());
    auto stream = dma().device().MakeStream();
    if (!stream) return stream;
    const Deadline deadline = DrivenDevice::Patience();
    if (auto begun = (*stream)->Start(At(ring, iova), kPeriod, deadline); !begun) {
      return std::unexpected(begun.error());
    }
    // The second one is counted when the first is there.
    if (auto begun = AwaitStreamEntries(**stream, 2, deadline); !begun) {
      return std::unexpected(begun.error());
    }
    return stream;
  }
};

CONTINUITY_TEST(HiddenStream, IsNotPreserved, GuardedRecord,
                "The ring is preserved, and the device is not: its stream ends with the outgoing "
                "kernel, and another begins when its file is opened anew")
ARM(HiddenStream, IsNotPreserved) {
  ASSERT_OK_AND_ASSIGN(const GuardedMemory ring, MakeRing());
  ASSERT_OK_AND_ASSIGN(const Iova iova, dma().Map(ring.memory()));
  ASSERT_NO_FATAL_FAILURE(PreserveGuarded(ring, iova, record));
  ASSERT_OK(Begin(ring, iova));
  Keep(dma().TakeMappings());
}
VERIFY(HiddenStream, IsNotPreserved) {
  ASSERT_OK_AND_ASSIGN(const GuardedMemory ring, RetrieveGuarded(record));
  ASSERT_OK_AND_ASSIGN(const GuardedMemory anew, MakeRing());
  ASSERT_OK_AND_ASSIGN(const Iova iova, dma().Map(anew.memory()));
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Stream> stream, Begin(anew, iova));
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Stream> before, dma().device().MakeStream());
  ASSERT_OK(before->UseRing(At(ring, record.iova)));
  const auto first = before->ReadSlot(0);
  const auto now = stream->ReadSlot(0);
  ASSERT_TRUE(first && now);
  // What would be there if the device had gone on until now.
  const auto end = static_cast<std::uint64_t>((now->time - first->time) / kPeriod);
  ASSERT_OK_AND_ASSIGN(const StreamReport report,
                       CheckStreamRing(*before, {.first = 0, .end = end}));
  StreamTrace trace;
  trace.lost = FirstLoss(report);
  RecordLoss({&trace, 1});
  RecordProperty("stream_silent_to_ns", std::to_string(now->time.count()));
  EXPECT_TRUE(report.ok()) << report.ToString();
  EXPECT_OK(stream->Stop(DrivenDevice::Patience()));
}

}  // namespace
}  // namespace carryover
