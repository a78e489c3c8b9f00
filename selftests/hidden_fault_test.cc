// SPDX-License-Identifier: GPL-2.0-only
// Tests that go wrong on purpose, each in one way, so that the runner's verdicts are proved on a
// real kernel. They are selected only with --hidden.
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "drivers/access/binding.h"
#include "drivers/access/result_matchers.h"
#include "drivers/access/unique_fd.h"
#include "fixtures/continuity/continuity_test.h"
#include "fixtures/device_need/device_need.h"
#include "fixtures/devices/devices.h"

namespace carryover {
namespace {

class HiddenFault : public ContinuityTest {
 public:
  static constexpr ContinuityTraits kTraits{
      .claim = Claim::kMemory, .driver = {}, .time_limit = std::chrono::seconds(5)};

 protected:
  static constexpr std::array<char, 16> kNote{"carried over"};

  // A memfd that holds kNote.
  static Result<UniqueFd> Note() {
    UniqueFd memory(memfd_create("note", MFD_CLOEXEC));
    if (!memory.valid()) return FailErrno("memfd_create");
    if (pwrite(memory.get(), kNote.data(), kNote.size(), 0) != std::ssize(kNote)) {
      return FailErrno("write the note");
    }
    return memory;
  }
  static void ExpectNote(const UniqueFd& memory) {
    std::array<char, 16> found{};
    ASSERT_EQ(pread(memory.get(), found.data(), found.size(), 0), std::ssize(found));
    EXPECT_EQ(found, kNote);
  }
  static void Sysrq(char key) {
    const UniqueFd trigger(open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC));
    ASSERT_TRUE(trigger.valid());
    ASSERT_EQ(write(trigger.get(), &key, 1), 1);
  }
};

struct NoteRecord {
  std::uint64_t token;
};

CONTINUITY_TEST(HiddenFault, IsSound, NoteRecord, "The control: nothing is wrong with this one")
ARM(HiddenFault, IsSound) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd memory, Note());
  ASSERT_OK_AND_ASSIGN(record.token, Preserve(memory.get()));
}
VERIFY(HiddenFault, IsSound) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd memory, Retrieve(record.token));
  ExpectNote(memory);
}

CONTINUITY_TEST(HiddenFault, ArmsWithoutPreserving, NoteRecord,
                "Says that it preserved a memfd, and did not: LOST")
ARM(HiddenFault, ArmsWithoutPreserving) { record.token = 1; }
VERIFY(HiddenFault, ArmsWithoutPreserving) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd memory, Retrieve(record.token));
  ExpectNote(memory);
}

CONTINUITY_TEST(HiddenFault, CorruptsOneByte, NoteRecord,
                "Changes one byte after it was written down: FAIL")
ARM(HiddenFault, CorruptsOneByte) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd memory, Note());
  ASSERT_OK_AND_ASSIGN(record.token, Preserve(memory.get()));
  ASSERT_EQ(pwrite(memory.get(), "X", 1, 3), 1);
}
VERIFY(HiddenFault, CorruptsOneByte) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd memory, Retrieve(record.token));
  ExpectNote(memory);
}

CONTINUITY_TEST(HiddenFault, FailsToArm, NoteRecord, "An assertion fails while arming: FAIL")
ARM(HiddenFault, FailsToArm) { FAIL() << "on purpose"; }
VERIFY(HiddenFault, FailsToArm) {}

CONTINUITY_TEST(HiddenFault, IsSkipped, NoteRecord, "Says why it cannot be armed: SKIP")
ARM(HiddenFault, IsSkipped) { GTEST_SKIP() << "skipped on purpose"; }
VERIFY(HiddenFault, IsSkipped) {}

CONTINUITY_TEST(HiddenFault, PanicsWhileArming, NoteRecord, "The outgoing kernel panics: PANIC")
ARM(HiddenFault, PanicsWhileArming) { Sysrq('c'); }
VERIFY(HiddenFault, PanicsWhileArming) {}

