// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/vfio_user/message.h"

#include <gmock/gmock.h>

#include "drivers/access/result_matchers.h"

namespace carryover::vfio_user {
namespace {

Result<Header> Parse(const Header& header) {
  return ParseHeader(std::as_bytes(std::span(&header, 1)));
}

TEST(VfioUserMessage, TakesRequestsAndReplies) {
  ASSERT_OK_AND_ASSIGN(const Header request,
                       Parse({.id = 7, .command = Command::kReset, .size = 16}));
  EXPECT_EQ(request.id, 7);
  EXPECT_EQ(request.command, Command::kReset);
  EXPECT_FALSE(request.is_reply());
  EXPECT_TRUE(request.wants_reply());
  ASSERT_OK_AND_ASSIGN(const Header reply,
                       Parse({.size = 16, .flags = Header::kReply | Header::kError, .error = 5}));
  EXPECT_TRUE(reply.is_reply());
  EXPECT_OK(Parse({.size = kMaxMessage, .flags = Header::kNoReply}));
}

TEST(VfioUserMessage, RefusesSizesThatNoMessageHas) {
  for (const std::uint32_t size : {0U, 15U, static_cast<std::uint32_t>(kMaxMessage + 1), ~0U}) {
    EXPECT_THAT(Parse({.size = size}), FailsWith(EPROTO)) << size;
  }
}

TEST(VfioUserMessage, RefusesFlagsThatAreNotDefined) {
  for (const std::uint32_t flags :
       {2U, 0xfU, 1U << 6, 1U << 31, Header::kError, Header::kReply | Header::kNoReply}) {
    EXPECT_THAT(Parse({.size = 16, .flags = flags}), FailsWith(EPROTO)) << flags;
  }
}

TEST(VfioUserMessage, ARequestHasNoError) {
  EXPECT_THAT(Parse({.size = 16, .error = EINVAL}), FailsWith(EPROTO));
}

TEST(VfioUserMessage, RefusesHalfAHeader) {
  const std::array<std::byte, sizeof(Header) - 1> bytes{};
  EXPECT_THAT(ParseHeader(bytes), FailsWith(EPROTO));
}

TEST(VfioUserMessage, GetsWhatIsThere) {
  const std::vector<std::byte> payload{std::byte{1}, std::byte{2}, std::byte{3}};
  ASSERT_OK_AND_ASSIGN(const std::uint16_t value, Get<std::uint16_t>(payload, 1));
  EXPECT_EQ(value, 0x0302);
  EXPECT_THAT(Get<std::uint16_t>(payload, 2), FailsWith(EPROTO));
  EXPECT_THAT(Get<std::uint16_t>(payload, 4), FailsWith(EPROTO));
  EXPECT_THAT(Get<std::uint32_t>(payload), FailsWith(EPROTO));
}

}  // namespace
}  // namespace carryover::vfio_user
