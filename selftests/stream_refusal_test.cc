// SPDX-License-Identifier: GPL-2.0-only
// The claim `stream`: a kexec is refused if a device would go on in memory that the next kernel
// takes for free; and after a refused kexec all devices go on, as if nothing had been. Source:
// drivers/iommu/intel/handover.c of the reference kernel (ci/kernel/patches).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "drivers/access/event_wait.h"
#include "fixtures/device_file/freeze_test.h"

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

}  // namespace
}  // namespace carryover
