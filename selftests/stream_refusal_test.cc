// SPDX-License-Identifier: GPL-2.0-only
// The claim `stream`: a kexec is refused if a device would go on in memory that the next kernel
// takes for free; and after a refused kexec all devices go on, as if nothing had been. Source:
// drivers/iommu/intel/handover.c of the reference kernel (ci/kernel/patches).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/pci_regs.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <thread>

#include "drivers/access/event_wait.h"
#include "fixtures/device_file/freeze_test.h"
#include "fixtures/device_file/in_flight.h"

namespace carryover {
namespace {

class StreamRefusal : public FreezeTest {
 protected:
  StreamRefusal() : FreezeTest("dmac") {}

  void TearDown() override {
    FreezeTest::TearDown();
    if (other_) {
      EXPECT_OK(other_->device().StopShared());
    }
  }
  // The second device, with its driver's region as all that is mapped, which is preserved.
  void PreserveOther(std::uint64_t token) {
    ASSERT_OK_AND_ASSIGN(DrivenDevice opened, DrivenDevice::Open("dmac", 1));
    other_.emplace(std::move(opened));
    ASSERT_OK(other_->Start());
    ASSERT_OK(session().Preserve(other_->device().region().fd(), token + 100));
    ASSERT_NO_FATAL_FAILURE(Preserve(*other_, token));
  }
  [[nodiscard]] DrivenDevice& other() { return *other_; }

 private:
  std::optional<DrivenDevice> other_;
};
NEEDS_DEVICES(StreamRefusal, "dmac", 2);
NEEDS_CLAIM(StreamRefusal, Claim::kStream);

// The driver's region is not preserved.
TEST_F(StreamRefusal, UnpreservedMemoryThatIsMapped) {
  ASSERT_NO_FATAL_FAILURE(Preserve(dma(), 1));
  ASSERT_NO_FATAL_FAILURE(ExpectRefused(EINVAL, 1));
  // With the driver that runs: the device was not reset.
  ASSERT_NO_FATAL_FAILURE(ExpectCopies(dma()));
}

TEST_F(StreamRefusal, DeviceThatWasFrozenBefore) {
  ASSERT_NO_FATAL_FAILURE(PreserveOther(1));
  ASSERT_NO_FATAL_FAILURE(Preserve(dma(), 2));
  for (int refused = 0; refused < 2; ++refused) {
    ASSERT_NO_FATAL_FAILURE(ExpectRefused(EINVAL, 2));
    ASSERT_NO_FATAL_FAILURE(ExpectCopies(other()));
    ASSERT_NO_FATAL_FAILURE(ExpectCopies(dma()));
  }
}

// What is mapped by the time of the kexec counts.
TEST_F(StreamRefusal, MemoryThatWasMappedAfterTheFileWasPreserved) {
  ASSERT_OK(session().Preserve(dma().device().region().fd(), 101));
  ASSERT_NO_FATAL_FAILURE(Preserve(dma(), 1));
  ASSERT_OK_AND_ASSIGN(const GuardedMemory late, MakeGuarded(kPage));
  ASSERT_OK(dma().Map(late.memory()));
  ASSERT_NO_FATAL_FAILURE(ExpectRefused(EINVAL, 1));
  ASSERT_NO_FATAL_FAILURE(ExpectCopies(dma()));
}

// The next kernel would know nothing of a device that runs.
TEST_F(StreamRefusal, ImageThatNothingIsHandedOverTo) {
  ASSERT_OK(session().Preserve(dma().device().region().fd(), 101));
  ASSERT_NO_FATAL_FAILURE(Preserve(dma(), 1));
  {
    const auto image = KexecImage::LoadWithoutHandover();
    if (!image && image.error().code == ENOSYS) GTEST_SKIP() << image.error().ToString();
    ASSERT_OK(image);
    ASSERT_OK_AND_ASSIGN(const Refusal refusal, RefusedKexec());
    EXPECT_EQ(refusal.error.code, EINVAL) << refusal.error.ToString();
    EXPECT_FALSE(refusal.token) << "files were frozen for nothing";
  }
  ASSERT_NO_FATAL_FAILURE(ExpectCopies(dma()));
  ASSERT_NO_FATAL_FAILURE(LoadImage());
}

TEST_F(StreamRefusal, InterruptsThatAreEnabled) {
  ASSERT_NO_FATAL_FAILURE(PreserveOther(1));
  ASSERT_OK_AND_ASSIGN(const EventSet events, EventSet::Create(1));
  PciDevice& pci = other().device().pci();
  ASSERT_OK(pci.EnableInterrupts(InterruptKind::kMsix, events.fds()));
  ASSERT_NO_FATAL_FAILURE(ExpectRefused(EINVAL, 1));
  EXPECT_OK(pci.DisableInterrupts(InterruptKind::kMsix));
  ASSERT_NO_FATAL_FAILURE(ExpectCopies(other()));
}

// A third device, whose lock somebody holds, keeps the kexec waiting, and refuses it in the end.
class StreamFrozenMappings : public StreamRefusal {
 protected:
  static constexpr unsigned kLocked = 2;
  static constexpr std::uint64_t kOtherToken = 1;
  static constexpr std::uint64_t kToken = 2;
  static constexpr std::uint64_t kWaitsForLock = 3;

