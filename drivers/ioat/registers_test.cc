// SPDX-License-Identifier: GPL-2.0-only
// Offsets and fields against a second reading: BAR 0 as a packed structure, in the data sheet's
// order.
#include "drivers/ioat/registers.h"

#include <gtest/gtest.h>

#include "drivers/ioat/region.h"

namespace carryover::ioat {
namespace {

TEST(IoatRegisters, LieWhereTheDataSheetSays) {
  struct Row {
    const char* name;
    std::size_t is;
    std::size_t should;
  };
  constexpr Row kRows[] = {
      {"CHANCNT", ChanCnt::kOffset, 0x00},       {"XFERCAP", XferCap::kOffset, 0x01},
      {"GENCTRL", GenCtrl::kOffset, 0x02},       {"INTRCTRL", IntrCtrl::kOffset, 0x03},
      {"ATTNSTATUS", AttnStatus::kOffset, 0x04}, {"CBVER", CbVer::kOffset, 0x08},
      {"INTRDELAY", IntrDelay::kOffset, 0x0c},   {"CS_STATUS", CsStatus::kOffset, 0x0e},
      {"DMACAP", DmaCapability::kOffset, 0x10},  {"CHANCTRL", ChanCtrl::kOffset, 0x80},
      {"DMA_COMP", DmaComp::kOffset, 0x82},      {"CHANCMD", ChanCmd::kOffset, 0x84},
      {"DMACOUNT", DmaCount::kOffset, 0x86},     {"CHANSTS", ChanSts::kOffset, 0x88},
      {"CHAINADDR", ChainAddr::kOffset, 0x90},   {"CHANCMP", ChanCmp::kOffset, 0x98},
      {"CHANERR", ChanErr::kOffset, 0xa8},       {"CHANERRMSK", ChanErrMsk::kOffset, 0xac},
      {"DCACTRL", DcaCtrl::kOffset, 0xb0},       {"CHANERR_INT", ChanErrInt::kOffset, 0x180},
      {"MSGADDR", kMsixTableOffset, 8192},       {"end of CB_BAR", kBarSize, 1U << 14},
  };
  for (const Row& row : kRows) EXPECT_EQ(row.is, row.should) << row.name;
}

TEST(IoatRegisters, HaveTheFieldsOfTheDataSheet) {
  struct Row {
    const char* name;
    std::uint64_t is;
    std::uint64_t should;
  };
  constexpr Row kRows[] = {
      {"INTRCTRL.MSTR_INT_EN", IntrCtrl::kMasterEnable, 0x01},
      {"INTRCTRL.INT_STS", IntrCtrl::kStatus, 0x02},
      {"INTRCTRL.INTP", IntrCtrl::kInterrupt, 0x04},
      {"INTRCTRL.MSIX_VEC", IntrCtrl::kMsixVectors, 0x08},
      {"INTRDELAY.DELAY_US", IntrDelay::kMask, 0x3fff},
      {"INTRDELAY.COALESCE", IntrDelay::kCoalescing, 0x8000},
      {"DMACAP.DWBES", DmaCapability::kDwbes, 1U << 13},
      {"CHANCTRL.INTP_DIS", ChanCtrl::kInterruptDisabled, 1U << 0},
      {"CHANCTRL.ERR_CMP_EN", ChanCtrl::kErrorCompletion, 1U << 2},
      {"CHANCTRL.ANY_ERR_ABORT", ChanCtrl::kAnyErrorAbort, 1U << 3},
      {"CHANCTRL.ERR_INT_EN", ChanCtrl::kErrorInterrupt, 1U << 4},
      {"CHANCTRL.SNOOP", ChanCtrl::kNoDescriptorSnoop, 1U << 5},
      {"CHANCTRL.IN_USE", ChanCtrl::kInUse, 1U << 8},
      {"CHANCTRL.DCA_EN", ChanCtrl::kCompletionDca, 1U << 9},
      {"CHANCTRL reserved: 15:10, 7:6, 1", ChanCtrl::kReserved, 0xfc00 | 0xc0 | 0x2},
      {"CHANCMD.SUSPEND", ChanCmd::kSuspend, 1U << 2},
      {"CHANCMD.RESET", ChanCmd::kReset, 1U << 5},
      {"CHANSTS.DMA_TRANS_STATE", ChanSts::kStateMask, 7},
      {"CHANSTS address", ChanSts::kAddressMask, 0xffff'ffff'ffff'ffc0},
      {"CHANERR.LENGTH", ChanErr::kLength, 0x800},
      {"CHANERR.COMPLETION", ChanErr::kCompletionAddress, 0x1000},
      {"CHANERR.DESCRIPTOR_COUNT", ChanErr::kDescriptorCount, 0x40000},
  };
  for (const Row& row : kRows) EXPECT_EQ(row.is, row.should) << row.name;
}

TEST(IoatRegion, HasDescriptorsAsTheChannelReadsThem) {
  EXPECT_EQ(offsetof(Descriptor, size), 0);
  EXPECT_EQ(offsetof(Descriptor, control), 4);
  EXPECT_EQ(offsetof(Descriptor, source), 8);
  EXPECT_EQ(offsetof(Descriptor, destination), 16);
  EXPECT_EQ(offsetof(Descriptor, next), 24);
  EXPECT_EQ(offsetof(Descriptor, reserved), 32);
  EXPECT_EQ(offsetof(Descriptor, user), 48);
  EXPECT_EQ(offsetof(RegionLayout, ring) % ChainAddr::kAlignment, 0);
  EXPECT_EQ(offsetof(RegionLayout, completion) % 64, 0);
  EXPECT_EQ(offsetof(RegionLayout, completion), kRingSize * 64);
}

}  // namespace
}  // namespace carryover::ioat
