// SPDX-License-Identifier: GPL-2.0-only
// What the conformance suite cannot know of this driver: its ids, its chain and counter, and what
// it says of channels that fail.
#include <linux/pci_regs.h>

#include <array>
#include <cstring>

#include "drivers/ioat/ioat_bench.h"
#include "drivers/ioat/region.h"

namespace carryover::ioat {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

class Ioat : public IoatBench {
 protected:
  using IoatBench::IoatBench;
  void TearDown() override { EXPECT_THAT(device_.violations(), IsEmpty()); }
  [[nodiscard]] Descriptor DescriptorAt(std::size_t slot) const {
    Descriptor descriptor;
    std::memcpy(&descriptor, arena_.region().memory.data() + 4096 + slot * sizeof(Descriptor),
                sizeof(descriptor));
    return descriptor;
  }
  void StoreDescriptor(std::size_t slot, const Descriptor& descriptor) {
    std::memcpy(arena_.region().memory.data() + 4096 + slot * sizeof(Descriptor), &descriptor,
                sizeof(descriptor));
  }
  [[nodiscard]] Iova DescriptorIova(std::size_t slot) const {
    return arena_.region().iova + 4096 + slot * sizeof(Descriptor);
  }
  [[nodiscard]] Result<void> Attach() {
    driver_ = Entry().make(pci(), {});
    return driver_->Attach(arena_.region());
  }
};

TEST(IoatProbe, TakesChannelsOfXeonsOnly) {
  for (std::uint16_t device = 0; device < 0xffff; ++device) {
    const bool e5 = (device >= 0x0e20 && device <= 0x0e27) ||
                    (device >= 0x2f20 && device <= 0x2f27) ||
                    (device >= 0x6f20 && device <= 0x6f27);
    EXPECT_EQ(Entry().probe({.id = {.vendor = 0x8086, .device = device}}), e5 || device == 0x2021)
        << std::hex << device;
    EXPECT_FALSE(Entry().probe({.id = {.vendor = 0x8087, .device = device}}));
  }
}

TEST_F(Ioat, TellsAVersionItDoesNotKnow) {
  for (const auto version : std::initializer_list<std::uint8_t>{0x12, 0x30, 0x31, 0x34, 0x42}) {
    ModelDevice<IoatModel> device(ChannelKind{.version = version});
    arena_.MapIn(device.device().iommu());
    const auto started = Entry().make(device.device(), {})->Start(arena_.region(), Soon());
    EXPECT_THAT(started, FailsWith(ENOTSUP));
  }
}

TEST_F(Ioat, TellsAnXferCapThatCannotBe) {
  for (const auto exponent : std::initializer_list<std::uint8_t>{1, 11}) {
    ModelDevice<IoatModel> device(ChannelKind{.xfercap = exponent});
    arena_.MapIn(device.device().iommu());
    EXPECT_THAT(Entry().make(device.device(), {})->Start(arena_.region(), Soon()), FailsWith(EIO));
  }
}

TEST_F(Ioat, TellsAFunctionWithoutAChannel) {
  ModelDevice<IoatModel> device(ChannelKind{.channels = 0});
  arena_.MapIn(device.device().iommu());
  EXPECT_THAT(Entry().make(device.device(), {})->Start(arena_.region(), Soon()),
              FailsWith(ENOTSUP));
}

// XFERCAP 0 is 4 GiB.
TEST_F(Ioat, SplitsCopiesAsXferCapSays) {
  constexpr std::size_t kLength = 100'000;
  for (const auto exponent : std::initializer_list<std::uint8_t>{0, 12, 13, 16, 17, 20}) {
    SCOPED_TRACE(testing::Message() << "XFERCAP " << int{exponent});
    ModelDevice<IoatModel> device(ChannelKind{.xfercap = exponent});
    arena_.MapIn(device.device().iommu());
    const auto driver = Entry().make(device.device(), {});
    ASSERT_OK(driver->Start(arena_.region(), Soon()));
    const DmaCopy copy{
        .source = arena_.At(1), .destination = arena_.At(kHalf + 2), .length = kLength};
    ASSERT_OK(driver->Copy({&copy, 1}));
    const std::size_t piece = exponent == 0 ? kLength : std::size_t{1} << exponent;
    EXPECT_EQ((*device.device().Bar(0))->Read16(DmaCount::kOffset), (kLength + piece - 1) / piece);
    ASSERT_OK(driver->Wait(Soon()));
    arena_.Expect(copy);
    EXPECT_TRUE(arena_.Matches());
    EXPECT_THAT(device.violations(), IsEmpty());
  }
}

// DMACOUNT counts on over the ring's end, and begins anew after 65535.
TEST_F(Ioat, CountsOnWhenDmaCountWraps) {
  Start();
  const std::vector<DmaCopy> batch(
      1000, {.source = arena_.At(0), .destination = arena_.At(kHalf), .length = 1});
  for (std::size_t posted = 0; posted < 140'000; posted += batch.size()) {
    ASSERT_OK(driver_->Copy(batch));
    ASSERT_OK(driver_->Wait(Soon()));
    EXPECT_EQ(bar().Read16(DmaCount::kOffset), (posted + batch.size()) & 0xffff);
    if (posted == 66'000) {
      ASSERT_OK(driver_->Save());
      ASSERT_OK(Attach());
    }
  }
  arena_.Expect(batch[0]);
  CopyOne();
}

// A multiple of 65536 descriptors is not none.
TEST_F(Ioat, IsTakenOverWithDmaCountZeroAgain) {
  Start();
  const std::vector<DmaCopy> batch(
      1024, {.source = arena_.At(0), .destination = arena_.At(kHalf), .length = 1});
  for (int i = 0; i < 64; ++i) {
    ASSERT_OK(driver_->Copy(batch));
    ASSERT_OK(driver_->Wait(Soon()));
  }
  EXPECT_EQ(bar().Read16(DmaCount::kOffset), 0);
  ASSERT_OK(driver_->Save());
  ASSERT_OK(Attach());
  ASSERT_OK(driver_->Quiesce(Soon()));
  EXPECT_EQ(State(), ChanSts::kSuspended);
  ASSERT_OK(driver_->Save());
  ASSERT_OK(Attach());
  ASSERT_OK(driver_->Resume(Soon()));
  arena_.Expect(batch[0]);
  CopyOne();
}

TEST_F(Ioat, LinksARingOfItsDescriptors) {
  Start();
  CopyOne();
  EXPECT_EQ(bar().Read64(ChainAddr::kOffset), DescriptorIova(0));
  EXPECT_EQ(bar().Read64(ChanCmp::kOffset) % 64, 0);
  for (std::size_t slot = 0; slot < kRingSize; ++slot) {
    EXPECT_EQ(DescriptorAt(slot).next, DescriptorIova((slot + 1) % kRingSize)) << slot;
  }
  EXPECT_EQ(DescriptorAt(0).control, Descriptor::kCompletion);
}

TEST_F(Ioat, AsksForAReportOfTheLastOfABatch) {
  Start();
  const std::vector<DmaCopy> batch(
      3, {.source = arena_.At(0), .destination = arena_.At(kHalf), .length = 64});
  ASSERT_OK(driver_->Copy(batch));
  ASSERT_OK(driver_->Wait(Soon()));
  EXPECT_EQ(DescriptorAt(0).control, 0);
  EXPECT_EQ(DescriptorAt(1).control, 0);
  EXPECT_EQ(DescriptorAt(2).control, Descriptor::kCompletion);
  arena_.Expect(batch[0]);
}

TEST_F(Ioat, UsesNoInterruptButItsOwn) {
  EnableInterrupts();
  Start();
  EXPECT_EQ(bar().Read8(IntrCtrl::kOffset), IntrCtrl::kMasterEnable | IntrCtrl::kMsixVectors);
  EXPECT_EQ(bar().Read16(IntrDelay::kOffset) & IntrDelay::kMask, 0);
  EXPECT_EQ(bar().Read16(ChanCtrl::kOffset) & ChanCtrl::kErrorInterrupt, 0);
  device_.FailNextCopy();
  Post();
  EXPECT_THAT(driver_->Wait(Soon()), FailsWith(EIO));
  EXPECT_EQ(TakeInterrupts(), 0);
  ASSERT_OK(driver_->Stop(Soon()));
  EXPECT_EQ(bar().Read8(IntrCtrl::kOffset), 0);
  arena_.Refill(1);
}

TEST_F(Ioat, ResetsAnInterruptDelay) {
  bar().Write16(IntrDelay::kOffset, 1000);
  Start();
  EXPECT_EQ(bar().Read16(IntrDelay::kOffset), IntrDelay::kCoalescing);
}

// The interrupt is a descriptor, which nobody waits for.
TEST_F(Ioat, SavesAfterAnInterrupt) {
  EnableInterrupts();
  Start();
  ASSERT_OK(driver_->RaiseInterrupt());
  EXPECT_EQ(bar().Read16(DmaCount::kOffset), 1);
  EXPECT_EQ(DescriptorAt(0).control,
            Descriptor::kCompletion | Descriptor::kNull | Descriptor::kInterrupt);
  ASSERT_OK(driver_->Save());
  ASSERT_OK(Attach());
  ASSERT_OK(driver_->RaiseInterrupt());
  EXPECT_EQ(TakeInterrupts(), 2);
}

// The channel disables its interrupt by each; a second one before that would be lost.
TEST_F(Ioat, WaitsForAnInterruptBeforeItRaisesTheNext) {
  EnableInterrupts();
  Start();
  device_.SetHung(true);
  Post();
  ASSERT_OK(driver_->RaiseInterrupt());
  EXPECT_EQ(TakeInterrupts(), 0);
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_OK(driver_->RaiseInterrupt());
  const auto waited = std::chrono::steady_clock::now() - begin;
  EXPECT_GE(waited, std::chrono::milliseconds(50));
  EXPECT_LT(waited, std::chrono::seconds(1));
  device_.SetHung(false);
  ASSERT_OK(driver_->Wait(Soon()));
  EXPECT_EQ(TakeInterrupts(), 1) << "the channel could not know of the second";
  ASSERT_OK(driver_->RaiseInterrupt());
  EXPECT_EQ(TakeInterrupts(), 1);
}

TEST_F(Ioat, KeepsAnInterruptThatIsPostedOverQuiesce) {
  EnableInterrupts();
  Start();
  device_.SetHung(true);
  Post();
  ASSERT_OK(driver_->RaiseInterrupt());
  ASSERT_OK(driver_->Quiesce(Soon()));
  device_.SetHung(false);
  EXPECT_EQ(TakeInterrupts(), 0);
  ASSERT_OK(driver_->Resume(Soon()));
  ASSERT_OK(driver_->Wait(Soon()));
  EXPECT_EQ(TakeInterrupts(), 1);
}

// There is always room for an interrupt.
TEST_F(Ioat, RaisesAnInterruptBehindAFullRing) {
  EnableInterrupts();
  Start();
  device_.SetHung(true);
  const DmaCopy copy{.source = arena_.At(0), .destination = arena_.At(kHalf), .length = 1};
  std::size_t posted = 0;
  while (driver_->Copy({&copy, 1})) ++posted;
  EXPECT_EQ(posted, kRingSize - 2);
  ASSERT_OK(driver_->RaiseInterrupt());
  EXPECT_THAT(driver_->RaiseInterrupt(), FailsWith(ENOSPC)) << "the ring is full";
  device_.SetHung(false);
  ASSERT_OK(driver_->Wait(Soon()));
  EXPECT_EQ(TakeInterrupts(), 1);
  arena_.Expect(copy);
  CopyOne();
}

TEST_F(Ioat, NamesTheErrorsOfTheChannel) {
  const struct {
    DmaCopy copy;
    const char* name;
  } rows[] = {
      {{.source = arena_.end(), .destination = arena_.At(0), .length = 1}, "source address"},
      {{.source = arena_.At(0), .destination = arena_.end(), .length = 1}, "destination address"},
  };
  for (const auto& row : rows) {
    Start();
    ASSERT_OK(driver_->Copy({&row.copy, 1}));
    const auto waited = driver_->Wait(Soon());
    ASSERT_THAT(waited, FailsWith(EIO));
    EXPECT_THAT(waited.error().message, AllOf(HasSubstr(row.name), HasSubstr("1 of 1")));
    EXPECT_EQ(State(), ChanSts::kHalted);
  }
  Start();
  CopyOne();
}

// The channel can then not write that it halted.
TEST_F(Ioat, TellsAtOnceThatItsRegionIsNotMapped) {
  DmaRegion region = arena_.region();
  region.iova = 0x4000'0000;
  ASSERT_OK(driver_->Start(region, Soon()));
  const DmaCopy copy{.source = arena_.At(0), .destination = arena_.At(kHalf), .length = 1};
  ASSERT_OK(driver_->Copy({&copy, 1}));
  const auto waited = driver_->Wait(Soon());
  ASSERT_THAT(waited, FailsWith(EIO));
  EXPECT_THAT(waited.error().message,
              AllOf(HasSubstr("next descriptor's address"), HasSubstr("completion address")));
}

TEST_F(Ioat, TellsACompletionThatCannotBe) {
  for (const Iova forged : {DescriptorIova(1), DescriptorIova(kRingSize), DescriptorIova(0) - 64}) {
    Start();
    device_.SetHung(true);
    const DmaCopy copy{.source = arena_.At(0), .destination = arena_.At(kHalf), .length = 1};
    ASSERT_OK(driver_->Copy({&copy, 1}));
    const std::uint64_t status = forged | ChanSts::kDone;
    ASSERT_TRUE(pci().iommu().DeviceWrite(bar().Read64(ChanCmp::kOffset),
                                          std::as_bytes(std::span(&status, 1))));
    EXPECT_THAT(driver_->Wait(Almost()), FailsWith(EIO)) << std::hex << forged;
  }
  ASSERT_OK(driver_->Stop(Soon()));
}

// No look at the channel is needed for it.
TEST_F(Ioat, TellsAnErrorAtTheDeadline) {
  Start();
  device_.FailNextCopy();
  const DmaCopy copy{.source = arena_.At(0), .destination = arena_.At(kHalf), .length = 1};
  ASSERT_OK(driver_->Copy({&copy, 1}));
  EXPECT_THAT(driver_->Wait(Deadline::After(std::chrono::nanoseconds(0))), FailsWith(EIO));
}

class IoatThatHangs : public Ioat {
 protected:
  IoatThatHangs() : Ioat(ChannelKind{.hung_channel_suspends = false}) {}
};

// In the middle of a descriptor. A reset is the last resort.
TEST_F(IoatThatHangs, IsResetNevertheless) {
  Start();
  device_.SetHung(true);
  const DmaCopy copy{.source = arena_.At(0), .destination = arena_.At(kHalf), .length = 1};
  ASSERT_OK(driver_->Copy({&copy, 1}));
  EXPECT_THAT(driver_->Quiesce(Almost()), FailsWith(ETIMEDOUT));
  const auto begin = std::chrono::steady_clock::now();
  Start();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(1));
  device_.SetHung(false);
  EXPECT_TRUE(arena_.Matches());
  CopyOne();
}

