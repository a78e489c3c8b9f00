// SPDX-License-Identifier: GPL-2.0-only
// What only an NVMe controller does: other blocks, PRPs, and what the driver refuses.
#include "drivers/nvme/nvme.h"

#include <gmock/gmock.h>

#include <functional>

#include "drivers/access/event_wait.h"
#include "drivers/access/result_matchers.h"
#include "drivers/conformance/arena.h"
#include "drivers/conformance/model_device.h"
#include "drivers/contract/contract_driver.h"
#include "drivers/nvme/controller.h"
#include "drivers/nvme/model/nvme_model.h"
#include "drivers/nvme/region.h"

namespace carryover::nvme {
namespace {

using testing::HasSubstr;

class Nvme : public testing::Test {
 protected:
  void Plug(const NvmeFlavour& flavour, std::optional<BlockRange> scratch = kScratch) {
    device_ = std::make_unique<ModelDevice<NvmeModel>>(flavour);
    arena_.MapIn(device_->device().iommu());
    driver_ = MakeDriver(scratch);
  }
  [[nodiscard]] std::unique_ptr<Driver> MakeDriver(std::optional<BlockRange> scratch = kScratch) {
    return Entry().make(device_->device(), {.scratch = scratch});
  }
  void EnableInterrupts() {
    auto events = EventSet::Create(2);
    ASSERT_OK(events);
    events_ = std::make_unique<EventSet>(std::move(*events));
    ASSERT_OK(device_->device().EnableInterrupts(InterruptKind::kMsix, events_->fds()));
  }
  // How often the driver's vector was raised since.
  [[nodiscard]] std::uint64_t Interrupts() {
    return events_->Take(driver_->traits().vector).value_or(~std::uint64_t{0});
  }
  [[nodiscard]] Mmio& bar() { return **device_->device().Bar(0); }
  [[nodiscard]] static Deadline Soon() { return Deadline::After(std::chrono::seconds(20)); }
  [[nodiscard]] Result<void> Start() { return driver_->Start(arena_.region(), Soon()); }
  [[nodiscard]] Result<void> CopyOne(const DmaCopy& copy) {
    if (auto posted = driver_->Copy({&copy, 1}); !posted) return posted;
    return driver_->Wait(Soon());
  }
  [[nodiscard]] DmaCopy InPool(std::size_t source, std::size_t destination,
                               std::size_t length) const {
    return {.source = arena_.At(source), .destination = arena_.At(destination), .length = length};
  }

