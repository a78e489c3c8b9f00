// SPDX-License-Identifier: GPL-2.0-only
// What of a client's requests comes to a model, and what of a model's interrupts to a client.
#include <gmock/gmock.h>
#include <linux/vfio.h>

#include <atomic>
#include <thread>
#include <utility>

#include "drivers/access/await_readable.h"
#include "drivers/access/event_wait.h"
#include "drivers/access/result_matchers.h"
#include "drivers/vfio_user/fake_client.h"
#include "drivers/vfio_user/server.h"

namespace carryover::vfio_user {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

struct Access {
  bool write;
  unsigned bar;
  std::size_t offset;
  std::size_t size;
  std::uint64_t value;
  bool operator==(const Access&) const = default;
};

// Keeps what it is asked; a write to BAR 0 at 0 raises an interrupt of the kind that is written.
class RecordingModel final : public DeviceModel {
 public:
  explicit RecordingModel(ModelHost& host) : DeviceModel(host) {}

  [[nodiscard]] const ModelIdentity& identity() const override { return identity_; }
  [[nodiscard]] std::uint64_t Read(unsigned bar, std::size_t offset, std::size_t size) override {
    accesses_.push_back({false, bar, offset, size, 0});
    return 0x8877'6655'4433'2211;
  }
  void Write(unsigned bar, std::size_t offset, std::size_t size, std::uint64_t value) override {
    accesses_.push_back({true, bar, offset, size, value});
    if (bar == 0 && offset == 0) raise_ = static_cast<InterruptKind>(value);
  }
  void ResetFunction() override {}
  void Work() override {
    if (const auto kind = std::exchange(raise_, std::nullopt)) host().Raise(*kind, 0);
  }

  [[nodiscard]] std::vector<Access> Taken() { return std::exchange(accesses_, {}); }

 private:
  ModelIdentity identity_{
      .id = {.vendor = 0x1234, .device = 0x0002},
      .class_code = 0xff0000,
      .bars = {{.index = 0, .size = 16384, .wide = true}, {.index = 2, .size = 4096}},
      .msix_vectors = 2,
      .msi_vectors = 1,
      .intx = true,
      .msix_bar = 0,
      .msix_offset = 0x2000};
  std::vector<Access> accesses_;
  std::optional<InterruptKind> raise_;
};

// The server's steps are done while the client waits for its answer.
class VfioUserRegion : public testing::Test {
 protected:
  VfioUserRegion() {
    Serve([this] { client_.Negotiate(); });
  }
  template <typename Call>
  void Serve(Call call) {
    std::jthread asking([&] {
      call();
      done_ = true;
      // Wakes the server.
      client_.PostRegion(VFIO_PCI_CONFIG_REGION_INDEX, 0, 4, 0);
    });
    for (done_ = false; !done_;) {
      ASSERT_OK(server_.Step());
      (void)AwaitReadable(server_.fd(), Deadline::After(std::chrono::seconds(10)));
    }
    asking.join();
    ASSERT_OK(server_.Step());
  }
  std::uint64_t Read(std::uint32_t region, std::uint64_t offset, std::uint32_t size) {
    std::uint64_t value = 0;
    Serve([&] { value = client_.ReadRegion(region, offset, size); });
    return value;
  }
  void Write(std::uint32_t region, std::uint64_t offset, std::uint32_t size, std::uint64_t value) {
    Serve([&] { client_.WriteRegion(region, offset, size, value); });
  }
  void SetIrqs(std::uint32_t flags, std::uint32_t index, std::uint32_t count,
               std::span<const int> fds = {}) {
    const vfio_user::SetIrqs set{
        .argsz = 20, .flags = flags, .index = index, .start = 0, .count = count};
    Serve([&] {
      const Message reply = client_.Ask(Command::kSetIrqs, FakeClient::Bytes(set), fds);
      EXPECT_EQ(reply.header.flags & Header::kError, 0U) << flags;
    });
  }
  [[nodiscard]] std::vector<Access> Taken() {
    return dynamic_cast<RecordingModel&>(server_.model()).Taken();
  }