// What the channel did before it was suspended is not done again: its source may be gone.
TEST_F(Ioat, ResumesBehindWhatIsDone) {
  Start();
  device_.SetHung(true);
  Post(10);
  Post(20);
  Post(30);
  device_.LetThrough(2);
  ASSERT_OK(driver_->Quiesce(Soon()));
  EXPECT_EQ(State(), ChanSts::kSuspended);
  ASSERT_OK(driver_->Resume(Soon()));
  EXPECT_EQ(bar().Read64(ChainAddr::kOffset), DescriptorIova(2));
  EXPECT_EQ(bar().Read16(DmaCount::kOffset), 1);
  device_.SetHung(false);
  ASSERT_OK(driver_->Wait(Soon()));
  EXPECT_TRUE(arena_.Matches());
}

TEST_F(Ioat, TellsAnErrorThatCameBeforeItWasQuiesced) {
  Start();
  device_.FailNextCopy();
  const DmaCopy copy{.source = arena_.At(0), .destination = arena_.At(kHalf), .length = 1};
  ASSERT_OK(driver_->Copy({&copy, 1}));
  ASSERT_OK(driver_->Quiesce(Soon()));
  const auto resumed = driver_->Resume(Soon());
  ASSERT_THAT(resumed, FailsWith(EIO));
  EXPECT_THAT(resumed.error().message, HasSubstr("DMA data parity"));
  Start();
  CopyOne();
}