CONTINUITY_TEST(HiddenFault, PanicsInVerify, NoteRecord, "The incoming kernel panics: PANIC")
ARM(HiddenFault, PanicsInVerify) { record.token = 1; }
VERIFY(HiddenFault, PanicsInVerify) { Sysrq('c'); }

CONTINUITY_TEST(HiddenFault, ResetsInVerify, NoteRecord, "The machine is reset: RESET")
ARM(HiddenFault, ResetsInVerify) { record.token = 1; }
VERIFY(HiddenFault, ResetsInVerify) { Sysrq('b'); }

CONTINUITY_TEST(HiddenFault, HangsWhileArming, NoteRecord, "The first half never ends: HANG")
ARM(HiddenFault, HangsWhileArming) { std::this_thread::sleep_for(std::chrono::hours(1)); }
VERIFY(HiddenFault, HangsWhileArming) {}

CONTINUITY_TEST(HiddenFault, HangsInVerify, NoteRecord, "The second half never ends: HANG")
ARM(HiddenFault, HangsInVerify) { record.token = 1; }
VERIFY(HiddenFault, HangsInVerify) { std::this_thread::sleep_for(std::chrono::hours(1)); }

CONTINUITY_TEST(
    HiddenFault, TakesItsTime, NoteRecord,
    "Nothing is wrong with it; its second half lasts, so that something can come between")
ARM(HiddenFault, TakesItsTime) { record.token = 1; }
VERIFY(HiddenFault, TakesItsTime) { std::this_thread::sleep_for(std::chrono::milliseconds(1500)); }

// As drivers/misc/lkdtm does it on request (CONFIG_LKDTM), on every processor: nothing is said, and
// nothing answers.
void HangTheKernel() {
  constexpr const char* kProvoke = "/sys/kernel/debug/provoke-crash/DIRECT";
  const UniqueFd provoke(open(kProvoke, O_WRONLY | O_CLOEXEC));
  if (!provoke.valid()) GTEST_SKIP() << kProvoke << " is not there";
  const unsigned processors = std::thread::hardware_concurrency();
  std::atomic<unsigned> missing{processors};
  std::vector<std::jthread> threads;
  for (unsigned number = 0; number < processors; ++number) {
    threads.emplace_back([&, number] {
      cpu_set_t only;
      CPU_ZERO(&only);
      CPU_SET(number, &only);
      if (sched_setaffinity(0, sizeof only, &only) != 0) return;
      --missing;
      while (missing > 0) std::this_thread::yield();  // none runs away with a processor alone
      EXPECT_EQ(write(provoke.get(), "HARDLOCKUP", 10), 10);
    });
  }
}

CONTINUITY_TEST(HiddenFault, HangsTheKernelWhileArming, NoteRecord,
                "The outgoing kernel hangs: HANG")
ARM(HiddenFault, HangsTheKernelWhileArming) { HangTheKernel(); }
VERIFY(HiddenFault, HangsTheKernelWhileArming) {}

CONTINUITY_TEST(HiddenFault, HangsTheKernelInVerify, NoteRecord, "The incoming kernel hangs: HANG")
ARM(HiddenFault, HangsTheKernelInVerify) { record.token = 1; }
VERIFY(HiddenFault, HangsTheKernelInVerify) { HangTheKernel(); }

NEEDS_DEVICE(HiddenIntruder, "igb");

// Closed first: nobody can take a device whose file is open.
TEST(HiddenIntruder, TakesTheDevice) {
  Devices& devices = Devices::Get();
  ASSERT_OK(devices.RestoreAll());
  ASSERT_OK_AND_ASSIGN(const ListedDevice device, devices.Bind("igb"));
  ASSERT_OK(devices.CheckNobodyElseBound());
  ASSERT_OK(
      BindTo(devices.sysfs(), device.address, "igb", Deadline::After(std::chrono::seconds(5))));
  EXPECT_OK(devices.CheckNobodyElseBound());
}

}  // namespace
}  // namespace carryover
