// SPDX-License-Identifier: GPL-2.0-only
// How igb makes frames of copies and copies of frames.
#include <algorithm>
#include <cstring>

#include "drivers/igb/fake/igb_bench.h"
#include "drivers/igb/mac.h"

namespace carryover::igb {
namespace {

std::vector<std::byte> FrameTo(std::uint64_t address, std::uint16_t ether_type_be) {
  std::vector<std::byte> frame(1000, std::byte{0xee});
  std::memcpy(frame.data(), &address, 6);
  std::memcpy(frame.data() + 12, &ether_type_be, 2);
  return frame;
}

// Any number of descriptors: one write of each tail, receive first.
TEST_P(IgbOnBoth, PostsABatchByOneWriteOfEachTail) {
  Start();
  fake_.SetHung(true);
  fake_.ForgetAccesses();
  std::vector<DmaCopy> copies;
  copies.reserve(20);
  for (std::size_t i = 0; i < 20; ++i) {
    copies.push_back(InPool(i * 20000 + 100, i * 20000 + 500000, 20000));
  }
  ASSERT_OK(driver_->Copy(copies));
  EXPECT_THAT(fake_.writes(), testing::ElementsAre(Rdt::kOffset, Tdt::kOffset));
  EXPECT_THAT(fake_.reads(), testing::IsEmpty()) << "a read stops a virtual CPU";
  // 20000 bytes from offset 100: frames to the ends of the second, fourth and last page.
  EXPECT_EQ(Register(Rdt::kOffset), 20 * 3);
  EXPECT_GE(Register(Tdt::kOffset), 20 * (3 + 5));
  fake_.SetHung(false);
  fake_.ForgetAccesses();
  ASSERT_OK(driver_->Wait(Soon()));
  EXPECT_THAT(fake_.reads(), testing::IsEmpty()) << "what is done is seen in memory";
  EXPECT_THAT(fake_.writes(), testing::IsEmpty());
  for (const DmaCopy& copy : copies) arena_.Expect(copy);
}

// The ring is full when one descriptor is left: tail = head would mean that it is empty.
TEST_P(IgbOnBoth, FillsTheTransmitRingToTheLastDescriptorButOne) {
  Start();
  fake_.SetHung(true);
  // A header and a piece on either side of a page's end; or a header and one piece.
  const DmaCopy three = InPool(4095, 8192, 2);
  const DmaCopy two = InPool(0, 8200, 1);
  for (int i = 0; i < 1364; ++i) ASSERT_OK(CopyOne(three));
  ASSERT_OK(CopyOne(two));
  ASSERT_EQ(Register(Tdt::kOffset), kTxRingSize - 2);
  EXPECT_THAT(CopyOne(two), FailsWith(ENOSPC));
  EXPECT_EQ(Register(Tdt::kOffset), kTxRingSize - 2);
  fake_.SetHung(false);
  ASSERT_OK(driver_->Wait(Soon()));
  arena_.Expect(three);
  arena_.Expect(two);

  fake_.SetHung(true);
  for (int i = 0; i < 1365; ++i) ASSERT_OK(CopyOne(three));
  EXPECT_THAT(CopyOne(two), FailsWith(ENOSPC));
  fake_.SetHung(false);
  ASSERT_OK(driver_->Wait(Soon()));
}

// What was received, but is not written back as sent, still occupies the transmit ring.
TEST_P(IgbOnBoth, WaitsForTheTransmitReportToo) {
  Start();
  fake_.SetReportsHeld(true);
  const DmaCopy copy = InPool(0, 8192, 100);
  ASSERT_OK(CopyOne(copy));
  arena_.Expect(copy);
  EXPECT_TRUE(arena_.Matches());
  EXPECT_THAT(driver_->Wait(Almost()), FailsWith(ETIMEDOUT));
  fake_.SetReportsHeld(false);
  Start();
  ExpectCopies();
}

// QEMU drops a frame whose buffer crosses pages that are no neighbours in physical memory.
TEST_P(IgbOnBoth, NoTransmitBufferCrossesAPage) {
  Start();
  fake_.SetHung(true);
  ASSERT_OK(CopyOne(InPool(4000, 500001, 30000)));
  const std::uint32_t tail = Register(Tdt::kOffset);
  std::size_t payload = 0;
  for (std::uint32_t i = 0; i < tail; ++i) {
    const TxDescriptor& descriptor = memory().tx[i];
    const std::uint32_t bytes = descriptor.command & TxDescriptor::kLengthMask;
    ASSERT_GT(bytes, 0) << i;
    EXPECT_EQ(descriptor.address / 4096, (descriptor.address + bytes - 1) / 4096) << i;
    EXPECT_EQ((descriptor.command & TxDescriptor::kReportStatus) != 0, i + 1 == tail)
        << i << ": only the last one of a batch reports";
    payload += bytes;
  }
  EXPECT_EQ(payload, 30000 + Register(Rdt::kOffset) * sizeof(FrameHeader));
  fake_.SetHung(false);
  ASSERT_OK(driver_->Wait(Soon()));
  arena_.Expect(InPool(4000, 500001, 30000));
}

// 7.1.6: the header goes to the region, the payload alone to the destination.
TEST_P(IgbOnBoth, PutsTheHeaderIntoTheRegion) {
  Start();
  for (std::uint32_t slot = 0; slot < 3; ++slot) {
    ASSERT_OK(CopyOne(InPool(0, 5000, 1)));
    ASSERT_OK(driver_->Wait(Soon()));
    arena_.Expect(InPool(0, 5000, 1));
    const FrameHeader& header = memory().rx_headers[slot];
    EXPECT_EQ(header.slot, slot);
    std::uint64_t destination = 0;
    std::memcpy(&destination, header.destination, sizeof(header.destination));
    EXPECT_EQ(destination, Mac::StationAddress());
    EXPECT_EQ(header.ether_type, FrameHeader::kEtherType);
    EXPECT_EQ(memory().rx[slot].length(), 1);
  }
}

// A payload may look like a frame that the MAC keeps for itself.
TEST_P(IgbOnBoth, CopiesWhatLooksLikeAPauseFrame) {
  Start();
  const auto pause = FrameTo(0x0100'00c2'8001, 0x0888);
  arena_.Fill(0, 1000, std::byte{0});
  for (std::size_t i = 0; i < 64; ++i) arena_.Fill(i, 1, pause[i]);
  ASSERT_OK(CopyOne(InPool(0, 8192, 1000)));
  ASSERT_OK(driver_->Wait(Soon()));
  arena_.Expect(InPool(0, 8192, 1000));
}

// 7.1.5: the device skips descriptors with a null address.
TEST_P(IgbOnBoth, RefusesADestinationOfZero) {
  Start();
  EXPECT_THAT(CopyOne({.source = arena_.At(0), .destination = 0, .length = 10}), FailsWith(EINVAL));
  ExpectCopies();
}

TEST_P(IgbOnBoth, TellsThatAFrameWasLostAmongOthers) {
  Start();
  fake_.LoseNextFrame();
  const std::vector<DmaCopy> copies{InPool(0, 8192, 100), InPool(0, 9192, 100)};
  ASSERT_OK(driver_->Copy(copies));
  EXPECT_THAT(driver_->Wait(Soon()), FailsWith(EIO)) << "the second came in the first one's place";
  for (const DmaCopy& copy : copies) arena_.Forgive(copy);
  Start();
  ExpectCopies();
}

TEST_P(IgbOnBoth, TellsThatTheLastFrameWasLost) {
  Start();
  fake_.LoseNextFrame();
  ASSERT_OK(CopyOne(InPool(0, 8192, 100)));
  EXPECT_THAT(driver_->Wait(Almost()), FailsWith(ETIMEDOUT));
  Start();
  ExpectCopies();
}

// A frame that was lost before Quiesce() is sent again after Resume().
TEST_P(IgbOnBoth, ResumeSendsLostFramesAgain) {
  Start();
  fake_.LoseNextFrame();
  ASSERT_OK(CopyOne(InPool(0, 8192, 100)));
  ASSERT_OK(driver_->Quiesce(Soon()));
  ASSERT_OK(driver_->Resume(Soon()));
  ASSERT_OK(driver_->Wait(Soon()));
  arena_.Expect(InPool(0, 8192, 100));
}

// Broadcast, multicast, another station, MAC control: none of it takes a descriptor.
TEST_F(IgbQemu, ReceivesNothingFromThePeer) {
  Start();
  fake_.SetHung(true);
  ASSERT_OK(CopyOne(InPool(0, 8192, 100)));
  const std::uint64_t station = Mac::StationAddress();
  fake_.Arrive(FrameTo(0xffff'ffff'ffff, 0x0008));
  fake_.Arrive(FrameTo(0x0100'005e'0001, 0x0008));
  fake_.Arrive(FrameTo(station ^ 0x1'0000'0000, 0x0008));
  fake_.Arrive(FrameTo(station ^ 0x10, 0x0008));
  fake_.Arrive(FrameTo(station, 0x0888));
  EXPECT_EQ(Register(Rdh::kOffset), 0);
  fake_.SetHung(false);
  ASSERT_OK(driver_->Wait(Soon()));
  arena_.Expect(InPool(0, 8192, 100));
}

// The limit that igb.h tells: it is noticed, by whatever the frame differs in.
TEST_F(IgbQemu, TellsThatAPeersFrameTookTheCopysPlace) {
  constexpr std::size_t kLength = 1000;
  struct Peer {
    const char* differs;
    std::uint16_t ether_type;
    std::uint32_t slot;
    std::size_t payload;
  };
  for (const Peer& peer :
       {Peer{"type", 0x0008, 0, kLength}, Peer{"slot", FrameHeader::kEtherType, 1, kLength},
        Peer{"length", FrameHeader::kEtherType, 0, kLength - 1}}) {
    SCOPED_TRACE(peer.differs);
    Start();
    fake_.SetHung(true);
    const DmaCopy copy = InPool(0, 8192, kLength);
    ASSERT_OK(CopyOne(copy));
    auto frame = FrameTo(Mac::StationAddress(), peer.ether_type);
    frame.resize(sizeof(FrameHeader) + peer.payload);
    std::memcpy(frame.data() + offsetof(FrameHeader, slot), &peer.slot, sizeof(peer.slot));
    fake_.Arrive(frame);
    EXPECT_EQ(Register(Rdh::kOffset), 1);
    fake_.SetHung(false);
    EXPECT_THAT(driver_->Wait(Soon()), FailsWith(EIO));
    arena_.Forgive(copy);
  }
  Start();
  ExpectCopies();
}

TEST_F(IgbHardware, ThePhysLoopbackKeepsTheCableOut) {
  Start();
  fake_.SetHung(true);
  ASSERT_OK(CopyOne(InPool(0, 8192, 100)));
  fake_.Arrive(FrameTo(Mac::StationAddress(), 0x0008));
  EXPECT_EQ(Register(Rdh::kOffset), 0);
  fake_.SetHung(false);
  ASSERT_OK(driver_->Wait(Soon()));
  arena_.Expect(InPool(0, 8192, 100));
}

}  // namespace
}  // namespace carryover::igb
