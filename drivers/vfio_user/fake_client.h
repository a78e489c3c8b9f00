// SPDX-License-Identifier: GPL-2.0-only
// QEMU's side of a connection, for unit tests: has some memory, in which the model's DMA ends.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <functional>
#include <vector>

#include "drivers/vfio_user/connection.h"
#include "drivers/vfio_user/request.h"

namespace carryover::vfio_user {

// Both ends of a unix stream socket.
struct SocketPair {
  SocketPair();
  UniqueFd server;
  UniqueFd client;
};

class FakeClient {
 public:
  static constexpr std::uint64_t kBase = 0x10000;

  explicit FakeClient(UniqueFd socket) : connection_(std::move(socket)), memory_(0x40000) {}

  [[nodiscard]] std::vector<std::byte>& memory() { return memory_; }
  [[nodiscard]] Connection& connection() { return connection_; }
  // All DMA is refused.
  void set_refuses(bool refuses) { refuses_ = refuses; }
  // Called once, before the next DMA request is answered.
  void set_before_dma(std::function<void()> call) { before_dma_ = std::move(call); }
  [[nodiscard]] std::size_t dma_requests() const { return dma_requests_; }

  // What comes first on a connection.
  void Negotiate();
  // Sends a request and gives its reply, answering DMA that comes before.
  Message Ask(Command command, std::span<const std::byte> payload, std::span<const int> fds = {});
  void SendWithFds(Header header, std::span<const std::byte> payload, std::span<const int> fds);
  // A piece of a message, with at least one descriptor.
  void SendBytes(std::span<const std::byte> bytes, std::span<const int> fds);
  // Answers DMA requests until none has come for `quiet`, or until `end`.
  void ServeDma(std::chrono::milliseconds quiet = std::chrono::milliseconds(30),
                Deadline end = Deadline::After(std::chrono::seconds(10)));

  std::uint64_t ReadRegion(std::uint32_t region, std::uint64_t offset, std::uint32_t size);
  void WriteRegion(std::uint32_t region, std::uint64_t offset, std::uint32_t size,
                   std::uint64_t value);
  // Without a reply.
  void PostRegion(std::uint32_t region, std::uint64_t offset, std::uint32_t size,
                  std::uint64_t value);

  template <typename T>
  static std::vector<std::byte> Bytes(const T& object) {
    std::vector<std::byte> bytes;
    Append(bytes, object);
    return bytes;
  }

 private:
  void AnswerDma(const Message& request);
  Message Next();

  Connection connection_;
  std::vector<std::byte> memory_;
  bool refuses_ = false;
  std::function<void()> before_dma_;
  std::size_t dma_requests_ = 0;
  std::uint16_t next_id_ = 100;
};

}  // namespace carryover::vfio_user