// Each register that says how the channel was saved.
TEST_F(Ioat, IsNotTakenOverWithAnyRegisterChanged) {
  Start();
  CopyOne();
  ASSERT_OK(driver_->Save());
  bar().Write64(ChanCmp::kOffset, bar().Read64(ChanCmp::kOffset) + 64);
  EXPECT_THAT(Attach(), FailsWith(EIO)) << "CHANCMP";
  bar().Write64(ChanCmp::kOffset, bar().Read64(ChanCmp::kOffset) - 64);
  EXPECT_OK(Attach());

  ASSERT_OK(driver_->Quiesce(Soon()));
  ASSERT_OK(driver_->Save());
  const std::uint64_t chain = bar().Read64(ChainAddr::kOffset);
  bar().Write64(ChainAddr::kOffset, chain);
  EXPECT_THAT(Attach(), FailsWith(EIO)) << "CHANSTS";

  Start();
  ASSERT_OK(driver_->Save());
  bar().Write64(ChainAddr::kOffset, chain + 64);
  EXPECT_THAT(Attach(), FailsWith(EIO)) << "CHAINADDR";
  bar().Write64(ChainAddr::kOffset, chain);
  EXPECT_OK(Attach());
  CopyOne();
}

// As many copies as the ring has descriptors: the last one's address is the same.
TEST_F(Ioat, IsNotTakenOverAfterAWholeRingOfCopies) {
  Start();
  CopyOne();
  ASSERT_OK(driver_->Save());
  const std::vector<DmaCopy> batch(
      kRingSize / 4, {.source = arena_.At(0), .destination = arena_.At(kHalf), .length = 1});
  for (int i = 0; i < 4; ++i) {
    ASSERT_OK(driver_->Copy(batch));
    ASSERT_OK(driver_->Wait(Soon()));
  }
  EXPECT_THAT(Attach(), FailsWith(EIO));
}

