// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/vfio_user/fake_client.h"

#include <sys/socket.h>

#include <utility>

#include "drivers/access/await_readable.h"

namespace carryover::vfio_user {
namespace {

Deadline Soon() { return Deadline::After(std::chrono::seconds(10)); }

}  // namespace

SocketPair::SocketPair() {
  int fds[2] = {-1, -1};
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
  server = UniqueFd(fds[0]);
  client = UniqueFd(fds[1]);
}

void FakeClient::Negotiate() {
  const Message reply = Ask(Command::kVersion, Bytes(Version{0, 1}));
  EXPECT_EQ(reply.header.flags & Header::kError, 0U);
}

Message FakeClient::Next() {
  auto message = connection_.Receive(Soon());
  EXPECT_TRUE(message) << message.error().ToString();
  if (!message || !*message) {
    ADD_FAILURE() << "the server has closed the connection";
    return {};
  }
  return std::move(**message);
}

void FakeClient::SendBytes(std::span<const std::byte> bytes, std::span<const int> fds) {
  std::vector<std::byte> copy(bytes.begin(), bytes.end());
  iovec part{.iov_base = copy.data(), .iov_len = copy.size()};
  std::vector<char> control(CMSG_SPACE(fds.size_bytes()));
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* const rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(fds.size_bytes());
  std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
  EXPECT_EQ(sendmsg(connection_.fd(), &message, 0), static_cast<ssize_t>(copy.size()));
}

void FakeClient::SendWithFds(Header header, std::span<const std::byte> payload,
                             std::span<const int> fds) {
  if (fds.empty()) {
    EXPECT_TRUE(connection_.Send(header, payload, Soon()));
    return;
  }
  header.size = static_cast<std::uint32_t>(sizeof(header) + payload.size());
  std::vector<std::byte> bytes = Bytes(header);
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  SendBytes(bytes, fds);
}

Message FakeClient::Ask(Command command, std::span<const std::byte> payload,
                        std::span<const int> fds) {
  const Header header{.id = next_id_++, .command = command};
  SendWithFds(header, payload, fds);
  while (!testing::Test::HasFailure()) {
    Message message = Next();
    if (message.header.is_reply()) {
      EXPECT_EQ(message.header.id, header.id);
      EXPECT_EQ(message.header.command, command);
      return message;
    }
    AnswerDma(message);
  }
  return {};
}

void FakeClient::AnswerDma(const Message& request) {
  if (const auto call = std::exchange(before_dma_, nullptr)) call();
  ++dma_requests_;
  const auto access = Get<DmaAccess>(request.payload);
  ASSERT_TRUE(access);
  const bool write = request.header.command == Command::kDmaWrite;
  const std::span<const std::byte> data = std::span(request.payload).subspan(sizeof(DmaAccess));
  ASSERT_EQ(data.size(), write ? access->count : 0);
  ASSERT_LE(access->count, kMaxTransfer);
  Header reply{.id = request.header.id, .command = request.header.command, .flags = Header::kReply};
  const bool known = access->address >= kBase && access->address - kBase <= memory_.size() &&
                     access->count <= memory_.size() - (access->address - kBase);
  if (refuses_ || !known) {
    reply.flags |= Header::kError;
    reply.error = EINVAL;
    EXPECT_TRUE(connection_.Send(reply, {}, Soon()));
    return;
  }
  const auto memory = std::span(memory_).subspan(access->address - kBase, access->count);
  std::vector<std::byte> answer = Bytes(*access);
  if (write) {
    std::ranges::copy(data, memory.begin());
    answer.clear();  // as QEMU does
  } else {
    answer.insert(answer.end(), memory.begin(), memory.end());
  }
  EXPECT_TRUE(connection_.Send(reply, answer, Soon()));
}

void FakeClient::ServeDma(std::chrono::milliseconds quiet, Deadline end) {
  while (!end.Passed() && AwaitReadable(connection_.fd(), Deadline::After(quiet))) {
    const Message message = Next();
    if (message.header.size == 0) return;
    ASSERT_FALSE(message.header.is_reply());
    AnswerDma(message);
  }
}

std::uint64_t FakeClient::ReadRegion(std::uint32_t region, std::uint64_t offset,
                                     std::uint32_t size) {
  const Message reply = Ask(Command::kRegionRead, Bytes(RegionAccess{offset, region, size}));
  EXPECT_EQ(reply.payload.size(), sizeof(RegionAccess) + size);
  std::uint64_t value = 0;
  if (reply.payload.size() == sizeof(RegionAccess) + size) {
    std::memcpy(&value, reply.payload.data() + sizeof(RegionAccess), size);
  }
  return value;
}

void FakeClient::WriteRegion(std::uint32_t region, std::uint64_t offset, std::uint32_t size,
                             std::uint64_t value) {
  std::vector<std::byte> payload = Bytes(RegionAccess{offset, region, size});
  const auto data = Bytes(value);
  payload.insert(payload.end(), data.begin(), data.begin() + size);
  const Message reply = Ask(Command::kRegionWrite, payload);
  EXPECT_EQ(reply.header.flags & Header::kError, 0U);
}

void FakeClient::PostRegion(std::uint32_t region, std::uint64_t offset, std::uint32_t size,
                            std::uint64_t value) {
  std::vector<std::byte> payload = Bytes(RegionAccess{offset, region, size});
  const auto data = Bytes(value);
  payload.insert(payload.end(), data.begin(), data.begin() + size);
  EXPECT_TRUE(connection_.Send(
      {.id = next_id_++, .command = Command::kRegionWrite, .flags = Header::kNoReply}, payload,
      Soon()));
}

}  // namespace carryover::vfio_user
