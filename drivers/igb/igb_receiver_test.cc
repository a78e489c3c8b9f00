// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/igb/igb_receiver.h"

#include <cstring>
#include <string>
#include <vector>

#include "drivers/ethernet_receive/receive_ring.h"
#include "drivers/igb/fake/igb_bench.h"
#include "drivers/igb/mac.h"

namespace carryover::igb {
namespace {

using ethernet_receive::ReceiveRing;
using testing::ElementsAreArray;

// On both: a cable is in.
class IgbReceiverTest : public IgbBench, public testing::WithParamInterface<FakeIgb::Flavour> {
 protected:
  IgbReceiverTest() : IgbBench(GetParam()) { fake_.SetCable(); }
  [[nodiscard]] PciDevice& pci() { return fake_.device(); }
  [[nodiscard]] FakeIgb& nic() { return fake_; }

  static constexpr std::size_t kSlots = 256;
  static constexpr std::byte kBlank{0xb5};

  [[nodiscard]] DmaRegion ring() {
    return {arena_.pool().first(ReceiveRing::Bytes(kSlots)), arena_.At(0)};
  }
  // The ring's memory is the receiver's, as far as the arena is concerned.
  void StartReceiving() {
    arena_.Fill(0, ring().memory.size(), kBlank);
    ASSERT_OK(receiver_->Start(ring(), Soon()));
  }
  [[nodiscard]] static std::vector<std::byte> Frame(std::size_t bytes, std::uint8_t content,
                                                    std::uint64_t to = Mac::StreamStation()) {
    std::vector<std::byte> frame(bytes, std::byte{content});
    std::memcpy(frame.data(), &to, 6);
    frame[12] = std::byte{0x88};
    frame[13] = std::byte{0xb5};
    return frame;
  }
  void TearDown() override { EXPECT_THAT(nic_violations(), testing::IsEmpty()); }
  [[nodiscard]] const std::vector<std::string>& nic_violations() { return fake_.violations(); }