  static constexpr BlockRange kScratch{.first = 1000, .count = 8192};
  std::unique_ptr<ModelDevice<NvmeModel>> device_;
  std::unique_ptr<Driver> driver_;
  std::unique_ptr<EventSet> events_;
  Arena arena_{
      Entry().make(ModelDevice<NvmeModel>(NvmeFlavour()).device(), {})->traits().region_size,
      1 << 20};
};

TEST_F(Nvme, TouchesNoBlockButTheScratchBlocks) {
  Plug({});
  ASSERT_OK(Start());
  for (std::size_t i = 0; i < 8; ++i) {
    const DmaCopy copy = InPool(i, 600'000 + i * 40'000, 33'333);
    ASSERT_OK(CopyOne(copy));
    arena_.Expect(copy);
  }
  ASSERT_OK(driver_->RaiseInterrupt());
  EXPECT_TRUE(arena_.Matches());
  const auto& touched = device_->model().touched();
  ASSERT_FALSE(touched.empty());
  EXPECT_GE(*touched.begin(), kScratch.first);
  EXPECT_LT(*touched.rbegin(), kScratch.first + kScratch.count);
  EXPECT_THAT(device_->violations(), testing::IsEmpty());
}

TEST_F(Nvme, WritesABlockOnceACopy) {
  Plug({});
  ASSERT_OK(Start());
  ASSERT_OK(CopyOne(InPool(7, 600'000, 5 * 512 - 3)));
  const auto& writes = device_->model().writes();
  EXPECT_EQ(writes.size(), 5);
  for (const auto& [block, count] : writes) EXPECT_EQ(count, 1) << "block " << block;
}

TEST_F(Nvme, CopiesThroughBlocksBeyondThe32BitOnes) {
  const BlockRange far{.first = (std::uint64_t{1} << 33) - 3, .count = 8192};
  Plug({.blocks = std::uint64_t{1} << 34, .scratch = far}, far);
  EnableInterrupts();
  ASSERT_OK(Start());
  const DmaCopy copy = InPool(0, 65536, 20'000);
  ASSERT_OK(CopyOne(copy));
  arena_.Expect(copy);
  EXPECT_TRUE(arena_.Matches());
  ASSERT_OK(driver_->RaiseInterrupt());
  EXPECT_EQ(Interrupts(), 1);
  EXPECT_GE(*device_->model().touched().begin(), far.first);
  EXPECT_THAT(device_->violations(), testing::IsEmpty());
}

TEST_F(Nvme, StartsNotWithoutScratchBlocks) {
  Plug({}, std::nullopt);
  const auto started = Start();
  EXPECT_THAT(started, FailsWith(EINVAL));
  EXPECT_THAT(started.error().message, HasSubstr("scratch=FIRST+COUNT"));
}

TEST_F(Nvme, StartsNotWithScratchBlocksThatAreNot) {
  Plug({}, BlockRange{.first = NvmeFlavour().blocks - 8191, .count = 8192});
  EXPECT_THAT(Start(), FailsWith(EINVAL));
  Plug({}, BlockRange{.first = 0, .count = 8191});
  EXPECT_THAT(Start(), FailsWith(EINVAL));
}

TEST_F(Nvme, StartsNotOnWhatItCannotUse) {
  Plug({.vectors = 1});
  EXPECT_THAT(Start(), FailsWith(ENOTSUP));
  Plug({.metadata = 8});
  EXPECT_THAT(Start(), FailsWith(ENOTSUP));
  Plug({.block_shift = 13});
  EXPECT_THAT(Start(), FailsWith(ENOTSUP));
  Plug({.max_entries = 16});
  EXPECT_THAT(Start(), FailsWith(ENOTSUP));
  Plug({.min_page_shift = 13});
  EXPECT_THAT(Start(), FailsWith(ENOTSUP));
  Plug({.nvm_command_set = false});
  EXPECT_THAT(Start(), FailsWith(ENOTSUP));
  Plug({.io_queues = 1});
  EXPECT_THAT(Start(), FailsWith(ENOTSUP));
  Plug({.blocks = 0});
  EXPECT_THAT(Start(), FailsWith(ENOTSUP));
  EXPECT_THAT(device_->violations(), testing::IsEmpty());
}

// Clearing CC.EN before CSTS.RDY is 1 has undefined results.
TEST_F(Nvme, DisablesAControllerThatIsJustBeingEnabled) {
  Plug({.polls = 10});
  EXPECT_THAT(driver_->Start(arena_.region(), Deadline::After(std::chrono::nanoseconds(0))),
              FailsWith(ETIMEDOUT));
  EXPECT_OK(Start());
  EXPECT_OK(CopyOne(InPool(0, 65536, 100)));
  EXPECT_THAT(device_->violations(), testing::IsEmpty());
}

// One that is never ready is disabled nevertheless, in time.
TEST_F(Nvme, DisablesAControllerThatIsNeverReady) {
  Plug({.polls = 1'000'000'000});
  const auto shortly = [] { return Deadline::After(std::chrono::milliseconds(20)); };
  EXPECT_THAT(driver_->Start(arena_.region(), shortly()), FailsWith(ETIMEDOUT));
  EXPECT_THAT(driver_->Stop(shortly()), testing::Not(FailsWith(EIO)));
  EXPECT_EQ(bar().Read32(Cc::kOffset) & Cc::kEnable, 0);
}

// What else is in CC may change only while the controller is disabled.
TEST_F(Nvme, DisablesAControllerThatWasEnabledInAnotherWay) {
  Plug({});
  constexpr std::uint32_t kIndependentOfMedia = 1U << 24;  // CC.CRIME
  bar().Write32(Cc::kOffset, Cc::kOurs | kIndependentOfMedia | Cc::kEnable);
  EXPECT_OK(Start());
  EXPECT_OK(CopyOne(InPool(0, 65536, 100)));
  EXPECT_THAT(device_->violations(), testing::IsEmpty());
}

TEST_F(Nvme, AsksForInterruptsBeforeTheLastOneCame) {
  Plug({});
  EnableInterrupts();
  ASSERT_OK(Start());
  device_->model().SetQueueHung(2, true);
  for (int i = 0; i < 3; ++i) ASSERT_OK(driver_->RaiseInterrupt());
  EXPECT_EQ(Interrupts(), 0);
  device_->model().SetQueueHung(2, false);
  EXPECT_EQ(Interrupts(), 3);
  EXPECT_THAT(device_->violations(), testing::IsEmpty());
}

TEST_F(Nvme, RefusesMoreInterruptsThanItsQueueHolds) {
  Plug({});
  EnableInterrupts();
  ASSERT_OK(Start());
  device_->model().SetQueueHung(2, true);
  std::uint64_t asked = 0;
  Result<void> raised;
  while (asked < 1000 && (raised = driver_->RaiseInterrupt())) ++asked;
  EXPECT_THAT(raised, FailsWith(ENOSPC));
  device_->model().SetQueueHung(2, false);
  EXPECT_EQ(Interrupts(), asked);
  EXPECT_OK(driver_->RaiseInterrupt());
  EXPECT_EQ(Interrupts(), 1);
  EXPECT_THAT(device_->violations(), testing::IsEmpty());
}

// Completions that came while no driver looked at the queue: of commands that were posted before,
// and others, which no controller should have posted.
class NvmePhantoms : public Nvme {
 protected:
  static constexpr std::uint32_t kPosted = 6;

  // kPosted copies are written, and their reads posted; three of those are done.
  void SetUp() override {
    Plug({});
    ASSERT_OK(Start());
    device_->SetHung(true);
    std::vector<DmaCopy> copies;
    for (std::size_t i = 0; i < kPosted; ++i) {
      copies.push_back(InPool(i * 4096, 524288 + i * 4096, 4096));
      arena_.Expect(copies.back());
    }
    ASSERT_OK(driver_->Copy(copies));
    device_->LetThrough(kPosted);
    ASSERT_OK(driver_->Save());
    device_->LetThrough(3);
    driver_ = MakeDriver();
  }
  [[nodiscard]] RegionLayout& rings() {
    return *reinterpret_cast<RegionLayout*>(
        arena_.region().memory.subspan(ContractDriver::kStateSize).data());
  }
  // The completion of the n-th read; from the fourth on there is none yet.
  [[nodiscard]] Completion& OfRead(std::uint32_t n) { return rings().copy_cq.at(kPosted + n); }
  void ExpectTold(std::string_view what) {
    ASSERT_OK(driver_->Attach(arena_.region()));
    const auto polled = driver_->Poll();
    EXPECT_THAT(polled, FailsWith(EIO));
    EXPECT_THAT(polled.error().message, HasSubstr(what));
  }
};

TEST_F(NvmePhantoms, AreFoundAndMatched) {
  ASSERT_OK(driver_->Attach(arena_.region()));
  EXPECT_THAT(driver_->Poll(), testing::Optional(kPosted - 3));
  device_->SetHung(false);
  ASSERT_OK(driver_->Wait(Soon()));
  EXPECT_TRUE(arena_.Matches());
  EXPECT_OK(CopyOne(InPool(0, 524288, 4096)));
  EXPECT_THAT(device_->violations(), testing::IsEmpty());
}

TEST_F(NvmePhantoms, OfACommandThatIsCompletedAlreadyIsTold) {
  OfRead(2).command_id = OfRead(1).command_id;
  ExpectTold("is completed already");
}

// The write of a slot whose read is posted.
TEST_F(NvmePhantoms, OfTheCommandBeforeIsTold) {
  OfRead(2).command_id = static_cast<std::uint16_t>(OfRead(2).command_id - kReadIds);
  ExpectTold("is completed already");
}

TEST_F(NvmePhantoms, OfACommandThatWasNeverPostedIsTold) {
  for (const std::uint32_t id : {kReadIds - 1, 2 * kReadIds - 1, 2 * kReadIds, 0xffffU}) {
    SCOPED_TRACE(id);
    driver_ = MakeDriver();
    OfRead(2).command_id = static_cast<std::uint16_t>(id);
    ExpectTold("was never posted");
  }
}

TEST_F(NvmePhantoms, OfAnotherQueueIsTold) {
  OfRead(2).sq_id = 2;
  ExpectTold("of queue 2");
}

TEST_F(NvmePhantoms, ThatFailedIsTold) {
  OfRead(2).status |= 0x0102;
  ExpectTold("failed: status code type 0, code 0x81");
}

// Of an earlier round: it has the other phase, and is none.
TEST_F(NvmePhantoms, OfAnEarlierRoundIsNotTaken) {
  OfRead(2).status ^= Completion::kPhase;
  ASSERT_OK(driver_->Attach(arena_.region()));
  EXPECT_THAT(driver_->Poll(), testing::Optional(kPosted - 2));
}

TEST_F(NvmePhantoms, MoreThanWerePostedAreNotTakenOver) {
  for (std::uint32_t n = 3; n <= kPosted; ++n) OfRead(n) = OfRead(2);
  EXPECT_THAT(driver_->Attach(arena_.region()), FailsWith(EIO));
}

TEST_F(NvmePhantoms, CommandsPostedSinceAreNotTakenOver) {
  rings().copy_sq.at(std::size_t{2} * kPosted) = rings().copy_sq.at(0);
  EXPECT_THAT(driver_->Attach(arena_.region()), FailsWith(EIO));
}

TEST_F(NvmePhantoms, PiecesThatCannotBeAreRefused) {
  rings().posted.at(0).piece.first_block += 1;
  EXPECT_THAT(driver_->Attach(arena_.region()), FailsWith(EINVAL));
}

// RaiseInterrupt() does not make a saved state invalid. The first makes a queue.
TEST_F(Nvme, TakesOverAfterInterruptsThatCameAfterSave) {
  Plug({});
  EnableInterrupts();
  ASSERT_OK(Start());
  for (std::uint64_t since = 0; since < 5; ++since) {
    SCOPED_TRACE(since);
    ASSERT_OK(CopyOne(InPool(0, 65536, 100)));
    ASSERT_OK(driver_->Save());
    for (std::uint64_t i = 0; i < since; ++i) ASSERT_OK(driver_->RaiseInterrupt());
    EXPECT_EQ(Interrupts(), since);
    driver_ = MakeDriver();
    ASSERT_OK(driver_->Attach(arena_.region()));
    if (since % 2 == 0) continue;
    ASSERT_OK(driver_->RaiseInterrupt());
    EXPECT_EQ(Interrupts(), 1);
  }
  EXPECT_THAT(device_->violations(), testing::IsEmpty());
}

// Nothing that was posted is lost without a word.
TEST_F(Nvme, TellsThatTheNamespaceChangedWhileItWasQuiesced) {
  for (const auto& [shift, blocks] : {std::pair{12U, std::uint64_t{65536}}, {9U, 65535}}) {
    Plug({});
    ASSERT_OK(Start());
    device_->SetHung(true);
    const DmaCopy copy = InPool(0, 65536, 100);
    ASSERT_OK(driver_->Copy({&copy, 1}));
    ASSERT_OK(driver_->Quiesce(Soon()));
    device_->SetHung(false);
    device_->model().Reformat(shift, blocks);
    EXPECT_THAT(driver_->Resume(Soon()), FailsWith(EIO));
    EXPECT_OK(Start());
  }
}

TEST_F(Nvme, TellsWhetherToRetry) {
  EXPECT_EQ(StatusOf({.status = 0x0101}), "status code type 0, code 0x80");
  EXPECT_EQ(StatusOf({.status = 0x8304}), "status code type 1, code 0x82, do not retry");
}

TEST_F(Nvme, TellsAControllerThatHasFailed) {
  Plug({});
  ASSERT_OK(Start());
  device_->model().Fail();
  const DmaCopy copy = InPool(0, 65536, 100);
  ASSERT_OK(driver_->Copy({&copy, 1}));
  const auto waited = driver_->Wait(Soon());
  EXPECT_THAT(waited, FailsWith(EIO));
  EXPECT_THAT(waited.error().message, HasSubstr("CSTS.CFS"));
  EXPECT_OK(Start());
  EXPECT_OK(CopyOne(copy));
}

TEST_F(Nvme, TellsAControllerThatFailsToStart) {
  Plug({.fails_to_enable = true});
  const auto started = Start();
  EXPECT_THAT(started, FailsWith(EIO));
  EXPECT_THAT(started.error().message, HasSubstr("CSTS.CFS"));
  EXPECT_OK(driver_->Stop(Soon()));
  EXPECT_THAT(device_->violations(), testing::IsEmpty());
}

// An admin command that was given up may still be completed: nobody can tell it from a new one's.
TEST_F(Nvme, TakesNotOverAControllerThatOwesACompletion) {
  Plug({});
  EnableInterrupts();
  ASSERT_OK(Start());
  device_->model().SetQueueHung(0, true);
  ASSERT_OK(driver_->Save());
  EXPECT_THAT(driver_->RaiseInterrupt(), FailsWith(ETIMEDOUT));
  EXPECT_THAT(MakeDriver()->Attach(arena_.region()), FailsWith(EIO));
  device_->model().SetQueueHung(0, false);
  EXPECT_THAT(MakeDriver()->Attach(arena_.region()), FailsWith(EIO));
  EXPECT_OK(Start());
  EXPECT_OK(driver_->RaiseInterrupt());
  EXPECT_EQ(Interrupts(), 1);
  EXPECT_THAT(device_->violations(), testing::IsEmpty());
}

// Somebody enabled it with other queues, or in another way.
TEST_F(Nvme, TakesNotOverAControllerWithOtherRegisters) {
  const auto change = [](std::size_t offset) {
    return [offset](Mmio& bar) { bar.Write32(offset, bar.Read32(offset) ^ 0x2000); };
  };
  const auto enable = [](std::uint32_t others) {
    return [others](Mmio& bar) { bar.Write32(Cc::kOffset, Cc::kOurs | Cc::kEnable | others); };
  };
  const auto both = [&](std::size_t offset) {
    return [=](Mmio& bar) {
      change(offset)(bar);
      enable(0)(bar);
    };
  };
  const std::vector<std::pair<std::string, std::function<void(Mmio&)>>> cases{
      {"ASQ", both(Asq::kOffset)},
      {"ACQ", both(Acq::kOffset)},
      {"ASQ high", both(Asq::kOffset + 4)},
      {"AQA",
       [&](Mmio& bar) {
         bar.Write32(Aqa::kOffset, bar.Read32(Aqa::kOffset) ^ 0x10);
         enable(0)(bar);
       }},
      {"CC", enable(1U << 24)},
      {"disabled", [](Mmio&) {}},
      {"not ready", [&](Mmio& bar) {
         device_->SetResetStuck(true);
         enable(0)(bar);
       }}};
  for (const auto& [name, again] : cases) {
    SCOPED_TRACE(name);
    Plug({});
    ASSERT_OK(Start());
    ASSERT_OK(driver_->Save());
    bar().Write32(Cc::kOffset, Cc::kOurs);
    again(bar());
    EXPECT_THAT(MakeDriver()->Attach(arena_.region()), FailsWith(EIO));
  }
}

// Nothing was copied since, but the queues begin anew.
TEST_F(Nvme, TakesNotOverAControllerThatWasResumedSinceThen) {
  Plug({});
  ASSERT_OK(Start());
  ASSERT_OK(CopyOne(InPool(0, 65536, 100)));
  ASSERT_OK(driver_->Save());
  ASSERT_OK(driver_->Quiesce(Soon()));
  ASSERT_OK(driver_->Resume(Soon()));
  EXPECT_THAT(MakeDriver()->Attach(arena_.region()), FailsWith(EIO));
}

TEST_F(Nvme, TakesNotOverAControllerThatCompletedWhatWasNotPosted) {
  Plug({});
  ASSERT_OK(Start());
  ASSERT_OK(driver_->Save());
  auto* const layout = reinterpret_cast<RegionLayout*>(
      arena_.region().memory.subspan(ContractDriver::kStateSize).data());
  layout->copy_cq[0].status = Completion::kPhase;
  EXPECT_THAT(MakeDriver()->Attach(arena_.region()), FailsWith(EIO));
  layout->copy_cq[0].status = 0;
  EXPECT_OK(MakeDriver()->Attach(arena_.region()));
}

TEST_F(Nvme, NamesTheStatusOfACommand) {
  Plug({});
  ASSERT_OK(Start());
  const auto copied = CopyOne({.source = 0x10, .destination = arena_.At(0), .length = 8});
  EXPECT_THAT(copied, FailsWith(EIO));
  EXPECT_THAT(copied.error().message, HasSubstr("status code type 0, code 0x04"));
}

// Without SGLs of any alignment a copy is of whole blocks.
class NvmePrp : public Nvme, public testing::WithParamInterface<unsigned> {};

TEST_P(NvmePrp, CopiesWholeBlocks) {
  const std::size_t block = std::size_t{1} << GetParam();
  Plug({.sgl = false, .block_shift = GetParam()});
  EXPECT_EQ(driver_->traits().alignment, 1);
  ASSERT_OK(Start());
  EXPECT_EQ(driver_->traits().alignment, block);
  const std::size_t half = arena_.pool().size() / 2;
  // The pool begins a page, so that offsets are aligned as IOVAs are.
  for (const std::size_t blocks : {1U, 2U, 7U, 8U, 9U, 16U, 31U, 32U, 33U, 40U, 64U}) {
    for (const std::size_t shift : {0U, 1U, 3U, 7U}) {
      const DmaCopy copy = InPool(shift * block, half + (7 - shift) * block, blocks * block);
      if (copy.length > driver_->traits().max_copy_bytes) continue;
      ASSERT_OK(CopyOne(copy)) << blocks << " blocks, from " << shift;
      arena_.Expect(copy);
      ASSERT_TRUE(arena_.Matches()) << blocks << " blocks, from " << shift;
    }
  }
  EXPECT_THAT(device_->violations(), testing::IsEmpty());
}

TEST_P(NvmePrp, RefusesParts) {
  const std::size_t block = std::size_t{1} << GetParam();
  Plug({.sgl = false, .block_shift = GetParam()});
  ASSERT_OK(Start());
  for (const DmaCopy& copy : {InPool(0, 65536, block - 1), InPool(4, 65536, block),
                              InPool(0, 65536 + block / 2, block), InPool(0, 65536, 1)}) {
    EXPECT_THAT(driver_->Copy({&copy, 1}), FailsWith(EINVAL));
  }
}

INSTANTIATE_TEST_SUITE_P(Blocks, NvmePrp, testing::Values(9U, 12U));

}  // namespace
}  // namespace carryover::nvme
