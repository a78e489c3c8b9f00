// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/media/media_copies.h"

#include <fmt/format.h>

#include <algorithm>

namespace carryover {

Result<MediaCopies> MediaCopies::Create(const Layout& layout, std::uint64_t blocks) {
  const BlockRange& scratch = layout.scratch;
  if (scratch.first > blocks || scratch.count > blocks - scratch.first) {
    return Fail(EINVAL, fmt::format("the scratch blocks, {} from block {}, end beyond the disk's "
                                    "last: it has {} blocks of {} bytes",
                                    scratch.count, scratch.first, blocks, layout.block_size));
  }
  const std::uint64_t needed = std::uint64_t{layout.piece_bytes} / layout.block_size * layout.slots;
  if (scratch.count < needed) {
    return Fail(EINVAL,
                fmt::format("{} scratch blocks are too few: {} blocks of {} bytes are needed",
                            scratch.count, needed, layout.block_size));
  }
  return MediaCopies(layout);
}

MediaCopies::MediaCopies(const Layout& layout) : layout_(layout), slots_(layout.slots) { Forget(); }

std::size_t MediaCopies::PiecesOf(const DmaCopy& copy) const {
  return (copy.length + layout_.piece_bytes - 1) / layout_.piece_bytes;
}

bool MediaCopies::HasRoom(std::span<const DmaCopy> copies) const {
  std::size_t pieces = 0;
  for (const DmaCopy& copy : copies) {
    pieces += PiecesOf(copy);
    if (pieces > free_.size()) return false;
  }
  return true;
}

void MediaCopies::Add(std::span<const DmaCopy> copies) {
  const std::uint32_t blocks_a_slot = layout_.piece_bytes / layout_.block_size;
  for (const DmaCopy& copy : copies) {
    for (std::size_t done = 0; done < copy.length;) {
      const std::uint32_t slot = free_.back();
      free_.pop_back();
      const auto bytes = static_cast<std::uint32_t>(
          std::min<std::size_t>(layout_.piece_bytes, copy.length - done));
      slots_[slot] = {
          .piece = {.source = copy.source + done,
                    .destination = copy.destination + done,
                    .bytes = bytes,
                    .first_block = layout_.scratch.first + std::uint64_t{slot} * blocks_a_slot,
                    .blocks = (bytes + layout_.block_size - 1) / layout_.block_size},
          .state = State::kToWrite};
      to_write_.push_back(slot);
      done += bytes;
    }
  }
}

std::optional<std::uint32_t> MediaCopies::Next(std::deque<std::uint32_t>& queue, State state) {
  if (queue.empty()) return std::nullopt;
  const std::uint32_t slot = queue.front();
  queue.pop_front();
  slots_[slot].state = state;
  return slot;
}

std::optional<std::uint32_t> MediaCopies::NextToWrite() { return Next(to_write_, State::kWriting); }

std::optional<std::uint32_t> MediaCopies::NextToRead() { return Next(to_read_, State::kReading); }

bool MediaCopies::Completed(std::uint32_t slot) {
  if (slot >= slots_.size()) return false;
  State& state = slots_[slot].state;
  if (state == State::kWriting) {
    state = State::kToRead;
    to_read_.push_back(slot);
    return true;
  }
  if (state != State::kReading) return false;
  state = State::kFree;
  free_.push_back(slot);
  return true;
}

std::size_t MediaCopies::commands() const {
  return static_cast<std::size_t>(std::ranges::count_if(slots_, [](const Slot& slot) {
    return slot.state == State::kWriting || slot.state == State::kReading;
  }));
}

Result<void> MediaCopies::GoOnWith(std::span<const Slot> slots) {
  const std::uint32_t blocks_a_slot = layout_.piece_bytes / layout_.block_size;
  Forget();
  free_.clear();
  for (std::uint32_t slot = layout_.slots; slot-- > 0;) {
    const Slot& one = slots[slot];
    const MediaPiece& piece = one.piece;
    if (one.state == State::kFree) {
      free_.push_back(slot);
      continue;
    }
    if (one.state > State::kReading || piece.bytes == 0 || piece.bytes > layout_.piece_bytes ||
        piece.first_block != layout_.scratch.first + std::uint64_t{slot} * blocks_a_slot ||
        piece.blocks != (piece.bytes + layout_.block_size - 1) / layout_.block_size) {
      Forget();
      return Fail(EINVAL, fmt::format("slot {}: a piece of {} bytes in {} blocks from {}", slot,
                                      piece.bytes, piece.blocks, piece.first_block));
    }
    slots_[slot] = one;
    if (one.state == State::kToWrite) to_write_.push_back(slot);
    if (one.state == State::kToRead) to_read_.push_back(slot);
  }
  return {};
}

void MediaCopies::BeginAgain() {
  to_read_.clear();
  to_write_.clear();
  for (std::uint32_t slot = 0; slot < slots_.size(); ++slot) {
    if (slots_[slot].state == State::kFree) continue;
    slots_[slot].state = State::kToWrite;
    to_write_.push_back(slot);
  }
}

void MediaCopies::Forget() {
  to_read_.clear();
  to_write_.clear();
  free_.clear();
  for (std::uint32_t slot = layout_.slots; slot-- > 0;) {
    slots_[slot].state = State::kFree;
    free_.push_back(slot);
  }
}

}  // namespace carryover
