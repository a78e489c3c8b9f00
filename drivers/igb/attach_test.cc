// SPDX-License-Identifier: GPL-2.0-only
// What igb's Attach() takes for a device that it can go on with.
#include "drivers/igb/fake/igb_bench.h"

namespace carryover::igb {
namespace {

// Saved state that its checksum vouches for, but that is not of this driver, device or place.
TEST_P(IgbOnBoth, AttachRefusesAStateThatIsWholeButNotOurs) {
  Start();
  ExpectCopies();
  ASSERT_OK(driver_->Save());
  const SavedState good = saved();
  const auto refuses = [&](const char* what, SavedState state) {
    state.checksum = state.Sum();
    saved() = state;
    EXPECT_THAT(Entry().make(fake_.device(), {})->Attach(arena_.region()), FailsWith(EINVAL))
        << what;
  };
  const auto with = [&good](auto change) {
    SavedState state = good;
    change(state);
    return state;
  };
  refuses("magic", with([](SavedState& s) { s.magic ^= 1; }));
  refuses("an older version", with([](SavedState& s) { --s.version; }));
  refuses("a newer version", with([](SavedState& s) { ++s.version; }));
  refuses("vendor", with([](SavedState& s) { s.vendor ^= 1; }));
  refuses("device", with([](SavedState& s) { s.device = 0x10ca; }));
  refuses("another driver", with([](SavedState& s) { ++s.driver; }));
  refuses("IOVA", with([](SavedState& s) { s.iova += 4096; }));
  refuses("transmit tail", with([](SavedState& s) { s.positions[0] = kTxRingSize; }));
  refuses("receive tail", with([](SavedState& s) { s.positions[1] = kRxRingSize; }));
  saved() = good;
  driver_ = Entry().make(fake_.device(), {});
  ASSERT_OK(driver_->Attach(arena_.region()));
  ExpectCopies();
}

// Each register that says where the device is.
TEST_P(IgbOnBoth, AttachRefusesADeviceThatIsElsewhere) {
  Start();
  ExpectCopies();
  ASSERT_OK(driver_->Save());
  for (const std::size_t offset :
       {Tdbal::kOffset, Tdbah::kOffset, Tdlen::kOffset, Tdh::kOffset, Tdt::kOffset, Rdbal::kOffset,
        Rdbah::kOffset, Rdlen::kOffset, Rdh::kOffset, Rdt::kOffset}) {
    const std::uint32_t was = Register(offset);
    fake_.SetRegister(offset, was ^ 128);
    EXPECT_THAT(Entry().make(fake_.device(), {})->Attach(arena_.region()), FailsWith(EIO))
        << std::hex << offset;
    fake_.SetRegister(offset, was);
  }
  for (const std::size_t offset :
       {Txdctl::kOffset, Rxdctl::kOffset, Tctl::kOffset, Rctl::kOffset}) {
    const std::uint32_t was = Register(offset);
    fake_.SetRegister(offset, was & ~(Txdctl::kEnable | Tctl::kEnable));
    EXPECT_THAT(Entry().make(fake_.device(), {})->Attach(arena_.region()), FailsWith(EIO))
        << std::hex << offset;
    fake_.SetRegister(offset, was);
  }
  driver_ = Entry().make(fake_.device(), {});
  ASSERT_OK(driver_->Attach(arena_.region()));
  ExpectCopies();
}

// Attach() looks, and touches nothing.
TEST_P(IgbOnBoth, AttachWritesNoRegister) {
  Start();
  ASSERT_OK(driver_->Save());
  driver_ = Entry().make(fake_.device(), {});
  fake_.ForgetAccesses();
  ASSERT_OK(driver_->Attach(arena_.region()));
  EXPECT_THAT(fake_.writes(), testing::IsEmpty());
}

}  // namespace
}  // namespace carryover::igb
