// SPDX-License-Identifier: GPL-2.0-only
// A dmac behind a server, and a client that is QEMU's.
#include "drivers/vfio_user/server.h"

#include <gmock/gmock.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>

#include "drivers/access/event_wait.h"
#include "drivers/access/poll_deadline.h"
#include "drivers/access/result_matchers.h"
#include "drivers/dmac/model/dmac_model.h"
#include "drivers/vfio_user/fake_client.h"

namespace carryover::vfio_user {
namespace {

using std::chrono::milliseconds;
using namespace carryover::dmac;  // NOLINT(google-build-using-namespace): the registers

constexpr std::uint32_t kConfig = VFIO_PCI_CONFIG_REGION_INDEX;

class VfioUserServer : public testing::Test {
 protected:
  static constexpr milliseconds kPatience{500};

  VfioUserServer() {
    auto log = EventLog::Open(LogPath());
    EXPECT_OK(log);
    log_ = std::move(*log);
    server_ = std::thread([this] { Serve(); });
    client_->Negotiate();
  }
  void TearDown() override {
    if (server_.joinable()) End();
    std::filesystem::remove(LogPath());
  }
  // Closes the client's end; `ended_` says what the server makes of that.
  void End() {
    client_ = std::make_unique<FakeClient>(UniqueFd());
    server_.join();
  }
  // That the server ends by itself.
  void AwaitEnd() {
    if (has_ended_.get_future().wait_for(std::chrono::seconds(10)) != std::future_status::ready) {
      ADD_FAILURE() << "the server goes on";
      client_ = std::make_unique<FakeClient>(UniqueFd());
    }
    server_.join();
  }

  void Serve() {
    Server server(
        std::move(pair_.server), [](ModelHost& host) { return std::make_unique<DmacModel>(host); },
        log_, kPatience);
    while (true) {
      const auto due = server.Step();
      if (!due) {
        ended_ = due.error();
        has_ended_.set_value();
        return;
      }
      pollfd readable{.fd = server.fd(), .events = POLLIN, .revents = 0};
      (void)PollDeadline({&readable, 1},
                         *due ? Deadline::At(**due) : Deadline::After(std::chrono::seconds(20)));
    }
  }
  [[nodiscard]] static std::filesystem::path LogPath() {
    std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
    std::ranges::replace(name, '/', '-');
    return std::filesystem::path(testing::TempDir()) / (name + ".jsonl");
  }
  // The log's lines with this event, without the time.
  [[nodiscard]] static std::vector<nlohmann::json> Logged(const std::string& event) {
    std::vector<nlohmann::json> found;
    std::ifstream file(LogPath());
    for (std::string line; std::getline(file, line);) {
      auto entry = nlohmann::json::parse(line);
      EXPECT_GT(entry.at("t").get<std::uint64_t>(), 0U);
      entry.erase("t");
      if (entry.at("event") == event) found.push_back(entry);
    }
    return found;
  }

  [[nodiscard]] FakeClient& client() { return *client_; }
  void SetMaster(bool on) {
    client().WriteRegion(kConfig, PCI_COMMAND, 2,
                         on ? PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY : PCI_COMMAND_MEMORY);
  }
  // A ring at kBase, the write-back at kBase + 0x1000.
  void StartRing() {
    SetMaster(true);
    client().WriteRegion(0, RingBase::kOffset, 8, FakeClient::kBase);
    client().WriteRegion(0, RingSize::kOffset, 4, 16);
    client().WriteRegion(0, WriteBack::kOffset, 8, FakeClient::kBase + 0x1000);
    client().WriteRegion(0, Control::kOffset, 4, Control::kEnable);
  }
  void PutDescriptor(std::size_t slot, std::uint64_t from, std::uint64_t to, std::uint32_t length) {
    const Descriptor descriptor{.source = from, .destination = to, .length = length};
    std::memcpy(client().memory().data() + slot * sizeof(descriptor), &descriptor,
                sizeof(descriptor));
  }
  [[nodiscard]] WrittenBack ReadWriteBack() {
    WrittenBack back;
    std::memcpy(&back, client().memory().data() + 0x1000, sizeof(back));
    return back;
  }
  void Fill(std::size_t offset, std::size_t length) {
    for (std::size_t i = 0; i < length; ++i) {
      client().memory()[offset + i] = static_cast<std::byte>(i * 7 + i / 256);
    }
  }
  [[nodiscard]] bool Same(std::size_t a, std::size_t b, std::size_t length) {
    return std::memcmp(client().memory().data() + a, client().memory().data() + b, length) == 0;
  }
  // Sends SET_IRQS for one kind, with these eventfds.
  Message SetIrqs(std::uint32_t index, std::uint32_t start, std::span<const int> fds) {
    const std::array<std::uint32_t, 5> set{20,
                                           VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
                                           index, start, static_cast<std::uint32_t>(fds.size())};
    return client().Ask(Command::kSetIrqs, FakeClient::Bytes(set), fds);
  }

