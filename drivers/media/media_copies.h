// SPDX-License-Identifier: GPL-2.0-only
// Copies through the blocks of a disk: what is to be copied is written to scratch blocks, and read
// from there to its destination. This says which piece is to be written or read next; a disk's
// engine turns that into its commands.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "drivers/driver.h"

namespace carryover {

// A piece of a copy, which has a slot of scratch blocks to itself. Its last block is its own, too,
// where `bytes` does not fill it.
struct MediaPiece {
  Iova source = 0;
  Iova destination = 0;
  std::uint32_t bytes = 0;
  std::uint64_t first_block = 0;
  std::uint32_t blocks = 0;
};

class MediaCopies {
 public:
  enum class State : std::uint8_t { kFree, kToWrite, kWriting, kToRead, kReading };
  struct Slot {
    MediaPiece piece;
    State state = State::kFree;
  };
  struct Layout {
    BlockRange scratch;
    std::uint32_t block_size = 0;   // bytes
    std::uint32_t piece_bytes = 0;  // of the largest piece, a multiple of block_size
    std::uint32_t slots = 0;        // pieces that may be outstanding
  };
  // EINVAL: the scratch range is too small, or ends beyond the last of the disk's `blocks`.
  [[nodiscard]] static Result<MediaCopies> Create(const Layout& layout, std::uint64_t blocks);

  [[nodiscard]] bool HasRoom(std::span<const DmaCopy> copies) const;
  // Takes copies there is room for; their pieces are to be written.
  void Add(std::span<const DmaCopy> copies);

  // The slot whose piece is to be written next, or read; it is then being written, or read.
  [[nodiscard]] std::optional<std::uint32_t> NextToWrite();
  [[nodiscard]] std::optional<std::uint32_t> NextToRead();
  // Valid while the slot is in use.
  [[nodiscard]] const MediaPiece& piece(std::uint32_t slot) const { return slots_[slot].piece; }

  // The command on this slot is done: after a write the piece is to be read, after a read its slot
  // is free again. False if no command is on this slot, of a device that completes what it was not
  // given.
  [[nodiscard]] bool Completed(std::uint32_t slot);
  // False also for a slot that there is not.
  [[nodiscard]] bool Is(State state, std::uint32_t slot) const {
    return slot < slots_.size() && slots_[slot].state == state;
  }
  // Pieces that are being written or read: commands that the device has.
  [[nodiscard]] std::size_t commands() const;

  // All slots, for another object to go on with, which has the same layout. The other takes as many
  // as it has.
  [[nodiscard]] std::span<const Slot> slots() const { return slots_; }
  // EINVAL: not what slots() gave. Nothing is outstanding then.
  [[nodiscard]] Result<void> GoOnWith(std::span<const Slot> slots);

  // Pieces that are not read yet.
  [[nodiscard]] std::size_t outstanding() const { return slots_.size() - free_.size(); }

  // The device has forgotten its commands: every outstanding piece is to be written again.
  void BeginAgain();
  void Forget();

 private:
  explicit MediaCopies(const Layout& layout);
  [[nodiscard]] std::size_t PiecesOf(const DmaCopy& copy) const;
  [[nodiscard]] std::optional<std::uint32_t> Next(std::deque<std::uint32_t>& queue, State state);

  Layout layout_;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
  std::deque<std::uint32_t> to_write_;
  std::deque<std::uint32_t> to_read_;
};

}  // namespace carryover
