// SPDX-License-Identifier: GPL-2.0-only
// A submission queue and its completion queue, in memory shared with the controller.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "drivers/access/mmio.h"
#include "drivers/nvme/commands.h"

namespace carryover::nvme {

class QueuePair {
 public:
  // Where both stand.
  struct Position {
    std::uint16_t tail = 0;  // of the submission queue
    std::uint16_t head = 0;  // of the completion queue
    bool phase = true;       // of the next completion

    [[nodiscard]] std::uint32_t Pack() const {
      return tail | std::uint32_t{head} << 15 | (phase ? 1U << 30 : 0);
    }
    [[nodiscard]] static Position Unpack(std::uint32_t word) {
      return {.tail = static_cast<std::uint16_t>(word & 0x7fff),
              .head = static_cast<std::uint16_t>(word >> 15 & 0x7fff),
              .phase = (word & 1U << 30) != 0};
    }
  };

  QueuePair() = default;
  // Empty queues; what is in them does not matter.
  QueuePair(unsigned id, std::span<Command> submissions, std::span<Completion> completions,
            Mmio& bar, std::size_t stride);
  // Queues that stand there already; nothing is written.
  [[nodiscard]] static QueuePair At(unsigned id, std::span<Command> submissions,
                                    std::span<Completion> completions, Mmio& bar,
                                    std::size_t stride, Position position);
  [[nodiscard]] Position position() const { return position_; }
  [[nodiscard]] std::uint32_t entries() const {
    return static_cast<std::uint32_t>(submissions_.size());
  }

  // Commands that were put, and whose completions were not taken. Both rings have as many entries.
  [[nodiscard]] std::uint32_t outstanding() const {
    return (position_.tail + entries() - position_.head) % entries();
  }
  // One entry stays unused: a ring whose tail meets its head is empty.
  [[nodiscard]] bool full() const { return outstanding() == entries() - 1; }

  // Puts a command behind the last; the controller sees it with Ring().
  void Put(const Command& command);
  void Ring();
  // The next completion, if it is there. Release() gives its entry back to the controller.
  [[nodiscard]] std::optional<Completion> Take();
  void Release();
  // Completions that are there, and were not taken.
  [[nodiscard]] std::uint32_t available() const;
  // There is such a position, nothing was put since, and no more is completed than was outstanding.
  [[nodiscard]] bool IsAsLeft() const;
  // There is such a position.
  [[nodiscard]] bool IsWithin() const {
    return position_.tail < entries() && position_.head < entries();
  }

 private:
  void MarkTail();

  unsigned id_ = 0;
  std::span<Command> submissions_;
  std::span<Completion> completions_;
  Mmio* bar_ = nullptr;
  std::size_t stride_ = 0;
  Position position_;
};

}  // namespace carryover::nvme