  std::unique_ptr<FrameReceiver> receiver_ = MakeFrameReceiver(pci());
};

INSTANTIATE_TEST_SUITE_P(Flavours, IgbReceiverTest,
                         testing::Values(FakeIgb::Flavour::kHardware, FakeIgb::Flavour::kQemu),
                         [](const auto& flavour) {
                           return flavour.param == FakeIgb::Flavour::kQemu ? "Qemu" : "Hardware";
                         });

TEST_P(IgbReceiverTest, FramesAreWhereTheirNumberIs) {
  ASSERT_NO_FATAL_FAILURE(StartReceiving());
  for (std::uint8_t n = 0; n < 5; ++n) nic().Arrive(Frame(FrameReceiver::kSlotBytes - n, n));
  EXPECT_EQ(receiver_->Count(), 5U);
  for (std::uint8_t n = 0; n < 5; ++n) {
    const auto frame = receiver_->Frame(n);
    ASSERT_TRUE(frame) << +n;
    EXPECT_THAT(*frame, ElementsAreArray(Frame(FrameReceiver::kSlotBytes - n, n)));
  }
  EXPECT_FALSE(receiver_->Frame(5));
  EXPECT_THAT(receiver_->Buffer(5), testing::Each(kBlank));
  EXPECT_OK(receiver_->Stop(Soon()));
}

TEST_P(IgbReceiverTest, FramesOfOthersAndLongOnesAreNone) {
  ASSERT_NO_FATAL_FAILURE(StartReceiving());
  nic().Arrive(Frame(128, 1, Mac::StationAddress()));
  EXPECT_EQ(receiver_->Count(), 0U);
  nic().Arrive(Frame(FrameReceiver::kSlotBytes + 1, 2));
  EXPECT_FALSE(receiver_->Frame(0));
  nic().Arrive(Frame(64, 3));
  ASSERT_OK_AND_ASSIGN(const std::uint64_t count, receiver_->Count());
  ASSERT_GE(count, 1U);
  EXPECT_THAT(receiver_->Frame(count - 1), testing::Optional(ElementsAreArray(Frame(64, 3))));
}

// What has arrived is not overwritten.
TEST_P(IgbReceiverTest, AFullRingTakesNoMore) {
  ASSERT_NO_FATAL_FAILURE(StartReceiving());
  for (std::size_t n = 0; n < kSlots + 3; ++n) nic().Arrive(Frame(64, n == 0 ? 7 : 8));
  EXPECT_EQ(receiver_->Count(), kSlots - 1);
  EXPECT_THAT(receiver_->Frame(0), testing::Optional(ElementsAreArray(Frame(64, 7))));
  EXPECT_THAT(receiver_->Buffer(kSlots - 1), testing::Each(kBlank));
}

TEST_P(IgbReceiverTest, AnotherObjectTakesItOver) {
  ASSERT_NO_FATAL_FAILURE(StartReceiving());
  nic().Arrive(Frame(64, 1));
  nic().ForgetAccesses();
  const auto next = MakeFrameReceiver(pci());
  ASSERT_OK(next->TakeOver(ring()));
  EXPECT_THAT(nic().writes(), testing::IsEmpty());
  nic().Arrive(Frame(64, 2));
  EXPECT_EQ(next->Count(), 2U);
  EXPECT_THAT(next->Frame(1), testing::Optional(ElementsAreArray(Frame(64, 2))));
}

TEST_P(IgbReceiverTest, WhatDoesNotReceiveIntoTheRingIsNotTakenOver) {
  EXPECT_THAT(MakeFrameReceiver(pci())->TakeOver(ring()), FailsWith(EIO));
  ASSERT_NO_FATAL_FAILURE(StartReceiving());
  DmaRegion other = ring();
  other.iova += 4096;
  EXPECT_THAT(MakeFrameReceiver(pci())->TakeOver(other), FailsWith(EIO));
  // Its head is behind what the memory says: it was started anew.
  nic().Arrive(Frame(64, 1));
  nic().SetRegister(Rdh::kOffset, 0);
  EXPECT_THAT(MakeFrameReceiver(pci())->TakeOver(ring()), FailsWith(EIO));
  nic().SetRegister(Rdh::kOffset, 1);
  EXPECT_OK(MakeFrameReceiver(pci())->TakeOver(ring()));
  EXPECT_OK(receiver_->Stop(Soon()));
  EXPECT_THAT(MakeFrameReceiver(pci())->TakeOver(ring()), FailsWith(EIO));
}

TEST_P(IgbReceiverTest, NothingArrivesAfterStop) {
  ASSERT_NO_FATAL_FAILURE(StartReceiving());
  ASSERT_OK(receiver_->Stop(Soon()));
  nic().Arrive(Frame(64, 1));
  EXPECT_EQ(receiver_->Count(), 0U);
  EXPECT_THAT(receiver_->Buffer(0), testing::Each(kBlank));
}

TEST_P(IgbReceiverTest, RefusesRingsThatItCannotHave) {
  ASSERT_OK_AND_ASSIGN(const std::size_t most, receiver_->MaxSlots());
  EXPECT_EQ(most, GetParam() == FakeIgb::Flavour::kQemu ? 65280U : 4096U);
  DmaRegion odd = ring();
  odd.memory = odd.memory.first(odd.memory.size() - 1);
  EXPECT_THAT(receiver_->Start(odd, Soon()), FailsWith(EINVAL));
  DmaRegion unaligned = ring();
  unaligned.iova += 16;
  EXPECT_THAT(receiver_->Start(unaligned, Soon()), FailsWith(EINVAL));
  EXPECT_THAT(receiver_->Start({{}, ring().iova}, Soon()), FailsWith(EINVAL));
}

TEST_P(IgbReceiverTest, TellsADeviceThatIsGone) {
  ASSERT_NO_FATAL_FAILURE(StartReceiving());
  fake_.SetGone(true);
  EXPECT_THAT(receiver_->Count(), FailsWith(ENODEV));
  EXPECT_THAT(receiver_->Stop(Soon()), FailsWith(ENODEV));
}

}  // namespace
}  // namespace carryover::igb