  SocketPair pair_;
  std::unique_ptr<FakeClient> client_ = std::make_unique<FakeClient>(std::move(pair_.client));
  EventLog log_;
  std::optional<Error> ended_;  // after End() and AwaitEnd()
  std::promise<void> has_ended_;
  std::thread server_;
};

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

TEST_F(VfioUserServer, ShowsThePciFunction) {
  EXPECT_EQ(client().ReadRegion(kConfig, PCI_VENDOR_ID, 4), 0x0dac1234U);
  EXPECT_EQ(client().ReadRegion(kConfig, PCI_CLASS_REVISION, 4), 0x08800001U);
  const auto region = [this](std::uint32_t index) {
    vfio_region_info info{};
    info.argsz = sizeof(info);
    info.index = index;
    return *Get<vfio_region_info>(
        client().Ask(Command::kGetRegionInfo, FakeClient::Bytes(info)).payload);
  };
  EXPECT_EQ(region(0).size, 4096U);
  EXPECT_EQ(region(0).flags, 3U);
  EXPECT_EQ(region(1).size, 8192U);
  EXPECT_EQ(region(2).size, 0U);
  EXPECT_EQ(region(kConfig).size, 4096U);
  const auto vectors = [this](std::uint32_t index) {
    vfio_irq_info info{};
    info.argsz = sizeof(info);
    info.index = index;
    return Get<vfio_irq_info>(client().Ask(Command::kGetIrqInfo, FakeClient::Bytes(info)).payload)
        ->count;
  };
  EXPECT_EQ(vectors(VFIO_PCI_MSIX_IRQ_INDEX), kVectors);
  EXPECT_EQ(vectors(VFIO_PCI_MSI_IRQ_INDEX), 0U);
}

TEST_F(VfioUserServer, CopiesThroughTheClientsMemory) {
  StartRing();
  Fill(0x2000, 0x1234);
  PutDescriptor(0, FakeClient::kBase + 0x2000, FakeClient::kBase + 0x8001, 0x1234);
  client().PostRegion(0, Tail::kOffset, 4, 1);
  client().ServeDma();
  EXPECT_TRUE(Same(0x2000, 0x8001, 0x1234));
  EXPECT_EQ(ReadWriteBack().head, 1U);
  const auto dma = Logged("dma");
  ASSERT_EQ(dma.size(), 4U);
  EXPECT_EQ(dma[1], (nlohmann::json{{"event", "dma"},
                                    {"write", false},
                                    {"address", FakeClient::kBase + 0x2000},
                                    {"length", 0x1234},
                                    {"ok", true}}));
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

// QEMU hangs on larger ones.
TEST_F(VfioUserServer, CutsLargeDma) {
  StartRing();
  constexpr std::uint32_t kLength = 2 * kMaxTransfer + 17;
  Fill(0x2000, kLength - 0x10000);
  PutDescriptor(0, FakeClient::kBase + 0x1800, FakeClient::kBase + 0x1800, kLength);
  const std::size_t before = client().dma_requests();
  client().PostRegion(0, Tail::kOffset, 4, 1);
  client().ServeDma();
  EXPECT_EQ(client().dma_requests() - before, 1U + 3 + 3 + 1);
  EXPECT_EQ(ReadWriteBack().error, ErrorCode::kNone);
}

TEST_F(VfioUserServer, RefusedDmaIsTheModelsError) {
  StartRing();
  PutDescriptor(0, 0x1, FakeClient::kBase + 0x8000, 16);
  client().PostRegion(0, Tail::kOffset, 4, 1);
  client().ServeDma();
  EXPECT_EQ(ReadWriteBack().error, ErrorCode::kSource);
  EXPECT_EQ(Logged("dma").at(1).at("ok"), false);
}

// A processor that reads a register holds the lock that QEMU's DMA needs.
TEST_F(VfioUserServer, AnswersAccessesWhileItWaitsForDma) {
  StartRing();
  Fill(0x2000, 64);
  PutDescriptor(0, FakeClient::kBase + 0x2000, FakeClient::kBase + 0x8000, 64);
  std::uint64_t status = Status::kIdle;
  client().set_before_dma([&] { status = client().ReadRegion(0, Status::kOffset, 4); });
  client().PostRegion(0, Tail::kOffset, 4, 1);
  client().ServeDma();
  EXPECT_EQ(status & Status::kIdle, 0U) << "idle while it does a descriptor";
  EXPECT_TRUE(Same(0x2000, 0x8000, 64));
}

TEST_F(VfioUserServer, AResetWhileItWaitsForDmaEndsTheWork) {
  StartRing();
  Fill(0x2000, 64);
  PutDescriptor(0, FakeClient::kBase + 0x2000, FakeClient::kBase + 0x8000, 64);
  client().set_before_dma([&] {
    client().PostRegion(0, Control::kOffset, 4, Control::kReset);
    EXPECT_EQ(client().ReadRegion(0, Control::kOffset, 4), Control::kReset) << "it is not done yet";
  });
  const std::size_t before = client().dma_requests();
  client().PostRegion(0, Tail::kOffset, 4, 1);
  client().ServeDma();
  EXPECT_EQ(client().dma_requests() - before, 1U);
  EXPECT_EQ(client().ReadRegion(0, Control::kOffset, 4), 0U);
  EXPECT_FALSE(Same(0x2000, 0x8000, 64));
}

TEST_F(VfioUserServer, RaisesVectorsByEventfd) {
  SetMaster(true);
  ASSERT_OK_AND_ASSIGN(EventSet events, EventSet::Create(2));
  const Message set = SetIrqs(VFIO_PCI_MSIX_IRQ_INDEX, 3, events.fds());
  ASSERT_EQ(set.header.flags & Header::kError, 0U);
  client().WriteRegion(0, Raise::kOffset, 4, 4);
  ASSERT_OK_AND_ASSIGN(const std::uint64_t times,
                       events.Wait(1, Deadline::After(std::chrono::seconds(10))));
  EXPECT_EQ(times, 1U);
  EXPECT_EQ(events.Take(0), 0U);

  const std::array<std::uint32_t, 5> none{20, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
                                          VFIO_PCI_MSIX_IRQ_INDEX, 0, 0};
  client().Ask(Command::kSetIrqs, FakeClient::Bytes(none));
  client().WriteRegion(0, Raise::kOffset, 4, 4);
  (void)client().ReadRegion(0, Id::kOffset, 4);
  EXPECT_EQ(events.Take(1), 0U);
  const auto logged = Logged("interrupt");
  ASSERT_EQ(logged.size(), 2U);
  EXPECT_EQ(logged[0].at("sent"), true);
  EXPECT_EQ(logged[1].at("sent"), false);
}

TEST_F(VfioUserServer, RefusesVectorsThatAreNot) {
  ASSERT_OK_AND_ASSIGN(const EventSet events, EventSet::Create(2));
  const Message set = SetIrqs(VFIO_PCI_MSIX_IRQ_INDEX, kVectors - 1, events.fds());
  EXPECT_NE(set.header.flags & Header::kError, 0U);
}

TEST_F(VfioUserServer, TakesEventfdsOnly) {
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  const UniqueFd read_end(ends[0]);
  const UniqueFd write_end(ends[1]);
  const std::array fds{write_end.get()};
  EXPECT_NE(SetIrqs(VFIO_PCI_MSIX_IRQ_INDEX, 0, fds).header.flags & Header::kError, 0U);
  EXPECT_THAT(Logged("refused").at(0).at("why"), testing::HasSubstr("no eventfd"));
}

// A signal that nobody can take is lost: the device does not wait for its driver.
TEST_F(VfioUserServer, DoesNotWaitForAFullEventfd) {
  SetMaster(true);
  const UniqueFd event(eventfd(~0U, EFD_CLOEXEC));
  ASSERT_EQ(eventfd_write(event.get(), ~std::uint64_t{0} - 1 - ~0U), 0);
  const std::array fds{event.get()};
  ASSERT_EQ(SetIrqs(VFIO_PCI_MSIX_IRQ_INDEX, 0, fds).header.flags & Header::kError, 0U);
  client().WriteRegion(0, Raise::kOffset, 4, 0);
  EXPECT_EQ(client().ReadRegion(0, Id::kOffset, 4), Id::kDmac);
  EXPECT_EQ(Logged("interrupt").at(0).at("sent"), false);
}

// As when a guest masks one of them.
TEST_F(VfioUserServer, NoDescriptorsTakeVectorsAway) {
  SetMaster(true);
  ASSERT_OK_AND_ASSIGN(EventSet events, EventSet::Create(2));
  SetIrqs(VFIO_PCI_MSIX_IRQ_INDEX, 0, events.fds());
  const vfio_user::SetIrqs take{.argsz = 20,
                                .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
                                .index = VFIO_PCI_MSIX_IRQ_INDEX,
                                .start = 0,
                                .count = 1};
  client().Ask(Command::kSetIrqs, FakeClient::Bytes(take));
  client().WriteRegion(0, Raise::kOffset, 4, 0);
  client().WriteRegion(0, Raise::kOffset, 4, 1);
  ASSERT_OK(events.Wait(1, Deadline::After(std::chrono::seconds(10))));
  EXPECT_EQ(events.Take(0), 0U);
}

TEST_F(VfioUserServer, StreamsByItself) {
  SetMaster(true);
  client().WriteRegion(0, StreamBase::kOffset, 8, FakeClient::kBase);
  client().WriteRegion(0, StreamSize::kOffset, 4, 4096);
  client().WriteRegion(0, StreamPeriod::kOffset, 4, 1000);
  client().PostRegion(0, StreamControl::kOffset, 4, StreamControl::kEnable);
  const auto begin = std::chrono::steady_clock::now();
  client().ServeDma(milliseconds(30), Deadline::After(milliseconds(200)));
  const std::uint64_t count = client().ReadRegion(0, StreamCount::kOffset, 8);
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
  EXPECT_GE(static_cast<double>(count), took.count() / 2);
  EXPECT_LE(static_cast<double>(count), took.count() + 5);
}

TEST_F(VfioUserServer, AFunctionLevelResetResetsTheModel) {
  StartRing();
  std::uint64_t at = client().ReadRegion(kConfig, PCI_CAPABILITY_LIST, 1);
  while (at != 0 && client().ReadRegion(kConfig, at, 1) != PCI_CAP_ID_EXP) {
    at = client().ReadRegion(kConfig, at + PCI_CAP_LIST_NEXT, 1);
  }
  ASSERT_NE(at, 0U);
  EXPECT_NE(client().ReadRegion(kConfig, at + PCI_EXP_DEVCAP, 4) & PCI_EXP_DEVCAP_FLR, 0U);
  client().WriteRegion(kConfig, at + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR);
  EXPECT_EQ(client().ReadRegion(0, RingBase::kOffset, 8), 0U);
  EXPECT_EQ(client().ReadRegion(kConfig, PCI_COMMAND, 2), 0U);
  EXPECT_EQ(client().ReadRegion(kConfig, at + PCI_EXP_DEVCTL, 2), 0U);
  EXPECT_EQ(Logged("reset").at(0).at("by"), "function");
}

TEST_F(VfioUserServer, AMachineResetResetsTheModel) {
  StartRing();
  const Message reply = client().Ask(Command::kReset, {});
  EXPECT_EQ(reply.header.flags & Header::kError, 0U);
  EXPECT_EQ(client().ReadRegion(0, RingBase::kOffset, 8), 0U);
}

TEST_F(VfioUserServer, LogsWhatTheDriverMustNotDo) {
  client().WriteRegion(0, RingSize::kOffset, 4, 3);
  (void)client().ReadRegion(0, Id::kOffset, 4);
  EXPECT_EQ(Logged("violation").at(0).at("what"), "RING_SIZE 3");
}

TEST_F(VfioUserServer, TakesAnyUnmap) {
  const DmaUnmap unmap{.argsz = 24, .flags = 0, .address = 0, .size = ~std::uint64_t{0}};
  const Message reply = client().Ask(Command::kDmaUnmap, FakeClient::Bytes(unmap));
  EXPECT_EQ(reply.header.flags & Header::kError, 0U);
  EXPECT_EQ(reply.payload, FakeClient::Bytes(unmap));
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
