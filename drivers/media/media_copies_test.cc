// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/media/media_copies.h"

#include <gtest/gtest.h>

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
