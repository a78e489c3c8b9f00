// SPDX-License-Identifier: GPL-2.0-only
// The driver's account of two rings through which frames are looped back: one receive descriptor a
// frame, and a transmit descriptor for its header and for each piece of its payload.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "drivers/ethernet_loopback/frames.h"

namespace carryover::ethernet_loopback {

// Frames are posted in batches, and arrive in order. Descriptors are the driver's again when all
// that were posted have arrived and are sent: Forget().
class PostedFrames {
 public:
  // Descriptors of each ring, and the largest payload of a frame, a multiple of a page.
  PostedFrames(std::uint32_t rx_size, std::uint32_t tx_size, std::uint32_t payload)
      : rx_size_(rx_size), tx_size_(tx_size), payload_(payload) {
    frames_.reserve(rx_size);
  }

  // Nothing is posted, and the next descriptors are these.
  void Forget(std::uint32_t rx_tail, std::uint32_t tx_tail) {
    rx_tail_ = rx_tail;
    tx_tail_ = tx_tail;
    tx_posted_ = 0;
    arrived_ = 0;
    frames_.clear();
  }
  void Forget() { Forget(rx_tail_, tx_tail_); }

  [[nodiscard]] bool HasRoom(std::span<const DmaCopy> copies) const {
    std::size_t frames = frames_.size();
    std::size_t descriptors = tx_posted_;
    for (const DmaCopy& copy : copies) {
      ForEachFrame(copy, payload_, [&](const Frame& frame) {
        ++frames;
        descriptors += TxDescriptors(frame);
      });
    }
    // A ring whose tail meets its head is empty: one descriptor stays unused.
    return frames < rx_size_ && descriptors < tx_size_;
  }

  // Calls `put(frame, last)` for each frame of the copies; `last`: of the batch.
  template <typename Put>
  void Post(std::span<const DmaCopy> copies, Put put) {
    const std::size_t before = frames_.size();
    for (const DmaCopy& copy : copies) {
      ForEachFrame(copy, payload_, [this](const Frame& frame) { frames_.push_back(frame); });
    }
    PutFrom(before, put);
  }
  // Posts what had not arrived again, from the first descriptors of both rings. `start`, which
  // returns a Result<void>, hands the empty rings to the device before that.
  template <typename Start, typename Put>
  [[nodiscard]] Result<void> PostAgain(Start start, Put put) {
    std::vector<Frame> again(frames_.begin() + static_cast<std::ptrdiff_t>(arrived_),
                             frames_.end());
    Forget(0, 0);
    if (auto started = start(); !started) return started;
    frames_ = std::move(again);
    PutFrom(0, put);
    return {};
  }

  // Index of the next descriptor, for a frame that is being put.
  [[nodiscard]] std::uint32_t TakeRx() {
    return std::exchange(rx_tail_, (rx_tail_ + 1) % rx_size_);
  }
  [[nodiscard]] std::uint32_t TakeTx() {
    ++tx_posted_;
    tx_last_ = tx_tail_;
    return std::exchange(tx_tail_, (tx_tail_ + 1) % tx_size_);
  }

  [[nodiscard]] bool empty() const { return frames_.empty(); }
  [[nodiscard]] std::size_t size() const { return frames_.size(); }
  [[nodiscard]] std::size_t arrived() const { return arrived_; }
  [[nodiscard]] bool AllArrived() const { return arrived_ == frames_.size(); }
  // When the last frame has arrived, its transmit descriptors are the device's until it says so.
  [[nodiscard]] std::size_t Outstanding() const {
    return frames_.empty() ? 0 : std::max<std::size_t>(frames_.size() - arrived_, 1);
  }
  // The frame that arrives next, of those posted, and the receive descriptor that it is meant for.
  [[nodiscard]] const Frame& Next() const { return frames_[arrived_]; }
  [[nodiscard]] std::uint32_t NextSlot() const {
    return static_cast<std::uint32_t>((rx_tail_ + rx_size_ - (frames_.size() - arrived_)) %
                                      rx_size_);
  }
  void NextArrived() { ++arrived_; }

  [[nodiscard]] std::uint32_t rx_tail() const { return rx_tail_; }
  [[nodiscard]] std::uint32_t tx_tail() const { return tx_tail_; }
  [[nodiscard]] std::uint32_t tx_last() const { return tx_last_; }  // of those posted

 private:
  template <typename Put>
  void PutFrom(std::size_t first, Put put) {
    for (std::size_t i = first; i < frames_.size(); ++i) put(frames_[i], i + 1 == frames_.size());
  }

  std::uint32_t rx_size_;
  std::uint32_t tx_size_;
  std::uint32_t payload_;
  std::uint32_t rx_tail_ = 0;
  std::uint32_t tx_tail_ = 0;
  std::uint32_t tx_posted_ = 0;
  std::uint32_t tx_last_ = 0;
  std::vector<Frame> frames_;
  std::size_t arrived_ = 0;
};

}  // namespace carryover::ethernet_loopback