  void TearDown() override {
    if (watch_) TakeBack(kLocked, *watch_, false);
    StreamRefusal::TearDown();
  }
  // LUO freezes and unfreezes in this order: the other device is frozen from before this one is
  // until before it is no longer.
  void PreserveAll() {
    ASSERT_NO_FATAL_FAILURE(PreserveOther(kOtherToken));
    ASSERT_OK(session().Preserve(dma().device().region().fd(), kToken + 100));
    ASSERT_NO_FATAL_FAILURE(Preserve(dma(), kToken));
    ASSERT_OK_AND_ASSIGN(DmaDevice * locked, Devices::Get().Open("dmac", kLocked));
    ASSERT_OK_AND_ASSIGN(const ListedDevice listed, Devices::Get().Find("dmac", kLocked));
    ASSERT_OK(PreserveDeviceOf(*locked, session(), kWaitsForLock));
    auto watch = DriverWatch::Open();
    ASSERT_OK(watch);
    watch_.emplace(std::move(*watch));
    ASSERT_NO_FATAL_FAILURE(WriteThatWaits(sysfs().FunctionPath(listed.address) / "driver/unbind",
                                           listed.address.ToString()));
  }

  // COMMAND has INTx disabled from when a device's mappings are kept until after they no longer
  // are.
  [[nodiscard]] static bool IsFrozen(const PciAddress& address) {
    const auto command = sysfs().Command(address);
    return command && (*command & PCI_COMMAND_INTX_DISABLE) != 0;
  }

