// SPDX-License-Identifier: GPL-2.0-only
// A stream that the harness gives too little room, so that its verdict is proved on a real kernel.
// Selected only with --hidden.
#include <gtest/gtest.h>

#include "fixtures/dma/on_device.h"
#include "fixtures/stream/stream_continuity.h"

namespace carryover {
namespace {

// Whose file no other test hands over.
constexpr ContinuityTraits kDmac{.claim = Claim::kStream, .driver = "dmac", .device = 1};
constexpr ContinuityTraits kFedNic{.claim = Claim::kStream, .driver = "igb", .device = 1};

class HiddenRing : public OnDevice<StreamContinuity, kDmac> {};

CONTINUITY_TEST(HiddenRing, HasTooSmallARing, StreamCarried,
                "A ring that has gone around by the time that it is looked at")
ARM(HiddenRing, HasTooSmallARing) { ArmStream(128, std::chrono::microseconds(1000), record); }
VERIFY(HiddenRing, HasTooSmallARing) { VerifyStream(record); }

class HiddenFrames : public OnDevice<StreamContinuity, kFedNic> {};

CONTINUITY_TEST(HiddenFrames, HaveTooSmallARing, StreamCarried,
                "A receive ring that is full by the time that it is looked at")
ARM(HiddenFrames, HaveTooSmallARing) { ArmStream(8192, std::chrono::microseconds(0), record); }
VERIFY(HiddenFrames, HaveTooSmallARing) { VerifyStream(record); }

CONTINUITY_TEST(HiddenFrames, HaveNoRoomAtAll, StreamCarried,
                "A receive ring that is full of frames that were under way before it was there")
ARM(HiddenFrames, HaveNoRoomAtAll) { ArmStream(1024, std::chrono::microseconds(0), record); }
VERIFY(HiddenFrames, HaveNoRoomAtAll) { VerifyStream(record); }

}  // namespace
}  // namespace carryover
