// SPDX-License-Identifier: GPL-2.0-only
// What the IOMMU refuses is reported by the kernel (drivers/iommu/intel/dmar.c): it reports no more
// than five faults in five seconds, so this comes before other tests that cause some.
#include <gtest/gtest.h>

#include <chrono>

#include "fixtures/dma/refused_dma.h"
#include "fixtures/driver_suites/driver_device_test.h"
#include "fixtures/kernel_log/expected_message.h"
#include "fixtures/kernel_log/kernel_log.h"

namespace carryover {
namespace {

class DriverFault : public DriverDeviceTest {
 protected:
  using DriverDeviceTest::DriverDeviceTest;
};

DRIVER_TEST(DriverFault, RefusedReadIsInTheKernelsLog) {
  constexpr Iova kUnmapped = 0x7f'0000'0000;
  ASSERT_OK_AND_ASSIGN(const GuardedMemory memory, MakeGuarded(kPage));
  ASSERT_OK_AND_ASSIGN(const Iova iova, dma().Map(memory.memory()));
  ASSERT_OK_AND_ASSIGN(KernelLog log, KernelLog::Open(KernelLog::From::kNow));
  const Deadline deadline = DrivenDevice::Patience();
  Result<KernelMessage> message = Fail(ETIMEDOUT, "no fault");
  EXPECT_KERNEL_MESSAGE(RefusedDma(kUnmapped));
  // Again, if need be: a fault that comes while another one is being handled need not be recorded
  // (VT-d, 7.2.1).
  while (!message && !deadline.Passed()) {
    CopyThatMayFail({kUnmapped, iova + GuardedMemory::kGuard, 64});
    message = log.WaitFor("fault addr 0x7f00000000", Deadline::After(std::chrono::seconds(1)));
  }
  EXPECT_OK(message);
}

}  // namespace
}  // namespace carryover
