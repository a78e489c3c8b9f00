// SPDX-License-Identifier: GPL-2.0-only
// What only this device does: loopback, frames, the FIFOs between its directions.
#include <chrono>
#include <cstring>
#include <thread>

#include "drivers/access/event_wait.h"
#include "drivers/contract/saved_state.h"
#include "drivers/e1000e/e1000e_bench.h"
#include "drivers/e1000e/mac.h"

namespace carryover::e1000e {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class E1000eOnQemu : public E1000e {
 protected:
  E1000eOnQemu() : E1000e(E1000eModel::Flavour::kQemu) {}
};

std::vector<std::byte> FrameTo(std::uint64_t address, std::uint16_t ether_type_be) {
  std::vector<std::byte> frame(1000, std::byte{0xee});
  std::memcpy(frame.data(), &address, 6);
  std::memcpy(frame.data() + 12, &ether_type_be, 2);
  return frame;
}

TEST_F(E1000e, LoopsBackInThePhyAtOneGigabit) {
  Start();
  EXPECT_EQ(model().phy_control(), 0x4140);
  EXPECT_EQ(model().Register(Ctrl::kOffset) & 0x1b41, 0x1a41U);
  EXPECT_EQ(model().Register(Rctl::kOffset) & Rctl::kLoopbackMask, 0);
  EXPECT_EQ(model().Register(ExtcnfCtrl::kOffset), 0) << "the PHY was not given back";
}

TEST_F(E1000e, StopGivesThePhyBackToAutoNegotiation) {
  Start();
  ASSERT_OK(driver_->Stop(Soon()));
  EXPECT_EQ(model().phy_control() & PhyControl::kAutoNegotiation, PhyControl::kAutoNegotiation);
  EXPECT_EQ(model().phy_control() & PhyControl::kLoopback, 0);
  EXPECT_EQ(model().Register(ExtcnfCtrl::kOffset), 0);
}

TEST_F(E1000e, StartTellsAPhyThatTheFirmwareKeeps) {
  model().SetFirmwareHoldsPhy(true);
  const auto started =
      driver_->Start(arena_.region(), Deadline::After(std::chrono::milliseconds(200)));
  EXPECT_THAT(started, FailsWith(ETIMEDOUT));
  EXPECT_THAT(started.error().message, HasSubstr("MDIO ownership"));
  model().SetFirmwareHoldsPhy(false);
  Start();
  ExpectCopies();
}

TEST_F(E1000e, StartTellsAPhyThatRefuses) {
  model().SetPhyRefuses(true);
  EXPECT_THAT(driver_->Start(arena_.region(), Soon()), FailsWith(EIO));
  EXPECT_EQ(model().Register(ExtcnfCtrl::kOffset), 0) << "the PHY was not given back";
  model().SetPhyRefuses(false);
  Start();
  ExpectCopies();
}

TEST_F(E1000e, StartTellsAResetThatNeverEnds) {
  device_.SetResetStuck(true);
  const auto started = driver_->Start(arena_.region(), Almost());
  EXPECT_THAT(started, FailsWith(ETIMEDOUT));
  EXPECT_THAT(started.error().message, HasSubstr("CTRL.RST"));
  device_.SetResetStuck(false);
  Start();
  ExpectCopies();
}

TEST_F(E1000e, StartTellsAnEepromThatIsNeverRead) {
  model().SetEepromStuck(true);
  const auto started = driver_->Start(arena_.region(), Almost());
  EXPECT_THAT(started, FailsWith(ETIMEDOUT));
  EXPECT_THAT(started.error().message, HasSubstr("AUTO_RD"));
  model().SetEepromStuck(false);
  Start();
  ExpectCopies();
}

// Any number of descriptors: one write of each tail, receive first. Receive descriptors count
// twice.
TEST_F(E1000e, PostsABatchByOneWriteOfEachTail) {
  Start();
  device_.SetHung(true);
  model().ForgetAccesses();
  std::vector<DmaCopy> copies;
  for (std::size_t i = 0; i < 20; ++i) {
    copies.push_back(InPool(i * 20000 + 100, i * 20000 + 500001, 20000));
  }
  ASSERT_OK(driver_->Copy(copies));
  EXPECT_THAT(model().writes(), ElementsAre(Rdt::kOffset, Tdt::kOffset));
  EXPECT_EQ(model().reads(), 0) << "a read stops a virtual CPU";
  // 20000 bytes from offset 100: frames to the ends of the second, fourth and last page.
  EXPECT_EQ(model().Register(Rdt::kOffset), 20 * 3 * 2);
  device_.SetHung(false);
  ASSERT_OK(driver_->Wait(Soon()));
  EXPECT_THAT(model().writes(), ElementsAre(Rdt::kOffset, Tdt::kOffset));
  EXPECT_EQ(model().reads(), 0) << "what is done is seen in memory";
  for (const DmaCopy& copy : copies) arena_.Expect(copy);
  EXPECT_TRUE(arena_.Matches());
}

// Only the last descriptor of a batch asks for a report; and each lies within a page.
TEST_F(E1000e, AsksForOneReportABatch) {
  Start();
  device_.SetHung(true);
  const std::vector<DmaCopy> copies{InPool(100, 300000, 20000), InPool(30000, 400000, 20)};
  ASSERT_OK(driver_->Copy(copies));
  const std::uint32_t tail = model().Register(Tdt::kOffset);
  for (std::uint32_t i = 0; i < tail; ++i) {
    const TxDescriptor& descriptor = region().tx.at(i);
    EXPECT_EQ((descriptor.command & TxDescriptor::kReportStatus) != 0, i + 1 == tail) << i;
    EXPECT_LE(descriptor.address % 4096 + (descriptor.command & TxDescriptor::kLengthMask), 4096)
        << i;
  }
  device_.SetHung(false);
  ASSERT_OK(driver_->Wait(Soon()));
}

// The ring is full when one descriptor is left: tail = head would mean that it is empty.
TEST_F(E1000e, FillsTheTransmitRingToTheLastDescriptorButOne) {
  Start();
  for (int round = 0; round < 2; ++round) {
    device_.SetHung(true);
    // A header and a piece on either side of a page's end: 1365 * 3 = 4095.
    const DmaCopy three = InPool(4095, 8192, 2);
    for (int i = 0; i < 1365; ++i) ASSERT_OK(CopyOne(three));
    EXPECT_THAT(CopyOne(InPool(0, 8200, 1)), FailsWith(ENOSPC));
    device_.SetHung(false);
    ASSERT_OK(driver_->Wait(Soon()));
    arena_.Expect(three);
    EXPECT_TRUE(arena_.Matches());
  }
}

TEST_F(E1000e, FillsTheReceiveRingToTheLastDescriptorButOne) {
  Start();
  for (int round = 0; round < 2; ++round) {
    device_.SetHung(true);
    for (int i = 0; i < 2047; ++i) ASSERT_OK(CopyOne(InPool(0, 8192, 1)));
    EXPECT_THAT(CopyOne(InPool(0, 8192, 1)), FailsWith(ENOSPC));
    device_.SetHung(false);
    ASSERT_OK(driver_->Wait(Soon()));
  }
}

// What was received, but is not written back as sent, still occupies the transmit ring.
TEST_F(E1000e, WaitsForTheTransmitReportToo) {
  Start();
  model().SetReportsHeld(true);
  const DmaCopy copy = InPool(0, 8192, 100);
  ASSERT_OK(CopyOne(copy));
  arena_.Expect(copy);
  EXPECT_TRUE(arena_.Matches());
  EXPECT_THAT(driver_->Wait(Almost()), FailsWith(ETIMEDOUT));
  model().SetReportsHeld(false);
  Start();
  ExpectCopies();
}

// The destination lies where the status will be: odd, it looks as if DD were set.
TEST_F(E1000e, ADestinationIsNotTakenForAStatus) {
  Start();
  device_.SetHung(true);
  const DmaCopy copy = InPool(0, 8192 + 3, 100);
  ASSERT_OK(CopyOne(copy));
  EXPECT_EQ(region().rx[0].words[RxDescriptor::kStatus] & 3, 3U);
  // The lengths are seen before the status.
  const std::uint64_t was = region().rx[0].words[RxDescriptor::kLengths];
  region().rx[0].words[RxDescriptor::kLengths] = std::uint64_t{100} << 16;
  EXPECT_THAT(driver_->Wait(Almost()), FailsWith(ETIMEDOUT));
  region().rx[0].words[RxDescriptor::kLengths] = was;
  Start();
  device_.SetHung(true);
  ASSERT_OK(CopyOne(copy));
  EXPECT_THAT(driver_->Wait(Almost()), FailsWith(ETIMEDOUT));
  device_.SetHung(false);
  arena_.Expect(copy);
  EXPECT_TRUE(arena_.Matches());
}

// 0x80'0000'0003 is what a frame's status is when all went well. What the device does is forged:
// this is beyond the IOVAs of the fake's IOMMU.
TEST_F(E1000e, TakesAStatusThatIsTheDestination) {
  constexpr Iova kDestination = 0x80'0000'0003;
  Start();
  device_.SetHung(true);
  ASSERT_OK(CopyOne({.source = arena_.At(0), .destination = kDestination, .length = 100}));
  region().rx_headers[0] = region().tx_headers[0];
  region().tx[1].status = TxDescriptor::kDone;
  EXPECT_EQ(region().rx[0].words[RxDescriptor::kStatus], kDestination);
  region().rx[0].words[RxDescriptor::kLengths] = std::uint64_t{100} << 16;
  EXPECT_OK(driver_->Wait(Soon()));
  ASSERT_OK(CopyOne({.source = arena_.At(0), .destination = kDestination, .length = 100}));
  region().rx_headers[1] = region().tx_headers[1];
  EXPECT_THAT(driver_->Wait(Almost()), FailsWith(ETIMEDOUT)) << "nothing was written back";
}

TEST_F(E1000e, RefusesTheIovasThatMeanNoBuffer) {
  Start();
  EXPECT_THAT(CopyOne({.source = arena_.At(0), .destination = 0, .length = 1}), FailsWith(EINVAL));
  for (const std::size_t length : {1U, 100U, 20000U}) {
    EXPECT_THAT(
        CopyOne({.source = arena_.At(0), .destination = ~Iova{0} - (length - 1), .length = length}),
        FailsWith(EINVAL));
  }
}

TEST_F(E1000e, TellsAFrameOfAnother) {
  Start();
  device_.SetHung(true);
  const DmaCopy copy = InPool(0, 8192, 872);
  ASSERT_OK(CopyOne(copy));
  model().Arrive(FrameTo(Mac::StationAddress(), FrameHeader::kEtherType));
  EXPECT_THAT(driver_->Wait(Soon()), FailsWith(EIO)) << "as long as ours, but for another slot";
  arena_.Forgive(copy);
  Start();
  device_.SetHung(true);
  ASSERT_OK(CopyOne(copy));
  auto forged = FrameTo(Mac::StationAddress(), 0x0909);
  std::memset(forged.data() + 16, 0, 4);
  model().Arrive(forged);
  EXPECT_THAT(driver_->Wait(Soon()), FailsWith(EIO)) << "for our slot, of another type";
}

TEST_F(E1000e, HearsNoOther) {
  Start();
  device_.SetHung(true);
  const DmaCopy copy = InPool(0, 8192, 872);
  ASSERT_OK(CopyOne(copy));
  model().Arrive(FrameTo(0xffff'ffff'ffff, 0x0909));
  model().Arrive(FrameTo(0x010000c28001, 0x0888));  // a pause frame
  model().Arrive(FrameTo(Mac::StationAddress() + 1, 0x0909));
  device_.SetHung(false);
  ASSERT_OK(driver_->Wait(Soon()));
  arena_.Expect(copy);
  EXPECT_TRUE(arena_.Matches());
}

// A frame that is larger than the buffers takes two descriptors: no EOP in the first.
TEST_F(E1000e, TellsAFrameThatIsTooLarge) {
  Start();
  device_.SetHung(true);
  const DmaCopy copy = InPool(0, 8192, 8192);
  const DmaCopy next = InPool(0, 65536, 8192);
  ASSERT_OK(CopyOne(copy));
  ASSERT_OK(CopyOne(next));
  std::vector<std::byte> large(sizeof(FrameHeader) + kFramePayload + 10);
  std::memcpy(large.data(), &region().tx_headers[0], sizeof(FrameHeader));
  model().Arrive(large);
  EXPECT_THAT(driver_->Wait(Soon()), FailsWith(EIO));
  arena_.Forgive(copy);
  arena_.Forgive(next);
}

TEST_F(E1000e, TellsALostFrame) {
  Start();
  model().LoseNextFrame();
  const std::vector<DmaCopy> copies{InPool(0, 8192, 100), InPool(100, 16384, 100)};
  ASSERT_OK(driver_->Copy(copies));
  EXPECT_THAT(driver_->Wait(Soon()), FailsWith(EIO)) << "the second is in the first one's slot";
  for (const DmaCopy& copy : copies) arena_.Forgive(copy);
  Start();
  model().LoseNextFrame();
  ASSERT_OK(CopyOne(copies[0]));
  EXPECT_THAT(driver_->Wait(Almost()), FailsWith(ETIMEDOUT));
}

// What was transmitted and not received when the queues stopped would arrive after the resume.
TEST_F(E1000e, ResumeEmptiesTheFifos) {
  Start();
  ExpectCopies();  // so that what is posted again goes to other slots
  model().SetFifoHeld(true);
  const std::vector<DmaCopy> copies{InPool(0, 8192, 100), InPool(100, 16384, 100)};
  ASSERT_OK(driver_->Copy(copies));
  ASSERT_OK(driver_->Quiesce(Soon()));
  model().SetFifoHeld(false);
  EXPECT_TRUE(arena_.Matches()) << "DMA while quiesced";
  ASSERT_OK(driver_->Resume(Soon()));
  ASSERT_OK(driver_->Wait(Soon()));
  for (const DmaCopy& copy : copies) arena_.Expect(copy);
  ExpectCopies();
}

TEST_F(E1000e, ResumeResetsNothingIfNothingIsOutstanding) {
  Start();
  ExpectCopies();
  const std::size_t resets = device_.resets();
  ASSERT_OK(driver_->Quiesce(Soon()));
  ASSERT_OK(driver_->Resume(Soon()));
  ExpectCopies();
  EXPECT_EQ(device_.resets(), resets);
}

// Whoever ran the device before may have left anything unmasked.
TEST_F(E1000e, QuiesceMasksInterrupts) {
  Start();
  bar().Write32(Ims::kOffset, Cause::kLinkStatusChange);
  ASSERT_OK(driver_->Quiesce(Soon()));
  EXPECT_EQ(model().Register(Ims::kOffset), 0);
}

// RaiseInterrupt() masks its cause again, and takes it back, before QEMU repeats the message.
TEST_F(E1000eOnQemu, GetsEachMessageOnce) {
  auto events = EventSet::Create(1);
  ASSERT_OK(events);
  ASSERT_OK(device_.device().EnableInterrupts(InterruptKind::kMsi, events->fds()));
  Start();
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK(driver_->RaiseInterrupt());
    EXPECT_EQ(model().Register(Ims::kOffset), 0);
    EXPECT_EQ(model().Register(Icr::kOffset) & Cause::kMdioAccess, 0);
    ExpectCopies();
    std::this_thread::sleep_for(std::chrono::milliseconds(17));
    (void)bar().Read32(Status::kOffset);
    ASSERT_OK_AND_ASSIGN(const std::uint64_t raised, events->Take(0));
    EXPECT_EQ(raised, 1);
  }
}

