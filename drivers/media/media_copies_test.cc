// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/media/media_copies.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>

#include "drivers/access/result_matchers.h"

namespace carryover {
namespace {

constexpr MediaCopies::Layout kLayout{
    .scratch = {.first = 100, .count = 32}, .block_size = 512, .piece_bytes = 4096, .slots = 4};
constexpr std::uint64_t kBlocks = 1000;

MediaCopies Make() { return *MediaCopies::Create(kLayout, kBlocks); }

void AddOne(MediaCopies& media, const DmaCopy& copy) {
  ASSERT_TRUE(media.HasRoom({&copy, 1}));
  media.Add({&copy, 1});
}

TEST(MediaCopies, PiecesCoverTheCopyAndKeepToTheirBlocks) {
  MediaCopies media = Make();
  AddOne(media, {.source = 0x1001, .destination = 0x9003, .length = 2 * 4096 + 513});
  EXPECT_EQ(media.outstanding(), 3);
  std::size_t bytes = 0;
  std::set<std::uint64_t> blocks;
  while (const auto slot = media.NextToWrite()) {
    const MediaPiece& piece = media.piece(*slot);
    EXPECT_EQ(piece.source, 0x1001 + bytes);
    EXPECT_EQ(piece.destination, 0x9003 + bytes);
    EXPECT_EQ(piece.blocks, (piece.bytes + 511) / 512);
    for (std::uint32_t i = 0; i < piece.blocks; ++i) {
      EXPECT_TRUE(blocks.insert(piece.first_block + i).second) << "a block has two pieces";
    }
    bytes += piece.bytes;
  }
  EXPECT_EQ(bytes, 2 * 4096 + 513);
  EXPECT_GE(*blocks.begin(), 100);
  EXPECT_LT(*blocks.rbegin(), 132);
}

TEST(MediaCopies, IsReadAfterItWasWrittenAndNotBefore) {
  MediaCopies media = Make();
  AddOne(media, {.source = 1, .destination = 2, .length = 3});
  EXPECT_FALSE(media.NextToRead());
  const auto slot = media.NextToWrite();
  ASSERT_TRUE(slot);
  EXPECT_FALSE(media.NextToWrite());
  EXPECT_FALSE(media.NextToRead());
  EXPECT_TRUE(media.Completed(*slot));
  EXPECT_EQ(media.NextToRead(), slot);
  EXPECT_EQ(media.outstanding(), 1);
  EXPECT_TRUE(media.Completed(*slot));
  EXPECT_EQ(media.outstanding(), 0);
}

TEST(MediaCopies, TellsACompletionOfWhatWasNotGiven) {
  MediaCopies media = Make();
  EXPECT_FALSE(media.Completed(0));
  EXPECT_FALSE(media.Completed(4));
  AddOne(media, {.source = 1, .destination = 2, .length = 3});
  const auto slot = media.NextToWrite();
  ASSERT_TRUE(slot);
  EXPECT_TRUE(media.Completed(*slot));
  EXPECT_FALSE(media.Completed(*slot)) << "it is not being read yet";
}

TEST(MediaCopies, HasRoomForItsSlots) {
  MediaCopies media = Make();
  const std::vector<DmaCopy> four(4, DmaCopy{.source = 1, .destination = 2, .length = 4096});
  const std::vector<DmaCopy> five(5, four[0]);
  const DmaCopy large{.source = 1, .destination = 2, .length = 4 * 4096 + 1};
  EXPECT_TRUE(media.HasRoom(four));
  EXPECT_FALSE(media.HasRoom(five));
  EXPECT_FALSE(media.HasRoom({&large, 1}));
  media.Add(four);
  EXPECT_FALSE(media.HasRoom({four.data(), 1}));
  media.Forget();
  EXPECT_TRUE(media.HasRoom(four));
  EXPECT_FALSE(media.NextToWrite());
}

TEST(MediaCopies, WhatIsOutstandingIsWrittenAgain) {
  MediaCopies media = Make();
  const std::vector<DmaCopy> copies(3, DmaCopy{.source = 1, .destination = 2, .length = 8});
  media.Add(copies);
  const auto done = media.NextToWrite();
  ASSERT_TRUE(media.Completed(*done));
  ASSERT_EQ(media.NextToRead(), done);
  ASSERT_TRUE(media.Completed(*done));
  const auto written = media.NextToWrite();
  ASSERT_TRUE(media.Completed(*written));
  media.BeginAgain();
  EXPECT_EQ(media.outstanding(), 2);
  EXPECT_FALSE(media.NextToRead());
  std::set<std::uint32_t> again;
  while (const auto slot = media.NextToWrite()) again.insert(*slot);
  EXPECT_EQ(again.size(), 2);
  EXPECT_FALSE(again.contains(*done));
}

TEST(MediaCopies, AnotherGoesOn) {
  MediaCopies media = Make();
  const std::vector<DmaCopy> copies(3, DmaCopy{.source = 1, .destination = 2, .length = 8});
  media.Add(copies);
  const auto read = media.NextToWrite();
  ASSERT_TRUE(media.Completed(*read));
  ASSERT_EQ(media.NextToRead(), read);
  const auto written = media.NextToWrite();
  EXPECT_EQ(media.commands(), 2U);
  MediaCopies other = Make();
  ASSERT_OK(other.GoOnWith(media.slots()));
  EXPECT_EQ(other.outstanding(), 3);
  EXPECT_EQ(other.commands(), 2U);
  EXPECT_TRUE(other.Is(MediaCopies::State::kReading, *read));
  EXPECT_TRUE(other.Completed(*read));
  EXPECT_FALSE(other.Completed(*read));
  EXPECT_TRUE(other.Completed(*written));
  EXPECT_EQ(other.NextToRead(), written);
  EXPECT_TRUE(other.NextToWrite());
  EXPECT_FALSE(other.NextToWrite());
  EXPECT_FALSE(other.Is(MediaCopies::State::kFree, 4)) << "there is no such slot";
}

TEST(MediaCopies, GoesNotOnWithWhatCannotBe) {
  MediaCopies media = Make();
  AddOne(media, {.source = 1, .destination = 2, .length = 8});
  const std::vector<MediaCopies::Slot> good(media.slots().begin(), media.slots().end());
  ASSERT_OK(Make().GoOnWith(good));
  for (const auto& spoil : std::vector<void (*)(MediaCopies::Slot&)>{
           [](auto& slot) { std::memset(&slot.state, 5, sizeof(slot.state)); },  // none
           [](auto& slot) { slot.piece.bytes = 0; }, [](auto& slot) { slot.piece.bytes = 4097; },
           [](auto& slot) { slot.piece.blocks = 2; },
           [](auto& slot) { slot.piece.first_block += 8; }}) {
    std::vector<MediaCopies::Slot> bad = good;
    spoil(bad[0]);
    MediaCopies other = Make();
    EXPECT_THAT(other.GoOnWith(bad), FailsWith(EINVAL));
    EXPECT_EQ(other.outstanding(), 0);
  }
}

TEST(MediaCopies, RefusesAScratchRangeThatCannotBe) {
  const auto with = [](BlockRange scratch) {
    MediaCopies::Layout layout = kLayout;
    layout.scratch = scratch;
    return MediaCopies::Create(layout, kBlocks);
  };
  EXPECT_OK(with({.first = 968, .count = 32}));
  EXPECT_THAT(with({.first = 969, .count = 32}), FailsWith(EINVAL));
  EXPECT_THAT(with({.first = 1001, .count = 0}), FailsWith(EINVAL));
  EXPECT_THAT(with({.first = 8, .count = ~std::uint64_t{0}}), FailsWith(EINVAL));
  EXPECT_THAT(with({.first = 8, .count = 31}), FailsWith(EINVAL));
}

}  // namespace
}  // namespace carryover
