// SPDX-License-Identifier: GPL-2.0-only
// What a broken or hostile peer may send: the server refuses it or closes the connection. Built
// with sanitizers, this also sees what it touches. The inputs are the same in each run; fuzzer.cc
// looks for others.
#include <gtest/gtest.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <algorithm>
#include <map>
#include <random>

#include "drivers/dmac/registers.h"
#include "drivers/vfio_user/fuzz_session.h"
#include "drivers/vfio_user/request.h"
#include "drivers/vfio_user/server.h"

namespace carryover::vfio_user {
namespace {

using Bytes = std::vector<std::byte>;

constexpr std::uint64_t kRing = 0x10000;
constexpr std::uint64_t kWriteBack = 0x20000;
constexpr std::uint64_t kSource = 0x30000;
constexpr std::uint64_t kDestination = 0x40000;

Bytes Assemble(Header header, const Bytes& payload) {
  Bytes message;
  header.size = static_cast<std::uint32_t>(sizeof(Header) + payload.size());
  Append(message, header);
  message.insert(message.end(), payload.begin(), payload.end());
  return message;
}

template <typename T>
Bytes WriteOf(std::uint32_t region, std::uint64_t offset, T value) {
  Bytes payload;
  Append(payload, RegionAccess{offset, region, sizeof(value)});
  Append(payload, value);
  return Assemble({.command = Command::kRegionWrite, .flags = Header::kNoReply}, payload);
}

Bytes ReplyOf(std::uint16_t id, Command command, const DmaAccess& access, const Bytes& data) {
  Bytes payload;
  Append(payload, access);
  payload.insert(payload.end(), data.begin(), data.end());
  return Assemble({.id = id, .command = command, .flags = Header::kReply}, payload);
}

class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed) {}

  std::uint64_t Below(std::uint64_t limit) { return random_() % limit; }
  std::uint32_t Word() { return static_cast<std::uint32_t>(random_()); }

  // A request that the server knows, with a payload that may be right.
  Bytes Request() {
    Bytes payload;
    const auto command = static_cast<Command>(2 + Below(14));
    const auto few = [this](std::uint64_t limit) {
      return static_cast<std::uint32_t>(Below(20) == 0 ? Word() : Below(limit));
    };
    switch (command) {
      case Command::kRegionRead:
      case Command::kRegionWrite: {
        const std::uint32_t count = 1U << Below(4);
        Append(payload, RegionAccess{Below(0x120) / count * count, few(10),
                                     Below(10) == 0 ? Word() : count});
        if (command == Command::kRegionWrite) payload.resize(payload.size() + count);
        break;
      }
      case Command::kSetIrqs:
        Append(payload, SetIrqs{20, 1U << Below(3) | 8U << Below(3), few(6), few(10), few(10)});
        break;
      case Command::kDmaMap:
        Append(payload, DmaMap{32, few(4), Below(1U << 30), random_(), 4096});
        break;
      case Command::kDmaUnmap:
        Append(payload, DmaUnmap{24, few(4), random_(), few(1U << 20)});
        break;
      case Command::kGetInfo:
      case Command::kGetIrqInfo:
        Append(payload, std::array<std::uint32_t, 4>{16, 0, few(6), 0});
        break;
      case Command::kGetRegionInfo:
        Append(payload, std::array<std::uint32_t, 8>{32, 0, few(10)});
        break;
      default:
        payload.resize(Below(64));
        std::ranges::generate(payload, [this] { return static_cast<std::byte>(random_()); });
    }
    return Assemble({.id = static_cast<std::uint16_t>(random_()),
                     .command = command,
                     .flags = Below(8) == 0 ? Header::kNoReply : 0},
                    payload);
  }

  // Some bits flipped, or the end cut off.
  void Damage(Bytes& message) {
    for (std::uint64_t flips = Below(4); flips > 0; --flips) {
      message[Below(std::min<std::size_t>(message.size(), 64))] ^= std::byte{1} << Below(8);
    }
    if (Below(20) == 0) message.resize(Below(message.size()) + 1);
  }