// As many descriptors of the same chain, but others.
TEST_F(Ioat, IsNotTakenOverWhenAnotherDescriptorWasTheLast) {
  Start();
  CopyOne();
  CopyOne();
  ASSERT_OK(driver_->Save());
  bar().Write8(ChanCmd::kOffset, ChanCmd::kSuspend);
  StoreDescriptor(0, {.size = 8, .control = Descriptor::kNull, .next = DescriptorIova(7)});
  StoreDescriptor(7, {.size = 8, .control = Descriptor::kNull, .next = DescriptorIova(8)});
  bar().Write64(ChainAddr::kOffset, DescriptorIova(0));
  bar().Write16(DmaCount::kOffset, 2);
  EXPECT_EQ(bar().Read64(ChanSts::kOffset), DescriptorIova(7) | ChanSts::kDone);
  EXPECT_THAT(Attach(), FailsWith(EIO));
}

// Quiesced before its first descriptor, and used then by somebody who failed.
TEST_F(Ioat, IsNotTakenOverWithAnError) {
  Start();
  ASSERT_OK(driver_->Quiesce(Soon()));
  ASSERT_OK(driver_->Save());
  StoreDescriptor(0, {.size = 8, .control = Descriptor::kNull, .next = DescriptorIova(1)});
  bar().Write64(ChainAddr::kOffset, DescriptorIova(0));
  device_.FailNextCopy();
  bar().Write16(DmaCount::kOffset, 1);
  bar().Write64(ChainAddr::kOffset, DescriptorIova(0));
  EXPECT_EQ(State(), ChanSts::kHalted);
  EXPECT_EQ(bar().Read16(DmaCount::kOffset), 0);
  EXPECT_THAT(Attach(), FailsWith(EIO));
}

