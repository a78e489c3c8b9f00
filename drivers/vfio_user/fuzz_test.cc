// SPDX-License-Identifier: GPL-2.0-only
// What a broken or hostile peer may send: the server refuses it or closes the connection. Built
// with sanitizers, this also sees what it touches. The inputs are the same in each run.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <random>

#include "drivers/dmac/model/dmac_model.h"
#include "drivers/vfio_user/fake_client.h"
#include "drivers/vfio_user/server.h"

namespace carryover::vfio_user {
namespace {

class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed) {}

  std::uint64_t Below(std::uint64_t limit) { return random_() % limit; }

  // A request that the server knows, with a payload that may be right.
  std::vector<std::byte> Request() {
    std::vector<std::byte> payload;
    const auto command = static_cast<Command>(Below(17));
    switch (command) {
      case Command::kRegionRead:
      case Command::kRegionWrite: {
        const std::uint32_t count =
            Below(4) == 0 ? static_cast<std::uint32_t>(random_()) : 1U << Below(4);
        Append(payload, RegionAccess{Below(0x120) / count * count,
                                     static_cast<std::uint32_t>(Below(10)), count});
        if (command == Command::kRegionWrite) payload.resize(payload.size() + count % 70000);
        break;
      }
      case Command::kSetIrqs:
        Append(payload, std::array<std::uint32_t, 5>{20, static_cast<std::uint32_t>(Below(64)),
                                                     static_cast<std::uint32_t>(Below(6)),
                                                     static_cast<std::uint32_t>(Below(10)),
                                                     static_cast<std::uint32_t>(Below(10))});
        break;
      default:
        payload.resize(Below(64));
        for (std::byte& byte : payload) byte = static_cast<std::byte>(random_());
    }
    for (std::size_t i = sizeof(RegionAccess); i < payload.size(); ++i) {
      payload[i] = static_cast<std::byte>(random_());
    }
    std::vector<std::byte> message;
    Append(message, Header{.id = static_cast<std::uint16_t>(random_()),
                           .command = command,
                           .size = static_cast<std::uint32_t>(sizeof(Header) + payload.size()),
                           .flags = Below(8) == 0 ? Header::kNoReply : 0});
    message.insert(message.end(), payload.begin(), payload.end());
    return message;
  }

  // Some bits flipped, or the end cut off.
  void Damage(std::vector<std::byte>& message) {
    for (std::uint64_t flips = Below(4); flips > 0; --flips) {
      message[Below(std::min<std::size_t>(message.size(), 64))] ^= std::byte{1} << Below(8);
    }
    if (Below(20) == 0) message.resize(Below(message.size()) + 1);
  }

 private:
  std::mt19937_64 random_;
};

TEST(VfioUserFuzz, TheParserTakesAnyBytes) {
  Mutator mutator(1);
  std::size_t taken = 0;
  for (int i = 0; i < 100'000; ++i) {
    std::vector<std::byte> message = mutator.Request();
    mutator.Damage(message);
    const auto header = ParseHeader(message);
    if (!header) continue;
    ++taken;
    EXPECT_GE(header->size, sizeof(Header));
    EXPECT_LE(header->size, kMaxMessage);
    const auto payload = std::span(message).subspan(sizeof(Header));
    if (const auto access = ParseRegionAccess(header->command, payload)) {
      EXPECT_LE(access->count, kMaxTransfer);
    }
  }
  EXPECT_GT(taken, 50'000U) << "hardly anything got beyond the header";
}

// Whole sessions: whatever comes, every step ends in time, by an answer or with the connection.
TEST(VfioUserFuzz, TheServerOutlivesAnySession) {
  std::size_t closed = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Mutator mutator(seed);
    SocketPair pair;
    const int client = pair.client.get();
    EventLog log;
    Server server(
        std::move(pair.server),
        [](ModelHost& host) { return std::make_unique<dmac::DmacModel>(host); }, log);
    bool open = true;
    for (int i = 0; open && i < 50; ++i) {
      std::vector<std::byte> message = mutator.Request();
      if (mutator.Below(3) == 0) mutator.Damage(message);
      if (i == 49) shutdown(client, SHUT_WR);  // it does not wait for what will never come
      (void)send(client, message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      // What was announced and is not there would be waited for: the client ends here.
      const bool whole =
          message.size() >= sizeof(Header) && Get<Header>(message)->size == message.size();
      if (!whole) shutdown(client, SHUT_WR);
      open = server.Step().has_value();
      std::array<std::byte, 65536> answer;
      while (recv(client, answer.data(), answer.size(), MSG_DONTWAIT) > 0) continue;
    }
    if (!open) ++closed;
  }
  EXPECT_GT(closed, 100U);
}

}  // namespace
}  // namespace carryover::vfio_user
