// SPDX-License-Identifier: GPL-2.0-only
// How a connection begins and ends, and what the server makes of messages that are against the
// protocol.
#include <gmock/gmock.h>
#include <sys/eventfd.h>

#include "drivers/vfio_user/dmac_server.h"

namespace carryover::vfio_user {
namespace {

using std::chrono::milliseconds;
using namespace carryover::dmac;  // NOLINT(google-build-using-namespace): the registers

// Has not said a word yet.
class VfioUserNewServer : public testing::Test {
 protected:
  // The server's answer to these, which are there before it looks.
  Result<std::optional<DeviceModel::Clock::time_point>> Step() { return server_.Step(); }
  Message Ask(Command command, std::span<const std::byte> payload) {
    EXPECT_OK(client_.Send({.command = command}, payload, Deadline::After(milliseconds(500))));
    EXPECT_OK(Step());
    auto reply = client_.Receive(Deadline::After(milliseconds(500)));
    EXPECT_OK(reply);
    return reply && *reply ? std::move(**reply) : Message{};
  }

  SocketPair pair_;
  EventLog log_;
  Server server_{std::move(pair_.server),
                 [](ModelHost& host) { return std::make_unique<DmacModel>(host); }, log_,
                 milliseconds(200)};
  Connection client_{std::move(pair_.client)};
};

TEST_F(VfioUserNewServer, AgreesOnTheProtocol) {
  std::vector<std::byte> proposal = FakeClient::Bytes(vfio_user::Version{0, 1});
  for (const char c : std::string("{\"capabilities\":{}}")) proposal.push_back(std::byte(c));
  proposal.push_back(std::byte{0});
  const Message reply = Ask(Command::kVersion, proposal);
  const auto version = Get<Version>(reply.payload);
  ASSERT_OK(version);
  EXPECT_EQ(version->major, 0);
  EXPECT_EQ(version->minor, 1);
  EXPECT_EQ(reply.payload.back(), std::byte{0});
  const auto capabilities = nlohmann::json::parse(
      reinterpret_cast<const char*>(reply.payload.data()) + sizeof(Version))["capabilities"];
  EXPECT_EQ(capabilities.at("max_data_xfer_size"), kMaxTransfer);
  EXPECT_LE(capabilities.at("max_dma_maps"), 65535);  // QEMU refuses more
}

TEST_F(VfioUserNewServer, TakesANewerMinorVersionForItsOwn) {
  const Message reply = Ask(Command::kVersion, FakeClient::Bytes(vfio_user::Version{0, 77}));
  ASSERT_OK_AND_ASSIGN(const auto version, Get<vfio_user::Version>(reply.payload));
  EXPECT_EQ(version.minor, 1);
}

TEST_F(VfioUserNewServer, RefusesAnotherMajorVersion) {
  const Message reply = Ask(Command::kVersion, FakeClient::Bytes(vfio_user::Version{1, 0}));
  EXPECT_NE(reply.header.flags & Header::kError, 0U);
  EXPECT_EQ(reply.header.error, static_cast<std::uint32_t>(ENOTSUP));
  EXPECT_EQ(reply.payload.size(), 0U);
}

TEST_F(VfioUserNewServer, WantsAVersionFirst) {
  ASSERT_OK(client_.Send({.command = Command::kReset}, {}, Deadline::After(milliseconds(500))));
  EXPECT_THAT(Step(), FailsWith(EPROTO));
}

TEST_F(VfioUserNewServer, WantsAVersionOnce) {
  const auto version = FakeClient::Bytes(vfio_user::Version{0, 1});
  Ask(Command::kVersion, version);
  ASSERT_OK(
      client_.Send({.command = Command::kVersion}, version, Deadline::After(milliseconds(500))));
  EXPECT_THAT(Step(), FailsWith(EPROTO));
}

TEST_F(VfioUserNewServer, GivesUpAMessageThatDoesNotEnd) {
  const Header header{.id = 1, .command = Command::kVersion, .size = 100};
  ASSERT_EQ(write(client_.fd(), &header, sizeof(header)), static_cast<ssize_t>(sizeof(header)));
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THAT(Step(), FailsWith(ETIMEDOUT));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

// What else its process serves must get its turn.
TEST_F(VfioUserNewServer, ComesBackFromAFlood) {
  Ask(Command::kVersion, FakeClient::Bytes(vfio_user::Version{0, 1}));
  constexpr std::uint64_t kWrites = 100;
  for (std::uint64_t i = 1; i <= kWrites; ++i) {
    auto write = FakeClient::Bytes(RegionAccess{StreamBase::kOffset, 0, 8});
    Append(write, i * 4096);
    ASSERT_OK(client_.Send({.command = Command::kRegionWrite, .flags = Header::kNoReply}, write,
                           Deadline::After(milliseconds(500))));
  }
  ASSERT_OK_AND_ASSIGN(const auto due, Step());
  EXPECT_NE(server_.model().Read(0, StreamBase::kOffset, 8), kWrites * 4096) << "all at once";
  ASSERT_TRUE(due) << "there is more to do";
  EXPECT_LE(*due, DeviceModel::Clock::now());
  ASSERT_OK(Step());
  EXPECT_EQ(server_.model().Read(0, StreamBase::kOffset, 8), kWrites * 4096);
}

// Requests are no reply, however many there are.
TEST_F(VfioUserNewServer, DoesNotWaitForDmaForeverAmongRequests) {
  SocketPair pair;
  Server server(
      std::move(pair.server), [](ModelHost& host) { return std::make_unique<DmacModel>(host); },
      log_, milliseconds(0));
  FakeClient client(std::move(pair.client));
  const auto version = FakeClient::Bytes(vfio_user::Version{0, 1});
  ASSERT_OK(client.connection().Send({.command = Command::kVersion}, version,
                                     Deadline::After(milliseconds(500))));
  client.PostRegion(0, RingBase::kOffset, 8, 0x1000);
  client.PostRegion(0, RingSize::kOffset, 4, 16);
  client.PostRegion(0, Control::kOffset, 4, Control::kEnable);
  client.PostRegion(0, Tail::kOffset, 4, 1);
  for (std::uint64_t i = 1; i <= 20; ++i) client.PostRegion(0, StreamBase::kOffset, 8, i * 4096);
  EXPECT_THAT(server.Step(), FailsWith(ETIMEDOUT));
  EXPECT_LE(server.model().Read(0, StreamBase::kOffset, 8), 4096U) << "it went on for longer";
}

// No DMA is larger than what both sides take.
TEST_F(VfioUserNewServer, CutsDmaForASmallClient) {
  std::vector<std::byte> proposal = FakeClient::Bytes(vfio_user::Version{0, 1});
  for (const char c : std::string(R"({"capabilities":{"max_data_xfer_size":5}})")) {
    proposal.push_back(std::byte(c));
  }
  proposal.push_back(std::byte{0});
  Ask(Command::kVersion, proposal);
  for (const auto& [offset, value] : std::initializer_list<std::pair<std::size_t, std::uint64_t>>{
           {RingBase::kOffset, 0x1000}, {WriteBack::kOffset, 0x2000}}) {
    server_.model().Write(0, offset, 8, value);
  }
  server_.model().Write(0, RingSize::kOffset, 4, 16);
  server_.model().Write(0, Control::kOffset, 4, Control::kEnable);
  server_.model().Write(0, Tail::kOffset, 4, 1);
  EXPECT_THAT(Step(), FailsWith(ETIMEDOUT));
  ASSERT_OK_AND_ASSIGN(const auto request, client_.Receive(Deadline::After(milliseconds(500))));
  ASSERT_TRUE(request);
  EXPECT_EQ(request->header.command, Command::kDmaRead);
  EXPECT_EQ(Get<DmaAccess>(request->payload)->count, 5U);
}

// Refused, and the connection stays.
TEST_F(VfioUserServer, RefusesRequestsThatCannotBe) {
  const auto refused = [this](Command command, const std::vector<std::byte>& payload) {
    return (client().Ask(command, payload).header.flags & Header::kError) != 0;
  };
  const auto access = [](std::uint64_t offset, std::uint32_t region, std::uint32_t count) {
    return FakeClient::Bytes(RegionAccess{offset, region, count});
  };
  // NOLINTBEGIN(clang-analyzer-optin.core.EnumCastOutOfRange): that is what they are
  EXPECT_TRUE(refused(static_cast<Command>(99), {}));
  EXPECT_TRUE(refused(static_cast<Command>(0), {}));
  // NOLINTEND(clang-analyzer-optin.core.EnumCastOutOfRange)
  EXPECT_TRUE(refused(Command::kGetRegionIoFds, {}));
  EXPECT_TRUE(refused(Command::kRegionRead, access(4096, 0, 4)));
  EXPECT_TRUE(refused(Command::kRegionRead, access(~std::uint64_t{0}, 0, 4)));
  EXPECT_TRUE(refused(Command::kRegionRead, access(4095, kConfig, 2)));
  EXPECT_TRUE(refused(Command::kRegionRead, access(0, 5, 4)));
  EXPECT_TRUE(refused(Command::kRegionRead, access(0, ~0U, 4)));
  EXPECT_TRUE(refused(Command::kRegionRead, access(0, 0, 3)));
  EXPECT_TRUE(refused(Command::kRegionRead, access(0, 0, 0)));
  EXPECT_TRUE(refused(Command::kRegionRead, access(2, 0, 4)));
  EXPECT_TRUE(refused(Command::kRegionRead, access(0, 0, 4096)));
  using Words = std::array<std::uint32_t, 4>;
  EXPECT_TRUE(refused(Command::kGetIrqInfo, FakeClient::Bytes(Words{16, 0, VFIO_PCI_NUM_IRQS, 0})));
  EXPECT_TRUE(refused(Command::kGetRegionInfo, FakeClient::Bytes(std::array<std::uint32_t, 8>{
                                                   32, 0, VFIO_PCI_NUM_REGIONS})));
  EXPECT_TRUE(refused(Command::kDmaUnmap, FakeClient::Bytes(DmaUnmap{.argsz = 24, .flags = 1})));
  EXPECT_TRUE(
      refused(Command::kSetIrqs, FakeClient::Bytes(vfio_user::SetIrqs{
                                     .argsz = 20,
                                     .flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
                                     .index = VFIO_PCI_MSIX_IRQ_INDEX,
                                     .count = 1})));
  EXPECT_EQ(client().ReadRegion(0, Id::kOffset, 4), Id::kDmac);
  EXPECT_EQ(Logged("refused").size(), 16U);
  EXPECT_EQ(Logged("refused").at(0).at("command"), 99);
}

// Everything that is against the protocol ends the connection, and says why.
struct Malformed {
  const char* name;
  Header header;
  std::vector<std::byte> payload;
};

class VfioUserMalformed : public VfioUserServer, public testing::WithParamInterface<Malformed> {};

TEST_P(VfioUserMalformed, EndsTheConnection) {
  std::vector<std::byte> bytes = FakeClient::Bytes(GetParam().header);
  bytes.insert(bytes.end(), GetParam().payload.begin(), GetParam().payload.end());
  ASSERT_EQ(write(client().connection().fd(), bytes.data(), bytes.size()),
            static_cast<ssize_t>(bytes.size()));
  const auto next = client().connection().Receive(Deadline::After(std::chrono::seconds(10)));
  EXPECT_TRUE(!next || !*next) << "answered";
  AwaitEnd();
  ASSERT_TRUE(ended_);
  EXPECT_EQ(ended_->code, EPROTO) << ended_->ToString();
  EXPECT_FALSE(ended_->message.empty());
}

INSTANTIATE_TEST_SUITE_P(
    VfioUserMalformed, VfioUserMalformed,
    testing::Values(
        Malformed{"Size", {.command = Command::kReset, .size = 15}, {}},
        Malformed{"Huge", {.command = Command::kReset, .size = kMaxMessage + 1}, {}},
        Malformed{"Type", {.command = Command::kReset, .size = 16, .flags = 2}, {}},
        Malformed{"Flags", {.command = Command::kReset, .size = 16, .flags = 1U << 20}, {}},
        Malformed{"Reply", {.command = Command::kDmaRead, .size = 16, .flags = Header::kReply}, {}},
        Malformed{"Map", {.command = Command::kDmaMap, .size = 47}, std::vector<std::byte>(31)},
        Malformed{"Unmap", {.command = Command::kDmaUnmap, .size = 39}, std::vector<std::byte>(23)},
        Malformed{"Info", {.command = Command::kGetInfo, .size = 16}, {}},
        Malformed{"Region", {.command = Command::kGetRegionInfo, .size = 16}, {}},
        Malformed{"Irq", {.command = Command::kGetIrqInfo, .size = 16}, {}},
        Malformed{"SetIrqs", {.command = Command::kSetIrqs, .size = 16}, {}},
        Malformed{"Read", {.command = Command::kRegionRead, .size = 16}, {}},
        Malformed{"Write", {.command = Command::kRegionWrite, .size = 16}, {}},
        Malformed{"NoData",
                  {.command = Command::kRegionWrite, .size = 32},
                  FakeClient::Bytes(RegionAccess{.offset = 0, .region = 0, .count = 4})},
        Malformed{"LargeRead",
                  {.command = Command::kRegionRead, .size = 32},
                  FakeClient::Bytes(RegionAccess{.offset = 0, .region = 0, .count = ~0U})},
        Malformed{"Unanswered",
                  {.command = Command::kRegionRead, .size = 16, .flags = Header::kNoReply},
                  {}}),
    [](const auto& param_info) { return std::string(param_info.param.name); });

TEST_F(VfioUserServer, TakesDescriptorsWhereTheyBelong) {
  const UniqueFd event(eventfd(0, EFD_CLOEXEC));
  const std::vector<int> fds(2, event.get());
  const DmaMap map{.argsz = 32, .flags = 3, .address = 0, .size = 4096};
  const auto mapped = client().Ask(Command::kDmaMap, FakeClient::Bytes(map), {fds.data(), 1});
  EXPECT_EQ(mapped.header.flags & Header::kError, 0U);
  client().SendWithFds({.command = Command::kDmaMap}, FakeClient::Bytes(map), fds);
  AwaitEnd();
  ASSERT_TRUE(ended_);
  EXPECT_EQ(ended_->code, EPROTO);
}

// A message in pieces could bring more than a process can have.
TEST_F(VfioUserServer, CountsDescriptorsOfAllPieces) {
  const UniqueFd event(eventfd(0, EFD_CLOEXEC));
  const std::vector<int> fds(kMaxFds, event.get());
  const auto bytes = FakeClient::Bytes(Header{.command = Command::kSetIrqs, .size = 36});
  client().SendBytes(std::span(bytes).first(1), fds);
  client().SendBytes(std::span(bytes).subspan(1, 1), std::span(fds).first(1));
  AwaitEnd();
  ASSERT_TRUE(ended_);
  EXPECT_EQ(ended_->code, EPROTO);
}

TEST_F(VfioUserServer, SaysThatTheOtherSideClosed) {
  End();
  ASSERT_TRUE(ended_);
  EXPECT_EQ(ended_->code, Server::kEnded);
}

TEST_F(VfioUserServer, TellsAPeerThatDiesInMidMessage) {
  const Header header{.id = 1, .command = Command::kReset, .size = 100};
  ASSERT_EQ(write(client().connection().fd(), &header, sizeof(header)),
            static_cast<ssize_t>(sizeof(header)));
  End();
  ASSERT_TRUE(ended_);
  EXPECT_EQ(ended_->code, EPROTO);
}

// The other side takes the request, and is gone.
TEST_F(VfioUserServer, TellsAPeerThatDiesDuringDma) {
  StartRing();
  PutDescriptor(0, FakeClient::kBase + 0x2000, FakeClient::kBase + 0x8000, 64);
  client().PostRegion(0, Tail::kOffset, 4, 1);
  const auto request = client().connection().Receive(Deadline::After(std::chrono::seconds(10)));
  ASSERT_OK(request);
  End();
  ASSERT_TRUE(ended_);
  EXPECT_EQ(ended_->code, Server::kEnded);
}

class VfioUserDmaReply : public VfioUserServer {
 protected:
  // The model asks for a descriptor.
  Message AwaitRequest() {
    StartRing();
    client().PostRegion(0, Tail::kOffset, 4, 1);
    auto request = client().connection().Receive(Deadline::After(std::chrono::seconds(10)));
    EXPECT_OK(request);
    return request && *request ? std::move(**request) : Message{};
  }
  // A descriptor's bytes, as they were asked for.
  static std::vector<std::byte> Data(const Message& request) {
    std::vector<std::byte> payload = request.payload;
    payload.resize(payload.size() + sizeof(Descriptor));
    return payload;
  }
  void Reply(const Header& header, std::span<const std::byte> payload) {
    EXPECT_OK(
        client().connection().Send(header, payload, Deadline::After(std::chrono::seconds(10))));
  }
  void EndsWith(int code) {
    AwaitEnd();
    ASSERT_TRUE(ended_);
    EXPECT_EQ(ended_->code, code) << ended_->ToString();
    for (const auto& dma : Logged("dma")) EXPECT_EQ(dma.at("ok"), false);
    EXPECT_FALSE(Logged("dma").empty());
  }
};

TEST_F(VfioUserDmaReply, IsNotWaitedForForever) {
  AwaitRequest();
  EndsWith(ETIMEDOUT);
  ASSERT_OK_AND_ASSIGN(const auto next,
                       client().connection().Receive(Deadline::After(std::chrono::seconds(10))));
  EXPECT_FALSE(next) << "it tries again";
}

TEST_F(VfioUserDmaReply, OfAnotherIdIsNone) {
  const Message request = AwaitRequest();
  Reply({.id = static_cast<std::uint16_t>(request.header.id + 1),
         .command = request.header.command,
         .flags = Header::kReply},
        Data(request));
  EndsWith(EPROTO);
}

TEST_F(VfioUserDmaReply, OfAnotherCommandIsNone) {
  const Message request = AwaitRequest();
  Reply({.id = request.header.id, .command = Command::kDmaWrite, .flags = Header::kReply},
        Data(request));
  EndsWith(EPROTO);
}

TEST_F(VfioUserDmaReply, HasAllData) {
  const Message request = AwaitRequest();
  std::vector<std::byte> payload = Data(request);
  payload.pop_back();
  Reply({.id = request.header.id, .command = request.header.command, .flags = Header::kReply},
        payload);
  EndsWith(EPROTO);
}

}  // namespace
}  // namespace carryover::vfio_user