// Quiesced before its first descriptor, and reset then by somebody.
TEST_F(Ioat, IsNotTakenOverQuiescedAfterAReset) {
  Start();
  ASSERT_OK(driver_->Quiesce(Soon()));
  ASSERT_OK(driver_->Save());
  EXPECT_OK(Attach());
  ASSERT_OK(Entry().make(pci(), {})->Stop(Soon()));
  ASSERT_OK(pci().SetBusMaster(true));
  EXPECT_THAT(Attach(), FailsWith(EIO));
}

// A channel whose reset changes no register but its state's.
class IoatThatKeepsRegisters : public Ioat {
 protected:
  IoatThatKeepsRegisters() : Ioat(ChannelKind::Smallest()) {}
};

TEST_F(IoatThatKeepsRegisters, IsNotTakenOverQuiescedAfterAReset) {
  Start();
  ASSERT_OK(driver_->Quiesce(Soon()));
  ASSERT_OK(driver_->Save());
  EXPECT_OK(Attach());
  ASSERT_OK(Entry().make(pci(), {})->Stop(Soon()));
  ASSERT_OK(pci().SetBusMaster(true));
  EXPECT_THAT(Attach(), FailsWith(EIO));
}

TEST_F(IoatThatKeepsRegisters, IsStartedAndStoppedWithAllRegistersSet) {
  bar().Write32(ChanErrMsk::kOffset, 0x3e07);
  Start();
  EXPECT_EQ(bar().Read32(ChanErrMsk::kOffset), 0) << "an error that is not told";
  ASSERT_OK(driver_->Stop(Soon()));
  EXPECT_EQ(bar().Read16(ChanCtrl::kOffset), 0) << "the channel is still in use";
}

