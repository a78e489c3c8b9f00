// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/vfio_user/request.h"

#include <gmock/gmock.h>
#include <linux/vfio.h>

#include <limits>
#include <string>

#include "drivers/access/result_matchers.h"

namespace carryover::vfio_user {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t kMax64 = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint32_t kMax32 = std::numeric_limits<std::uint32_t>::max();

// The object, with `more` bytes behind it; fewer than it has if negative.
template <typename T>
std::vector<std::byte> Bytes(const T& object, int more = 0) {
  std::vector<std::byte> bytes;
  Append(bytes, object);
  bytes.resize(static_cast<std::size_t>(static_cast<int>(bytes.size()) + more));
  return bytes;
}

std::vector<std::byte> VersionBytes(const std::string& text) {
  std::vector<std::byte> bytes = Bytes(Version{.major = 0, .minor = 1});
  for (const char c : text) bytes.push_back(static_cast<std::byte>(c));
  return bytes;
}

TEST(VfioUserRequest, AVersionMayHaveALimit) {
  ASSERT_OK_AND_ASSIGN(const Proposal bare, ParseVersion(VersionBytes("")));
  EXPECT_EQ(bare.version.minor, 1);
  EXPECT_EQ(bare.max_transfer, 1024U * 1024);
  for (const std::string text : {R"({})", R"({"capabilities":{}})", R"({"migration":[1]})"}) {
    ASSERT_OK_AND_ASSIGN(const Proposal proposal, ParseVersion(VersionBytes(text + '\0')));
    EXPECT_EQ(proposal.max_transfer, 1024U * 1024) << text;
  }
  const std::string limited = R"({"capabilities":{"max_data_xfer_size":4096,"max_msg_fds":8}})";
  ASSERT_OK_AND_ASSIGN(const Proposal proposal, ParseVersion(VersionBytes(limited + '\0')));
  EXPECT_EQ(proposal.max_transfer, 4096U);
}

TEST(VfioUserRequest, RefusesAMalformedVersion) {
  EXPECT_THAT(ParseVersion(Bytes(Version{}, -1)), FailsWith(EPROTO));
  EXPECT_THAT(ParseVersion(VersionBytes("{} ")), FailsWith(EPROTO)) << "no NUL";
  const std::string deep(60000, '[');
  for (const std::string& text : std::initializer_list<std::string>{
           "", "{", "[]", "1", "\xff", deep, R"({"capabilities":[]})", R"({"capabilities":null})",
           R"({"capabilities":{"max_data_xfer_size":0}})",
           R"({"capabilities":{"max_data_xfer_size":-1}})",
           R"({"capabilities":{"max_data_xfer_size":1.5}})",
           R"({"capabilities":{"max_data_xfer_size":"1"}})"}) {
    EXPECT_THAT(ParseVersion(VersionBytes(text + '\0')), FailsWith(EPROTO)) << text;
  }
}

TEST(VfioUserRequest, ParsesADmaMap) {
  const DmaMap map{.argsz = 32, .flags = 3, .address = kMax64 - 4095, .size = 4096};
  ASSERT_OK_AND_ASSIGN(const DmaMap parsed, ParseDmaMap(Bytes(map)));
  EXPECT_EQ(parsed.address, map.address);
  EXPECT_OK(ParseDmaMap(Bytes(map, 8)));
}

TEST(VfioUserRequest, RefusesAMalformedDmaMap) {
  const auto refused = [](const DmaMap& map) { return ParseDmaMap(Bytes(map)); };
  EXPECT_THAT(ParseDmaMap(Bytes(DmaMap{.argsz = 32, .size = 1}, -1)), FailsWith(EPROTO));
  EXPECT_THAT(refused({.argsz = 31, .size = 1}), FailsWith(EPROTO));
  EXPECT_THAT(refused({.argsz = 32, .flags = 4, .size = 1}), FailsWith(EPROTO));
  EXPECT_THAT(refused({.argsz = 32, .flags = 1, .size = 0}), FailsWith(EPROTO));
  EXPECT_THAT(refused({.argsz = 32, .address = kMax64, .size = 2}), FailsWith(EPROTO));
  EXPECT_THAT(refused({.argsz = 32, .address = 1, .size = kMax64}), IsOk());
  EXPECT_THAT(refused({.argsz = 32, .address = 2, .size = kMax64}), FailsWith(EPROTO));
}

TEST(VfioUserRequest, ParsesADmaUnmapAlsoOfNothing) {
  EXPECT_OK(ParseDmaUnmap(Bytes(DmaUnmap{.argsz = 24, .address = kMax64, .size = 0})));
  ASSERT_OK_AND_ASSIGN(const DmaUnmap all,
                       ParseDmaUnmap(Bytes(DmaUnmap{.argsz = 24, .flags = 2, .size = kMax64})));
  EXPECT_EQ(all.size, kMax64);
}

TEST(VfioUserRequest, RefusesAMalformedDmaUnmap) {
  const auto refused = [](const DmaUnmap& unmap) { return ParseDmaUnmap(Bytes(unmap)); };
  EXPECT_THAT(ParseDmaUnmap(Bytes(DmaUnmap{.argsz = 24}, -1)), FailsWith(EPROTO));
  EXPECT_THAT(refused({.argsz = 23}), FailsWith(EPROTO));
  EXPECT_THAT(refused({.argsz = 24, .flags = 4}), FailsWith(EPROTO));
  EXPECT_THAT(refused({.argsz = 24, .address = 2, .size = kMax64}), FailsWith(EPROTO));
}

TEST(VfioUserRequest, ParsesQuestions) {
  using Info = std::array<std::uint32_t, 4>;
  EXPECT_OK(ParseGetInfo(Bytes(Info{16, 0, 0, 0})));
  EXPECT_THAT(ParseGetInfo(Bytes(Info{16, 0, 0, 0}, -1)), FailsWith(EPROTO));
  EXPECT_THAT(ParseGetInfo(Bytes(Info{15, 0, 0, 0})), FailsWith(EPROTO));
  for (std::size_t i = 1; i < 4; ++i) {
    Info info{16, 0, 0, 0};
    info.at(i) = 1;
    EXPECT_THAT(ParseGetInfo(Bytes(info)), FailsWith(EPROTO)) << i;
  }

  using Irq = std::array<std::uint32_t, 4>;
  ASSERT_OK_AND_ASSIGN(const std::uint32_t irq, ParseGetIrqInfo(Bytes(Irq{16, 0, 7, 0})));
  EXPECT_EQ(irq, 7U);
  EXPECT_THAT(ParseGetIrqInfo(Bytes(Irq{16, 0, 7, 0}, -1)), FailsWith(EPROTO));
  EXPECT_THAT(ParseGetIrqInfo(Bytes(Irq{15, 0, 7, 0})), FailsWith(EPROTO));
  EXPECT_THAT(ParseGetIrqInfo(Bytes(Irq{16, 1, 7, 0})), FailsWith(EPROTO));
  EXPECT_THAT(ParseGetIrqInfo(Bytes(Irq{16, 0, 7, 1})), FailsWith(EPROTO));

  using Region = std::array<std::uint32_t, 8>;
  ASSERT_OK_AND_ASSIGN(const std::uint32_t region,
                       ParseGetRegionInfo(Bytes(Region{32, 0, 5, 0, 0, 0, 0, 0})));
  EXPECT_EQ(region, 5U);
  EXPECT_OK(ParseGetRegionInfo(Bytes(Region{4096, 0, 5, 0, 0, 0, 0, 0})));
  EXPECT_THAT(ParseGetRegionInfo(Bytes(Region{32, 0, 5}, -1)), FailsWith(EPROTO));
  EXPECT_THAT(ParseGetRegionInfo(Bytes(Region{31, 0, 5})), FailsWith(EPROTO));
  for (const std::size_t i : {1U, 3U, 4U, 5U, 6U, 7U}) {
    Region info{32, 0, 5};
    info.at(i) = 1;
    EXPECT_THAT(ParseGetRegionInfo(Bytes(info)), FailsWith(EPROTO)) << i;
  }
}

constexpr std::uint32_t kTrigger = VFIO_IRQ_SET_ACTION_TRIGGER;
constexpr std::uint32_t kEventfd = VFIO_IRQ_SET_DATA_EVENTFD;
constexpr std::uint32_t kNone = VFIO_IRQ_SET_DATA_NONE;
constexpr std::uint32_t kBool = VFIO_IRQ_SET_DATA_BOOL;

TEST(VfioUserRequest, ParsesSetIrqs) {
  const SetIrqs set{.argsz = 20, .flags = kEventfd | kTrigger, .index = 2, .start = 3, .count = 4};
  ASSERT_OK_AND_ASSIGN(const SetIrqs parsed, ParseSetIrqs(Bytes(set), 4));
  EXPECT_EQ(parsed.start, 3U);
  EXPECT_OK(ParseSetIrqs(Bytes(set), 0));
  EXPECT_OK(ParseSetIrqs(Bytes(SetIrqs{.argsz = 20, .flags = kNone | kTrigger}), 0));
  EXPECT_OK(ParseSetIrqs(Bytes(SetIrqs{.argsz = 22, .flags = kBool | kTrigger, .count = 2}, 2), 0));
}

TEST(VfioUserRequest, RefusesMalformedSetIrqs) {
  const auto refused = [](const SetIrqs& set, std::size_t fds = 0, int more = 0) {
    return ParseSetIrqs(Bytes(set, more), fds);
  };
  EXPECT_THAT(refused({.argsz = 20, .flags = kNone | kTrigger}, 0, -1), FailsWith(EPROTO));
  EXPECT_THAT(refused({.argsz = 19, .flags = kNone | kTrigger}), FailsWith(EPROTO));
  EXPECT_THAT(refused({.argsz = 21, .flags = kNone | kTrigger}), FailsWith(EPROTO));
  for (const std::uint32_t flags :
       {0U, kNone, kTrigger, kNone | kBool | kTrigger, kNone | kTrigger | 1U << 3,
        kNone | kTrigger | 1U << 6, kNone | kTrigger | 1U << 31}) {
    EXPECT_THAT(refused({.argsz = 20, .flags = flags}), FailsWith(EPROTO)) << flags;
  }
  EXPECT_THAT(refused({.argsz = 20, .flags = kEventfd | kTrigger, .start = 2, .count = kMax32 - 1}),
              FailsWith(EPROTO));
  EXPECT_THAT(refused({.argsz = 20, .flags = kBool | kTrigger, .count = 1}), FailsWith(EPROTO));
  EXPECT_THAT(refused({.argsz = 20, .flags = kBool | kTrigger, .count = 1}, 0, 1),
              FailsWith(EPROTO));
  EXPECT_THAT(refused({.argsz = 20, .flags = kEventfd | kTrigger, .count = 2}, 1),
              FailsWith(EPROTO));
  EXPECT_THAT(refused({.argsz = 20, .flags = kNone | kTrigger, .count = 1}, 1), FailsWith(EPROTO));
}

TEST(VfioUserRequest, AWriteHasItsDataAndNoMore) {
  const RegionAccess access{.offset = 8, .region = 1, .count = 4};
  EXPECT_OK(ParseRegionRead(Bytes(access)));
  EXPECT_THAT(ParseRegionWrite(Bytes(access)), FailsWith(EPROTO));
  EXPECT_THAT(ParseRegionWrite(Bytes(access, 3)), FailsWith(EPROTO));
  EXPECT_THAT(ParseRegionWrite(Bytes(access, 5)), FailsWith(EPROTO));
  ASSERT_OK_AND_ASSIGN(const RegionAccess parsed, ParseRegionWrite(Bytes(access, 4)));
  EXPECT_EQ(parsed.offset, 8U);
}

TEST(VfioUserRequest, AnAccessIsBounded) {
  EXPECT_THAT(ParseRegionRead(Bytes(RegionAccess{}, -1)), FailsWith(EPROTO));
  EXPECT_THAT(ParseRegionWrite(Bytes(RegionAccess{}, -1)), FailsWith(EPROTO));
  EXPECT_OK(ParseRegionRead(Bytes(RegionAccess{.count = kMaxTransfer})));
  EXPECT_THAT(ParseRegionRead(Bytes(RegionAccess{.count = kMaxTransfer + 1})), FailsWith(EPROTO));
  EXPECT_THAT(ParseRegionRead(Bytes(RegionAccess{.count = kMax32})), FailsWith(EPROTO));
}

TEST(VfioUserRequest, AReplyIsToWhatWasAsked) {
  const DmaAccess asked{.address = 0x1000, .count = 8};
  ASSERT_OK_AND_ASSIGN(const auto data, ParseDmaReadReply(Bytes(asked, 8), asked));
  EXPECT_EQ(data.size(), 8U);
  EXPECT_THAT(ParseDmaReadReply({}, asked), FailsWith(EPROTO));
  EXPECT_THAT(ParseDmaReadReply(Bytes(asked, 7), asked), FailsWith(EPROTO));
  EXPECT_THAT(ParseDmaReadReply(Bytes(asked, 9), asked), FailsWith(EPROTO));
  EXPECT_THAT(ParseDmaReadReply(Bytes(DmaAccess{0x1001, 8}, 8), asked), FailsWith(EPROTO));
  EXPECT_THAT(ParseDmaReadReply(Bytes(DmaAccess{0x1000, 7}, 8), asked), FailsWith(EPROTO));

  EXPECT_OK(ParseDmaWriteReply({}, asked));
  EXPECT_OK(ParseDmaWriteReply(Bytes(asked), asked));
  EXPECT_OK(ParseDmaWriteReply(Bytes(asked, -4), asked));
  EXPECT_THAT(ParseDmaWriteReply(Bytes(asked, -5), asked), FailsWith(EPROTO));
  EXPECT_THAT(ParseDmaWriteReply(Bytes(DmaAccess{0x1001, 8}), asked), FailsWith(EPROTO));
  EXPECT_THAT(ParseDmaWriteReply(Bytes(DmaAccess{0x1000, 9}), asked), FailsWith(EPROTO));
}

TEST(VfioUserRequest, SaysWhatIsWrong) {
  const auto map = ParseDmaMap(Bytes(DmaMap{.argsz = 31}));
  ASSERT_FALSE(map);
  EXPECT_THAT(map.error().message, HasSubstr("argsz 31"));
}

TEST(VfioUserRequest, FewRequestsBringDescriptors) {
  EXPECT_EQ(FdsOf(Command::kSetIrqs), kMaxFds);
  EXPECT_EQ(FdsOf(Command::kDmaMap), 1U);
  EXPECT_EQ(FdsOf(Command::kRegionWrite), 0U);
}

}  // namespace
}  // namespace carryover::vfio_user