  SocketPair pair_;
  EventLog log_;
  Server server_{std::move(pair_.server),
                 [](ModelHost& host) { return std::make_unique<RecordingModel>(host); }, log_};
  FakeClient client_{std::move(pair_.client)};
  std::atomic<bool> done_ = false;
};

TEST_F(VfioUserRegion, AllSizesComeToTheModel) {
  EXPECT_EQ(Read(0, 0x103, 1), 0x11U);
  EXPECT_EQ(Read(0, 0x102, 2), 0x2211U);
  EXPECT_EQ(Read(2, 0xffc, 4), 0x4433'2211U);
  EXPECT_EQ(Read(0, 0x3ff8, 8), 0x8877'6655'4433'2211U);
  EXPECT_THAT(Taken(), ElementsAre(Access{false, 0, 0x103, 1, 0}, Access{false, 0, 0x102, 2, 0},
                                   Access{false, 2, 0xffc, 4, 0}, Access{false, 0, 0x3ff8, 8, 0}));
  for (const std::uint32_t size : {1U, 2U, 4U, 8U}) Write(0, 8, size, 0x0102'0304'0506'0708);
  EXPECT_THAT(Taken(), ElementsAre(Access{true, 0, 8, 1, 0x08}, Access{true, 0, 8, 2, 0x0708},
                                   Access{true, 0, 8, 4, 0x0506'0708},
                                   Access{true, 0, 8, 8, 0x0102'0304'0506'0708}));
}

// QEMU has the table, and reads the pending bits here.
TEST_F(VfioUserRegion, TheMsixTableIsNotTheModels) {
  Write(0, 0x2000, 4, 0xfee0'0000);
  EXPECT_EQ(Read(0, 0x2000, 4), 0U);
  EXPECT_EQ(Read(0, 0x2800, 8), 0U);
  EXPECT_EQ(Read(0, 0x2ffc, 4), 0U);
  EXPECT_THAT(Taken(), IsEmpty());
  (void)Read(0, 0x1ffc, 4);
  (void)Read(0, 0x3000, 4);
  (void)Read(2, 0, 4);
  EXPECT_EQ(Taken().size(), 3U);
}

TEST_F(VfioUserRegion, EachKindHasItsOwnVectors) {
  struct Kind {
    InterruptKind kind;
    std::uint32_t index;
  };
  constexpr std::array kKinds{Kind{InterruptKind::kIntx, VFIO_PCI_INTX_IRQ_INDEX},
                              Kind{InterruptKind::kMsi, VFIO_PCI_MSI_IRQ_INDEX},
                              Kind{InterruptKind::kMsix, VFIO_PCI_MSIX_IRQ_INDEX}};
  ASSERT_OK_AND_ASSIGN(EventSet events, EventSet::Create(kKinds.size()));
  for (std::size_t i = 0; i < kKinds.size(); ++i) {
    SetIrqs(VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, kKinds.at(i).index, 1,
            events.fds().subspan(i, 1));
  }
  for (unsigned i = 0; i < kKinds.size(); ++i) {
    Write(0, 0, 4, static_cast<std::uint64_t>(kKinds.at(i).kind));
    ASSERT_OK(events.Wait(i, Deadline::After(std::chrono::seconds(10))));
    for (unsigned other = 0; other < kKinds.size(); ++other) EXPECT_EQ(events.Take(other), 0U);
  }
}

// As QEMU does for INTx, at each interrupt's end.
TEST_F(VfioUserRegion, TakesMaskAndUnmask) {
  SetIrqs(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_MASK, VFIO_PCI_INTX_IRQ_INDEX, 1);
  SetIrqs(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK, VFIO_PCI_INTX_IRQ_INDEX, 1);
}

// QEMU asks for those of errors and of removal.
TEST_F(VfioUserRegion, TakesWhatNoModelRaises) {
  SetIrqs(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_PCI_ERR_IRQ_INDEX, 0);
}

}  // namespace
}  // namespace carryover::vfio_user
