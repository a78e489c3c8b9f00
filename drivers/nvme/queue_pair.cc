// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/nvme/queue_pair.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "drivers/nvme/registers.h"

namespace carryover::nvme {
namespace {

// An opcode that no command of ours has: of the entry at the tail, which is not posted.
constexpr std::uint8_t kNotPosted = 0xff;

}  // namespace

QueuePair::QueuePair(unsigned id, std::span<Command> submissions, std::span<Completion> completions,
                     Mmio& bar, std::size_t stride)
    : id_(id), submissions_(submissions), completions_(completions), bar_(&bar), stride_(stride) {
  // Phases begin with 1 (Base 4.2.4.1): old ones must not be taken for new.
  std::ranges::fill(completions_, Completion{});
  // No mark of an earlier tail is left.
  std::ranges::fill(submissions_, Command{});
  MarkTail();
}

QueuePair QueuePair::At(unsigned id, std::span<Command> submissions,
                        std::span<Completion> completions, Mmio& bar, std::size_t stride,
                        Position position) {
  QueuePair queues;
  queues.id_ = id;
  queues.submissions_ = submissions;
  queues.completions_ = completions;
  queues.bar_ = &bar;
  queues.stride_ = stride;
  queues.position_ = position;
  return queues;
}

void QueuePair::MarkTail() { submissions_[position_.tail].opcode = kNotPosted; }

void QueuePair::Put(const Command& command) {
  submissions_[position_.tail] = command;
  position_.tail = static_cast<std::uint16_t>((position_.tail + 1U) % submissions_.size());
}

void QueuePair::Ring() {
  MarkTail();
  DmaWriteBarrier();
  bar_->Write32(Doorbells::SubmissionTail(id_, stride_), position_.tail);
}

std::optional<Completion> QueuePair::Take() {
  Completion& next = completions_[position_.head];
  const std::uint16_t status = std::atomic_ref(next.status).load(std::memory_order_acquire);
  if (((status & Completion::kPhase) != 0) != position_.phase) return std::nullopt;
  DmaReadBarrier();
  const Completion taken = next;
  position_.head = static_cast<std::uint16_t>((position_.head + 1U) % completions_.size());
  if (position_.head == 0) position_.phase = !position_.phase;
  return taken;
}

void QueuePair::Release() {
  bar_->Write32(Doorbells::CompletionHead(id_, stride_), position_.head);
}

std::uint32_t QueuePair::available() const {
  std::uint32_t count = 0;
  bool phase = position_.phase;
  for (std::uint32_t at = position_.head; count < entries(); ++count) {
    const std::uint16_t status =
        std::atomic_ref(completions_[at].status).load(std::memory_order_acquire);
    if (((status & Completion::kPhase) != 0) != phase) break;
    if (++at == entries()) {
      at = 0;
      phase = !phase;
    }
  }
  return count;
}

bool QueuePair::IsAsLeft() const {
  return IsWithin() && submissions_[position_.tail].opcode == kNotPosted &&
         available() <= outstanding();
}

}  // namespace carryover::nvme