// A piece of a copy takes a descriptor.
TEST_F(IoatThatKeepsRegisters, TakesFewerCopiesThatAreLong) {
  Start();
  device_.SetHung(true);
  const DmaCopy copy{.source = arena_.At(0),
                     .destination = arena_.At(kHalf),
                     .length = driver_->traits().max_copy_bytes};
  std::size_t posted = 0;
  while (posted < kRingSize && driver_->Copy({&copy, 1})) ++posted;
  EXPECT_EQ(posted, driver_->traits().max_in_flight);
  EXPECT_EQ(posted, (kRingSize - 2) / 32);
  device_.SetHung(false);
  ASSERT_OK(driver_->Wait(Soon()));
  arena_.Expect(copy);
  EXPECT_TRUE(arena_.Matches());
}

// Where a PCI Express capability is found.
TEST_F(Ioat, DisablesRelaxedOrdering) {
  auto& config = pci().config();
  constexpr std::size_t kPower = 0xe0;
  constexpr std::size_t kExpress = 0x90;
  config[PCI_CAPABILITY_LIST] = kPower;
  config[kPower] = PCI_CAP_ID_PM;
  config[kPower + PCI_CAP_LIST_NEXT] = kExpress;
  config[kExpress] = PCI_CAP_ID_EXP;
  config[kExpress + PCI_EXP_DEVCTL] = 0x3f;
  config[kExpress + PCI_EXP_DEVCTL + 1] = 0x29;
  Start();
  EXPECT_EQ(config[kExpress + PCI_EXP_DEVCTL], 0x3f & ~PCI_EXP_DEVCTL_RELAX_EN);
  EXPECT_EQ(config[kExpress + PCI_EXP_DEVCTL + 1], 0x29);
}

// A list that bites its own tail.
TEST_F(Ioat, GivesUpOnACapabilityListWithoutEnd) {
  auto& config = pci().config();
  config[PCI_CAPABILITY_LIST] = 0x40;
  config[0x40] = PCI_CAP_ID_PM;
  config[0x41] = 0x40;
  Start();
  CopyOne();
}

// A channel whose errors are kept in configuration space, too.
class WithErrorRegister final : public PciDevice {
 public:
  explicit WithErrorRegister(PciDevice& device) : device_(device) {}

  [[nodiscard]] std::uint32_t errors() const { return errors_; }

  [[nodiscard]] PciId id() const override { return device_.id(); }
  [[nodiscard]] Result<Mmio*> Bar(unsigned index) override { return device_.Bar(index); }
  [[nodiscard]] Result<std::uint32_t> ReadConfig(std::size_t offset, std::size_t size) override {
    if (offset == ChanErrInt::kOffset && size == 4) return errors_;
    return device_.ReadConfig(offset, size);
  }
  [[nodiscard]] Result<void> WriteConfig(std::size_t offset, std::size_t size,
                                         std::uint32_t value) override {
    if (offset != ChanErrInt::kOffset || size != 4) {
      return device_.WriteConfig(offset, size, value);
    }
    errors_ &= ~value;
    return {};
  }
  [[nodiscard]] Result<void> SetBusMaster(bool on) override { return device_.SetBusMaster(on); }
  [[nodiscard]] Result<void> Reset() override { return device_.Reset(); }
  [[nodiscard]] Result<unsigned> InterruptVectors(InterruptKind kind) override {
    return device_.InterruptVectors(kind);
  }
  [[nodiscard]] Result<void> EnableInterrupts(InterruptKind kind,
                                              std::span<const int> event_fds) override {
    return device_.EnableInterrupts(kind, event_fds);
  }
  [[nodiscard]] Result<void> DisableInterrupts(InterruptKind kind) override {
    return device_.DisableInterrupts(kind);
  }
  [[nodiscard]] Result<void> UnmaskIntx() override { return device_.UnmaskIntx(); }
  [[nodiscard]] Result<void> MaskMsix(unsigned vector) override { return device_.MaskMsix(vector); }
  [[nodiscard]] Result<void> UnmaskMsix(unsigned vector, int event_fd) override {
    return device_.UnmaskMsix(vector, event_fd);
  }
  [[nodiscard]] Iommu& iommu() override { return device_.iommu(); }

 private:
  PciDevice& device_;
  std::uint32_t errors_ = 0x401;
};

TEST_F(Ioat, ClearsTheErrorsInConfigurationSpace) {
  WithErrorRegister device(pci());
  driver_ = Entry().make(device, {});
  Start();
  EXPECT_EQ(device.errors(), 0);
  CopyOne();
}

}  // namespace
}  // namespace carryover::ioat
