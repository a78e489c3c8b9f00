// SPDX-License-Identifier: GPL-2.0-only
// The claim `file`: nothing is written by a frozen device, though its user goes on posting copies
// from another thread, and he does not hold up the kexec. Source: vfio_pci_core_freeze() of the
// reference kernel (ci/kernel/patches). The last test of all: its device is busy from then on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <thread>

#include "drivers/access/result_matchers.h"
#include "fixtures/igb/igb_file.h"

namespace carryover {
namespace {

constexpr std::size_t kPayload = 4096;
// Of copies and samples.
constexpr std::chrono::milliseconds kPace{1};

// In preserved memory, written until the jump. Times are of CLOCK_MONOTONIC, nanoseconds.
struct Journal {
  std::uint64_t posted;     // number of the last copy that was begun
  std::uint64_t completed;  // and of the last one that was waited for
  std::int64_t changed_at;  // when the destination was last seen to have changed
  std::int64_t sampled_at;  // when it was last looked at
};

std::int64_t Now() {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::span<std::uint64_t> Words(std::span<std::byte> bytes) {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): page aligned memory of words
  return {reinterpret_cast<std::uint64_t*>(bytes.data()), bytes.size() / sizeof(std::uint64_t)};
}

// Copies the number of the copy into every word of the destination, again and again, while another
// thread watches the destination.
class CopyStream {
 public:
  CopyStream(DrivenDevice device, GuardedMemory source, GuardedMemory destination,
             DmaMemory journal)
      : device_(std::move(device)),
        source_(std::move(source)),
        destination_(std::move(destination)),
        memory_(std::move(journal)),
        journal_(new(memory_.address()) Journal{}) {}

  [[nodiscard]] const GuardedMemory& source() const { return source_; }
  [[nodiscard]] const GuardedMemory& destination() const { return destination_; }
  [[nodiscard]] const DmaMemory& journal() const { return memory_; }
  [[nodiscard]] std::uint64_t completed() const { return std::atomic_ref(journal_->completed); }
  [[nodiscard]] Result<Iova> Map(const GuardedMemory& memory) {
    return device_.Map(memory.memory());
  }

  void Begin(DmaCopy copy) {
    poster_ = std::jthread([this, copy](const std::stop_token& stop) { Post(stop, copy); });
    sampler_ = std::jthread([this](const std::stop_token& stop) { Sample(stop); });
  }

 private:
  void Post(const std::stop_token& stop, DmaCopy copy) {
    for (std::uint64_t number = 1; !stop.stop_requested(); ++number) {
      std::ranges::fill(Words(source_.payload()), number);
      std::atomic_ref(journal_->posted) = number;
      if (!device_.driver().Copy({&copy, 1}) || !device_.driver().Wait(DrivenDevice::Patience())) {
        return;
      }
      std::atomic_ref(journal_->completed) = number;
      std::this_thread::sleep_for(kPace);
    }
  }
  void Sample(const std::stop_token& stop) {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    while (!stop.stop_requested()) {
      const auto words = Words(destination_.payload());
      const std::uint64_t first_now = std::atomic_ref(words.front()).load();
      const std::uint64_t last_now = std::atomic_ref(words.back()).load();
      const std::int64_t now = Now();
      if (first_now != first || last_now != last) std::atomic_ref(journal_->changed_at) = now;
      std::atomic_ref(journal_->sampled_at) = now;
      first = first_now;
      last = last_now;
      std::this_thread::sleep_for(kPace);
    }
  }

  DrivenDevice device_;
  GuardedMemory source_;
  GuardedMemory destination_;
  DmaMemory memory_;
  Journal* journal_;
  std::jthread poster_;
  std::jthread sampler_;
};

class VfioFreezeDma : public IgbFile {};

struct StreamRecord {
  GuardedRecord destination;
  std::uint64_t journal;  // token
};

CONTINUITY_TEST(VfioFreezeDma, NothingIsWrittenAfterTheFreeze, StreamRecord,
                "A device whose user posts copies all the time writes nothing from the freeze to "
                "the jump, and nothing that was not posted")
ARM(VfioFreezeDma, NothingIsWrittenAfterTheFreeze) {
  ASSERT_OK_AND_ASSIGN(DrivenDevice device, DrivenDevice::Open(driver_name(), device_index()));
  ASSERT_OK(device.Start());
  ASSERT_OK_AND_ASSIGN(GuardedMemory source, MakeGuarded(kPayload));
  ASSERT_OK_AND_ASSIGN(GuardedMemory destination, MakeGuarded(kPayload));
  ASSERT_OK_AND_ASSIGN(DmaMemory journal, DmaMemory::Create(kPayload, PageKind::kBase));
  auto stream = std::make_shared<CopyStream>(std::move(device), std::move(source),
                                             std::move(destination), std::move(journal));
  ASSERT_OK_AND_ASSIGN(const Iova from, stream->Map(stream->source()));
  ASSERT_OK_AND_ASSIGN(const Iova to, stream->Map(stream->destination()));
  ASSERT_NO_FATAL_FAILURE(PreserveGuarded(stream->destination(), to, record.destination));
  ASSERT_OK_AND_ASSIGN(record.journal, Preserve(stream->journal().fd()));
  stream->Begin({from + GuardedMemory::kGuard, to + GuardedMemory::kGuard, kPayload});
  const Deadline deadline = DrivenDevice::Patience();
  while (stream->completed() == 0 && !deadline.Passed()) std::this_thread::sleep_for(kPace);
  ASSERT_NE(stream->completed(), 0U);
  Keep(std::move(stream));
}
VERIFY(VfioFreezeDma, NothingIsWrittenAfterTheFreeze) {
  ASSERT_OK_AND_ASSIGN(const GuardedMemory destination, RetrieveGuarded(record.destination));
  ASSERT_OK_AND_ASSIGN(const DmaMemory memory, RetrieveMemory(record.journal));
  Journal journal{};
  std::memcpy(&journal, memory.address(), sizeof(journal));
  const std::uint64_t completed = journal.completed;
  const std::uint64_t posted = journal.posted;
  ASSERT_GT(completed, 0U);
  EXPECT_LE(posted, completed + 1);
  for (const std::uint64_t word : Words(destination.payload())) {
    ASSERT_TRUE(word == completed || word == posted)
        << word << " is neither of copy " << completed << " nor of " << posted;
  }
  ExpectGuards(destination, "destination");
  // A function level reset takes 100 ms (PCIe 6.0, 6.6.2), and is done after DMA has stopped. All
  // that time the sampler ran, and saw nothing.
  const std::chrono::nanoseconds quiet(journal.sampled_at - journal.changed_at);
  EXPECT_GE(quiet, std::chrono::milliseconds(80));
  RecordProperty("copies", static_cast<int>(completed));
  RecordProperty("quiet_us", static_cast<int>(quiet.count() / 1000));
}

}  // namespace
}  // namespace carryover
