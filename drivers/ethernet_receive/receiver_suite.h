// SPDX-License-Identifier: GPL-2.0-only
// What every NIC's FrameReceiver keeps (drivers/frame_receiver.h), on a model of the NIC.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <vector>

#include "drivers/access/result_matchers.h"
#include "drivers/conformance/arena.h"
#include "drivers/ethernet_receive/receive_ring.h"
#include "drivers/frame_receiver.h"

namespace carryover::ethernet_receive {

// `Nic` is a NIC with a cable in: device(), MakeReceiver(), Arrive(frame), ForgetAccesses(),
// writes(), violations(), SetHead(slot), SetGone(), max_slots(); kStation, which it listens to, and
// kOtherStation, which it does not, their first byte lowest.
template <typename Nic>
class ReceiverSuite : public testing::Test {
 protected:
  static constexpr std::size_t kSlots = 256;
  static constexpr std::byte kBlank{0xb5};

  ReceiverSuite() { arena_.MapIn(nic_.device().iommu()); }
  void TearDown() override { EXPECT_THAT(nic_.violations(), testing::IsEmpty()); }

  [[nodiscard]] static Deadline Soon() { return Deadline::After(std::chrono::seconds(20)); }
  [[nodiscard]] DmaRegion ring() {
    return {arena_.pool().first(ReceiveRing::Bytes(kSlots)), arena_.At(0)};
  }
  void StartReceiving() {
    arena_.Fill(0, ring().memory.size(), kBlank);
    ASSERT_OK(receiver_->Start(ring(), Soon()));
  }
  [[nodiscard]] static std::vector<std::byte> Frame(std::size_t bytes, std::uint8_t content,
                                                    std::uint64_t to = Nic::kStation) {
    std::vector<std::byte> frame(bytes, std::byte{content});
    std::memcpy(frame.data(), &to, 6);
    frame[12] = std::byte{0x88};
    frame[13] = std::byte{0xb5};
    return frame;
  }