  // One that lets the device copy `descriptors` times, with other requests in between: `damaged` of
  // a thousand messages are damaged.
  Bytes Session(std::uint32_t descriptors, std::uint64_t damaged) {
    Bytes session;
    const auto add = [&](Bytes message) {
      if (Below(1000) < damaged) Damage(message);
      session.insert(session.end(), message.begin(), message.end());
    };
    const auto others = [&] {
      for (std::uint64_t i = Below(4); i > 0; --i) {
        add(damaged != 0 && Below(100) == 0 ? Request() : ConfigRead());
      }
    };
    add(WriteOf<std::uint16_t>(VFIO_PCI_CONFIG_REGION_INDEX, PCI_COMMAND, PCI_COMMAND_MASTER));
    add(WriteOf<std::uint64_t>(0, dmac::RingBase::kOffset, kRing));
    add(WriteOf<std::uint32_t>(0, dmac::RingSize::kOffset, 64));
    add(WriteOf<std::uint64_t>(0, dmac::WriteBack::kOffset, kWriteBack));
    add(WriteOf<std::uint32_t>(0, dmac::Control::kOffset, dmac::Control::kEnable));
    others();
    add(WriteOf<std::uint32_t>(0, dmac::Tail::kOffset, descriptors));
    std::uint16_t id = 0;
    for (std::uint32_t i = 0; i < descriptors; ++i) {
      const auto length = static_cast<std::uint32_t>(1 + Below(512));
      Bytes descriptor;
      Append(descriptor,
             dmac::Descriptor{.source = kSource, .destination = kDestination, .length = length});
      others();
      add(ReplyOf(id++, Command::kDmaRead, {kRing + i * descriptor.size(), descriptor.size()},
                  descriptor));
      others();
      add(ReplyOf(id++, Command::kDmaRead, {kSource, length}, Bytes(length)));
      others();
      add(ReplyOf(id++, Command::kDmaWrite, {kDestination, length}, {}));
    }
    others();
    add(ReplyOf(id++, Command::kDmaWrite, {kWriteBack, sizeof(dmac::WrittenBack)}, {}));
    for (std::uint64_t i = damaged == 0 ? 0 : Below(40); i > 0; --i) add(Request());
    return session;
  }

 private:
  Bytes ConfigRead() {
    Bytes payload;
    Append(payload, RegionAccess{4 * Below(16), VFIO_PCI_CONFIG_REGION_INDEX, 4});
    return Assemble({.command = Command::kRegionRead}, payload);
  }

  std::mt19937_64 random_;
};

TEST(VfioUserFuzz, TheParsersTakeAnyBytes) {
  Mutator mutator(1);
  std::map<Command, std::size_t> taken;
  for (int i = 0; i < 100'000; ++i) {
    Bytes message = mutator.Request();
    mutator.Damage(message);
    const auto header = ParseHeader(message);
    if (!header) continue;
    EXPECT_GE(header->size, sizeof(Header));
    EXPECT_LE(header->size, kMaxMessage);
    const auto payload = std::span(message).subspan(sizeof(Header));
    // All of them, as any bytes may be behind any command.
    if (const auto access = ParseRegionRead(payload)) {
      EXPECT_LE(access->count, kMaxTransfer);
      ++taken[Command::kRegionRead];
    }
    if (const auto access = ParseRegionWrite(payload)) {
      EXPECT_EQ(access->count, payload.size() - sizeof(RegionAccess));
      ++taken[Command::kRegionWrite];
    }
    if (ParseVersion(payload)) ++taken[Command::kVersion];
    if (ParseDmaMap(payload)) ++taken[Command::kDmaMap];
    if (ParseDmaUnmap(payload)) ++taken[Command::kDmaUnmap];
    if (ParseGetInfo(payload)) ++taken[Command::kGetInfo];
    if (ParseGetRegionInfo(payload)) ++taken[Command::kGetRegionInfo];
    if (ParseGetIrqInfo(payload)) ++taken[Command::kGetIrqInfo];
    if (ParseSetIrqs(payload, mutator.Below(3))) ++taken[Command::kSetIrqs];
    const DmaAccess asked{mutator.Below(0x120), mutator.Below(16)};
    (void)ParseDmaReadReply(payload, asked);
    if (ParseDmaWriteReply(payload, asked)) ++taken[Command::kDmaWrite];
  }
  EXPECT_EQ(taken.size(), 10U);
  for (const auto& [command, times] : taken) {
    EXPECT_GT(times, 20U) << "hardly anything is taken: command " << static_cast<int>(command);
  }
}

TEST(VfioUserFuzz, AnUndamagedSessionCopies) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const SessionEnd end = RunSession(Mutator(seed).Session(8, 0));
    EXPECT_EQ(end.error, Server::kEnded);
    EXPECT_EQ(end.copied, 8U);
  }
}

// Whole sessions: whatever comes, each ends in time.
TEST(VfioUserFuzz, TheServerOutlivesAnySession) {
  std::map<int, std::size_t> ends;
  std::size_t copied = 0;
  for (std::uint64_t seed = 1; seed <= 1500; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    const SessionEnd end = RunSession(Mutator(seed).Session(8, 1 + seed % 50));
    ++ends[end.error];
    copied += end.copied;
  }
  EXPECT_GT(ends[EPROTO], 300U);
  EXPECT_GT(ends[Server::kEnded], 100U);
  EXPECT_GT(copied, 500U) << "hardly any DMA was done";
}

}  // namespace
}  // namespace carryover::vfio_user