// Each register that says where the device is.
TEST_F(E1000e, AttachRefusesADeviceThatIsElsewhere) {
  Start();
  ExpectCopies();
  ASSERT_OK(driver_->Save());
  device_.SetHung(true);
  const auto refuses = [&](std::size_t offset, std::uint32_t flip) {
    const std::uint32_t was = model().Register(offset);
    model().SetRegister(offset, was ^ flip);
    EXPECT_THAT(Make()->Attach(arena_.region()), FailsWith(EIO)) << std::hex << offset;
    model().SetRegister(offset, was);
  };
  for (const std::size_t offset :
       {Tdbal::kOffset, Tdbah::kOffset, Tdlen::kOffset, Tdh::kOffset, Tdt::kOffset, Rdbal::kOffset,
        Rdbah::kOffset, Rdlen::kOffset, Rdh::kOffset, Rdt::kOffset}) {
    refuses(offset, 128);
  }
  refuses(Tctl::kOffset, Tctl::kEnable);
  refuses(Rctl::kOffset, Rctl::kEnable);
  ASSERT_OK(driver_->Quiesce(Soon()));
  ASSERT_OK(driver_->Save());
  refuses(Tctl::kOffset, Tctl::kEnable);
  refuses(Rctl::kOffset, Rctl::kEnable);
  device_.SetHung(false);
  model().ForgetAccesses();
  driver_ = Make();
  ASSERT_OK(driver_->Attach(arena_.region()));
  EXPECT_THAT(model().writes(), IsEmpty()) << "Attach() looks, and touches nothing";
  ASSERT_OK(driver_->Resume(Soon()));
  ExpectCopies();
}

TEST_F(E1000e, AttachRefusesTailsOutsideTheRings) {
  Start();
  ASSERT_OK(driver_->Save());
  SavedState good;
  std::memcpy(&good, arena_.region().memory.data(), sizeof(good));
  for (const std::size_t word : {0U, 1U}) {
    SavedState bad = good;
    bad.positions.at(word) = word == 0 ? kTxRingSize : kRxRingSize;
    bad.checksum = bad.Sum();
    std::memcpy(arena_.region().memory.data(), &bad, sizeof(bad));
    EXPECT_THAT(Make()->Attach(arena_.region()), FailsWith(EINVAL)) << word;
  }
}

}  // namespace
}  // namespace carryover::e1000e