  struct Tries {
    std::atomic<unsigned> begun = 0;  // while the device was frozen
    std::atomic<unsigned> done = 0;   // of those, while it still was
  };
  // Has kexecs refused, and `change` tried all the while, until one was begun while dma() was
  // frozen. `change` says whether it has changed anything.
  void TryWhileFrozen(const std::function<bool()>& change, Tries& tries) {
    constexpr unsigned kMostKexecs = 20;
    ASSERT_OK_AND_ASSIGN(const ListedDevice listed, Devices::Get().Find("dmac", 0));
    ASSERT_OK_AND_ASSIGN(const ListedDevice listed_other, Devices::Get().Find("dmac", 1));
    ASSERT_FALSE(IsFrozen(listed.address));
    ASSERT_FALSE(IsFrozen(listed_other.address));
    std::atomic<unsigned> kexecs = 0;
    std::atomic<unsigned> rounds = 0;
    const InFlight changes([&] {
      const unsigned kexec = kexecs;
      const bool begun_frozen = IsFrozen(listed.address);
      const bool changed = change();
      const bool done_frozen = IsFrozen(listed_other.address);
      if (begun_frozen && kexec == kexecs) {
        if (changed && done_frozen) ++tries.done;
        ++tries.begun;
      } else {
        // A freeze tries to come between two changes.
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      ++rounds;
    });
    while (kexecs < kMostKexecs && tries.begun == 0) {
      ++kexecs;
      ASSERT_NO_FATAL_FAILURE(ExpectRefused(EBUSY, kWaitsForLock));
      // What had to wait comes to its end before the next kexec.
      const unsigned before = rounds;
      const Deadline deadline = DrivenDevice::Patience();
      while (rounds == before && !deadline.Passed()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    }
  }
  static void ExpectNoneDone(const Tries& tries) {
    EXPECT_GT(tries.begun, 0U) << "nothing was tried while the device was frozen";
    EXPECT_EQ(tries.done, 0U) << "of " << tries.begun;
    RecordProperty("tried_while_frozen", static_cast<int>(tries.begun));
  }

 private:
  std::optional<DriverWatch> watch_;
};
NEEDS_DEVICES(StreamFrozenMappings, "dmac", 4);
NEEDS_CLAIM(StreamFrozenMappings, Claim::kStream);

TEST_F(StreamFrozenMappings, AreNotChangedByItsUser) {
  ASSERT_NO_FATAL_FAILURE(PreserveAll());
  ASSERT_OK_AND_ASSIGN(const GuardedMemory memory, MakeGuarded(kPage));
  ASSERT_OK(session().Preserve(memory.memory().fd(), 103));
  ASSERT_OK_AND_ASSIGN(const Iova iova, dma().Map(memory.memory()));
  const std::span<std::byte> bytes = memory.memory().bytes();
  Iommu& iommu = dma().device().pci().iommu();
  std::atomic<unsigned> failed = 0;
  Tries tries;
  ASSERT_NO_FATAL_FAILURE(TryWhileFrozen(
      [&] {
        const auto unmapped = iommu.Unmap(iova, bytes.size());
        const auto mapped = iommu.Map(iova, bytes.data(), bytes.size(), DmaAccess::kReadWrite);
        if (!unmapped || !mapped) ++failed;
        return true;
      },
      tries));
  EXPECT_EQ(failed, 0U);
  ExpectNoneDone(tries);
  ASSERT_NO_FATAL_FAILURE(ExpectCopies(dma()));
}

// Attached to the same address space, a device that is not preserved: it does not wait.
TEST_F(StreamFrozenMappings, AreSharedWithNoOtherDevice) {
  constexpr unsigned kSharing = 3;
  ASSERT_NO_FATAL_FAILURE(PreserveAll());
  ASSERT_OK_AND_ASSIGN(const VfioPciDevice* const device, VfioDeviceOf(dma().device()));
  ASSERT_OK_AND_ASSIGN(const ListedDevice listed, Devices::Get().Bind("dmac", kSharing));
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<VfioPciDevice> sharing,
                       VfioPciDevice::Open(listed.address, IommuMode::kIommufd, sysfs(), device));
  ASSERT_OK(sharing->Detach());
  std::atomic<unsigned> attached = 0;
  std::atomic<unsigned> failed = 0;
  Tries tries;
  ASSERT_NO_FATAL_FAILURE(TryWhileFrozen(
      [&] {
        const auto done = sharing->Attach();
        if (done) {
          ++attached;
          if (!sharing->Detach()) ++failed;
        } else if (done.error().code != EBUSY) {
          ++failed;
        }
        return done.has_value();
      },
      tries));
  EXPECT_EQ(failed, 0U);
  EXPECT_GT(attached, 0U) << "also while nothing was frozen";
  ExpectNoneDone(tries);
  ASSERT_NO_FATAL_FAILURE(ExpectCopies(dma()));
}

}  // namespace
}  // namespace carryover