  Nic nic_;
  Arena arena_{4096, std::size_t{1} << 20};
  std::unique_ptr<FrameReceiver> receiver_ = nic_.MakeReceiver();
};

TYPED_TEST_SUITE_P(ReceiverSuite);

TYPED_TEST_P(ReceiverSuite, FramesAreWhereTheirNumberIs) {
  ASSERT_NO_FATAL_FAILURE(this->StartReceiving());
  for (std::uint8_t n = 0; n < 5; ++n)
    this->nic_.Arrive(this->Frame(FrameReceiver::kSlotBytes - n, n));
  EXPECT_EQ(this->receiver_->Count(), 5U);
  for (std::uint8_t n = 0; n < 5; ++n) {
    const auto frame = this->receiver_->Frame(n);
    ASSERT_TRUE(frame) << +n;
    EXPECT_THAT(*frame, testing::ElementsAreArray(this->Frame(FrameReceiver::kSlotBytes - n, n)));
  }
  EXPECT_FALSE(this->receiver_->Frame(5));
  EXPECT_THAT(this->receiver_->Buffer(5), testing::Each(this->kBlank));
  EXPECT_FALSE(this->receiver_->IsUnused(4));
  EXPECT_TRUE(this->receiver_->IsUnused(5));
  std::byte& of_its_address = this->ring().memory[5 * sizeof(ReceiveDescriptor) + 7];
  of_its_address ^= std::byte{1};
  EXPECT_FALSE(this->receiver_->IsUnused(5));
  of_its_address ^= std::byte{1};
  EXPECT_OK(this->receiver_->Stop(this->Soon()));
}

TYPED_TEST_P(ReceiverSuite, FramesOfOthersAndLongOnesAreNone) {
  ASSERT_NO_FATAL_FAILURE(this->StartReceiving());
  this->nic_.Arrive(this->Frame(128, 1, TypeParam::kOtherStation));
  EXPECT_EQ(this->receiver_->Count(), 0U);
  this->nic_.Arrive(this->Frame(FrameReceiver::kSlotBytes + 1, 2));
  EXPECT_FALSE(this->receiver_->Frame(0));
  this->nic_.Arrive(this->Frame(64, 3));
  ASSERT_OK_AND_ASSIGN(const std::uint64_t count, this->receiver_->Count());
  ASSERT_GE(count, 1U);
  EXPECT_THAT(this->receiver_->Frame(count - 1),
              testing::Optional(testing::ElementsAreArray(this->Frame(64, 3))));
}

// What has arrived is not overwritten.
TYPED_TEST_P(ReceiverSuite, AFullRingTakesNoMore) {
  ASSERT_NO_FATAL_FAILURE(this->StartReceiving());
  for (std::size_t n = 0; n < this->kSlots + 3; ++n)
    this->nic_.Arrive(this->Frame(64, n == 0 ? 7 : 8));
  EXPECT_EQ(this->receiver_->Count(), this->kSlots - 1);
  EXPECT_THAT(this->receiver_->Frame(0),
              testing::Optional(testing::ElementsAreArray(this->Frame(64, 7))));
  EXPECT_THAT(this->receiver_->Buffer(this->kSlots - 1), testing::Each(this->kBlank));
}

TYPED_TEST_P(ReceiverSuite, AnotherObjectTakesItOver) {
  ASSERT_NO_FATAL_FAILURE(this->StartReceiving());
  this->nic_.Arrive(this->Frame(64, 1));
  this->nic_.ForgetAccesses();
  const auto next = this->nic_.MakeReceiver();
  ASSERT_OK(next->TakeOver(this->ring()));
  EXPECT_THAT(this->nic_.writes(), testing::IsEmpty());
  this->nic_.Arrive(this->Frame(64, 2));
  EXPECT_EQ(next->Count(), 2U);
  EXPECT_THAT(next->Frame(1), testing::Optional(testing::ElementsAreArray(this->Frame(64, 2))));
}

TYPED_TEST_P(ReceiverSuite, WhatDoesNotReceiveIntoTheRingIsNotTakenOver) {
  EXPECT_THAT(this->nic_.MakeReceiver()->TakeOver(this->ring()), FailsWith(EIO));
  ASSERT_NO_FATAL_FAILURE(this->StartReceiving());
  DmaRegion other = this->ring();
  other.iova += 4096;
  EXPECT_THAT(this->nic_.MakeReceiver()->TakeOver(other), FailsWith(EIO));
  // Its head is behind what the memory says: it was started anew.
  this->nic_.Arrive(this->Frame(64, 1));
  this->nic_.SetHead(0);
  EXPECT_THAT(this->nic_.MakeReceiver()->TakeOver(this->ring()), FailsWith(EIO));
  this->nic_.SetHead(1);
  EXPECT_OK(this->nic_.MakeReceiver()->TakeOver(this->ring()));
  EXPECT_OK(this->receiver_->Stop(this->Soon()));
  EXPECT_THAT(this->nic_.MakeReceiver()->TakeOver(this->ring()), FailsWith(EIO));
}

TYPED_TEST_P(ReceiverSuite, NothingArrivesAfterStop) {
  ASSERT_NO_FATAL_FAILURE(this->StartReceiving());
  ASSERT_OK(this->receiver_->Stop(this->Soon()));
  this->nic_.Arrive(this->Frame(64, 1));
  EXPECT_EQ(this->receiver_->Count(), 0U);
  EXPECT_THAT(this->receiver_->Buffer(0), testing::Each(this->kBlank));
}

TYPED_TEST_P(ReceiverSuite, RefusesRingsThatItCannotHave) {
  ASSERT_OK_AND_ASSIGN(const std::size_t most, this->receiver_->MaxSlots());
  EXPECT_EQ(most, this->nic_.max_slots());
  DmaRegion odd = this->ring();
  odd.memory = odd.memory.first(odd.memory.size() - 1);
  EXPECT_THAT(this->receiver_->Start(odd, this->Soon()), FailsWith(EINVAL));
  DmaRegion unaligned = this->ring();
  unaligned.iova += 16;
  EXPECT_THAT(this->receiver_->Start(unaligned, this->Soon()), FailsWith(EINVAL));
  EXPECT_THAT(this->receiver_->Start({{}, this->ring().iova}, this->Soon()), FailsWith(EINVAL));
}

TYPED_TEST_P(ReceiverSuite, TellsADeviceThatIsGone) {
  ASSERT_NO_FATAL_FAILURE(this->StartReceiving());
  this->nic_.SetGone();
  EXPECT_THAT(this->receiver_->Count(), FailsWith(ENODEV));
  EXPECT_THAT(this->receiver_->Stop(this->Soon()), FailsWith(ENODEV));
}

REGISTER_TYPED_TEST_SUITE_P(ReceiverSuite, FramesAreWhereTheirNumberIs,
                            FramesOfOthersAndLongOnesAreNone, AFullRingTakesNoMore,
                            AnotherObjectTakesItOver, WhatDoesNotReceiveIntoTheRingIsNotTakenOver,
                            NothingArrivesAfterStop, RefusesRingsThatItCannotHave,
                            TellsADeviceThatIsGone);

}  // namespace carryover::ethernet_receive
