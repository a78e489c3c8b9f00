// SPDX-License-Identifier: GPL-2.0-only
// What a client of the server sees of a device that works.
#include "drivers/vfio_user/server.h"

#include <gmock/gmock.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "drivers/access/event_wait.h"
#include "drivers/vfio_user/dmac_server.h"

namespace carryover::vfio_user {
namespace {

using std::chrono::milliseconds;
using namespace carryover::dmac;  // NOLINT(google-build-using-namespace): the registers

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
  const std::uint64_t at = Capability(PCI_CAP_ID_EXP);
  ASSERT_NE(at, 0U);
  EXPECT_NE(client().ReadRegion(kConfig, at + PCI_EXP_DEVCAP, 4) & PCI_EXP_DEVCAP_FLR, 0U);
  client().WriteRegion(kConfig, at + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR);
  EXPECT_EQ(client().ReadRegion(0, RingBase::kOffset, 8), 0U);
  EXPECT_EQ(client().ReadRegion(kConfig, PCI_COMMAND, 2), 0U);
  EXPECT_EQ(client().ReadRegion(kConfig, at + PCI_EXP_DEVCTL, 2), 0U);
  EXPECT_EQ(Logged("reset").at(0).at("by"), "function");
}

TEST_F(VfioUserServer, NeitherCopiesNorInterruptsInD3hot) {
  StartRing();
  Fill(0x2000, 64);
  ASSERT_OK_AND_ASSIGN(EventSet events, EventSet::Create(1));
  SetIrqs(VFIO_PCI_MSIX_IRQ_INDEX, 0, events.fds());
  const std::uint64_t power = Capability(PCI_CAP_ID_PM);
  ASSERT_NE(power, 0U);
  client().WriteRegion(kConfig, power + PCI_PM_CTRL, 2, 3);
  PutDescriptor(0, FakeClient::kBase + 0x2000, FakeClient::kBase + 0x8000, 64);
  const std::size_t before = client().dma_requests();
  client().WriteRegion(0, Tail::kOffset, 4, 1);
  client().WriteRegion(0, Raise::kOffset, 4, 0);
  (void)client().ReadRegion(0, Id::kOffset, 4);
  EXPECT_EQ(client().dma_requests(), before);
  EXPECT_FALSE(Same(0x2000, 0x8000, 64));
  for (const auto& interrupt : Logged("interrupt")) EXPECT_EQ(interrupt.at("sent"), false);
  EXPECT_FALSE(Logged("interrupt").empty());

  client().WriteRegion(kConfig, power + PCI_PM_CTRL, 2, 0);
  EXPECT_EQ(client().ReadRegion(0, RingBase::kOffset, 8), FakeClient::kBase)
      << "leaving D3hot is no reset";
  client().WriteRegion(0, Raise::kOffset, 4, 0);
  ASSERT_OK(events.Wait(0, Deadline::After(std::chrono::seconds(10))));
  const auto changes = Logged("d3hot");
  ASSERT_EQ(changes.size(), 2U);
  EXPECT_EQ(changes[0].at("on"), true);
  EXPECT_EQ(changes[1].at("on"), false);
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

class VfioUserRogue : public VfioUserServer {
 protected:
  static constexpr std::uint64_t kSize = 4096;

  VfioUserRogue() : VfioUserServer(DmaWay::kRogue), memory_(memfd_create("guest", MFD_CLOEXEC)) {
    EXPECT_EQ(ftruncate(memory_.get(), kSize), 0);
  }
  [[nodiscard]] std::uint64_t Word() const {
    std::uint64_t word = 0;
    EXPECT_EQ(pread(memory_.get(), &word, sizeof(word), 0), ssize_t{sizeof(word)});
    return word;
  }
  // Until it has become another.
  void AwaitWrite() const {
    const std::uint64_t before = Word();
    const auto end = Deadline::After(std::chrono::seconds(10));
    while (Word() == before && !end.Passed()) std::this_thread::sleep_for(milliseconds(1));
    EXPECT_NE(Word(), before);
  }

  UniqueFd memory_;
};

// Bus master is off, and the client is not asked.
TEST_F(VfioUserRogue, WritesWhatIsMappedUntilItIsUnmapped) {
  constexpr std::uint64_t kAt = 0x7000;
  client().WriteRegion(0, FaultAddress::kOffset, 8, kAt);
  client().WriteRegion(0, Faults::kOffset, 4, Faults::kRogue);
  const DmaMap map{
      .argsz = sizeof(DmaMap), .flags = VFIO_DMA_MAP_FLAG_READ, .address = kAt, .size = kSize};
  const int fd = memory_.get();
  (void)client().Ask(Command::kDmaMap, FakeClient::Bytes(map), {&fd, 1});
  ASSERT_NO_FATAL_FAILURE(AwaitWrite());
  const DmaUnmap unmap{.argsz = sizeof(DmaUnmap), .address = kAt, .size = kSize};
  (void)client().Ask(Command::kDmaUnmap, FakeClient::Bytes(unmap));
  const std::uint64_t last = Word();
  std::this_thread::sleep_for(milliseconds(20));
  EXPECT_EQ(Word(), last);
  EXPECT_EQ(client().dma_requests(), 0U);
}

}  // namespace
}  // namespace carryover::vfio_user
