// SPDX-License-Identifier: GPL-2.0-only
// Fixture of unit tests: a dmac behind a server in a thread of its own, and a client that is
// QEMU's.
#pragma once

#include <gtest/gtest.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "drivers/access/poll_deadline.h"
#include "drivers/access/result_matchers.h"
#include "drivers/dmac/model/dmac_model.h"
#include "drivers/vfio_user/fake_client.h"
#include "drivers/vfio_user/server.h"

namespace carryover::vfio_user {

class VfioUserServer : public testing::Test {
 protected:
  static constexpr std::chrono::milliseconds kPatience{500};
  static constexpr std::uint32_t kConfig = VFIO_PCI_CONFIG_REGION_INDEX;

  explicit VfioUserServer(DmaWay way = DmaWay::kAsked) : way_(way) {
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
        std::move(pair_.server),
        [](ModelHost& host) { return std::make_unique<dmac::DmacModel>(host); }, log_, kPatience,
        way_);
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
  // Where a capability begins; 0 if there is none.
  [[nodiscard]] std::uint64_t Capability(std::uint8_t id) {
    std::uint64_t at = client().ReadRegion(kConfig, PCI_CAPABILITY_LIST, 1);
    while (at != 0 && client().ReadRegion(kConfig, at, 1) != id) {
      at = client().ReadRegion(kConfig, at + PCI_CAP_LIST_NEXT, 1);
    }
    return at;
  }
  // A ring at kBase, the write-back at kBase + 0x1000.
  void StartRing() {
    SetMaster(true);
    client().WriteRegion(0, dmac::RingBase::kOffset, 8, FakeClient::kBase);
    client().WriteRegion(0, dmac::RingSize::kOffset, 4, 16);
    client().WriteRegion(0, dmac::WriteBack::kOffset, 8, FakeClient::kBase + 0x1000);
    client().WriteRegion(0, dmac::Control::kOffset, 4, dmac::Control::kEnable);
  }
  void PutDescriptor(std::size_t slot, std::uint64_t from, std::uint64_t to, std::uint32_t length) {
    const dmac::Descriptor descriptor{.source = from, .destination = to, .length = length};
    std::memcpy(client().memory().data() + slot * sizeof(descriptor), &descriptor,
                sizeof(descriptor));
  }
  [[nodiscard]] dmac::WrittenBack ReadWriteBack() {
    dmac::WrittenBack back;
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

  DmaWay way_;
  SocketPair pair_;
  std::unique_ptr<FakeClient> client_ = std::make_unique<FakeClient>(std::move(pair_.client));
  EventLog log_;
  std::optional<Error> ended_;  // after End() and AwaitEnd()
  std::promise<void> has_ended_;
  std::thread server_;
};

}  // namespace carryover::vfio_user
