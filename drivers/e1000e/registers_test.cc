// SPDX-License-Identifier: GPL-2.0-only
// Offsets and fields against a second reading of section 10 of the 82574 data sheet.
#include "drivers/e1000e/registers.h"

#include <gtest/gtest.h>

#include "drivers/e1000e/descriptors.h"
#include "drivers/e1000e/region.h"

namespace carryover::e1000e {
namespace {

TEST(E1000eRegisters, LieWhereTheDataSheetSays) {
  struct Row {
    const char* name;
    std::size_t is;
    std::size_t should;
  };
  constexpr Row kRows[] = {
      {"CTRL", Ctrl::kOffset, 0x0000},        {"STATUS", Status::kOffset, 0x0008},
      {"EECD", Eecd::kOffset, 0x0010},        {"CTRL_EXT", CtrlExt::kOffset, 0x0018},
      {"MDIC", Mdic::kOffset, 0x0020},        {"ICR", Icr::kOffset, 0x00c0},
      {"ICS", Ics::kOffset, 0x00c8},          {"IMS", Ims::kOffset, 0x00d0},
      {"IMC", Imc::kOffset, 0x00d8},          {"ITR", Itr::kOffset, 0x00c4},
      {"RCTL", Rctl::kOffset, 0x0100},        {"TCTL", Tctl::kOffset, 0x0400},
      {"EXTCNF", ExtcnfCtrl::kOffset, 0xf00}, {"PBA", Pba::kOffset, 0x1000},
      {"PSRCTL", Psrctl::kOffset, 0x2170},    {"RDBAL0", Rdbal::kOffset, 0x2800},
      {"RDBAH0", Rdbah::kOffset, 0x2804},     {"RDLEN0", Rdlen::kOffset, 0x2808},
      {"RDH0", Rdh::kOffset, 0x2810},         {"RDT0", Rdt::kOffset, 0x2818},
      {"RXDCTL0", Rxdctl::kOffset, 0x2828},   {"TDBAL0", Tdbal::kOffset, 0x3800},
      {"TDBAH0", Tdbah::kOffset, 0x3804},     {"TDLEN0", Tdlen::kOffset, 0x3808},
      {"TDH0", Tdh::kOffset, 0x3810},         {"TDT0", Tdt::kOffset, 0x3818},
      {"TXDCTL0", Txdctl::kOffset, 0x3828},   {"RXCSUM", Rxcsum::kOffset, 0x5000},
      {"RFCTL", Rfctl::kOffset, 0x5008},      {"MTA", Mta::kOffset, 0x5200},
      {"RAL0", Ral0::kOffset, 0x5400},        {"RAH0", Rah0::kOffset, 0x5404},
      {"MRQC", Mrqc::kOffset, 0x5818},        {"GCR", Gcr::kOffset, 0x5b00},
      {"GCR2", Gcr2::kOffset, 0x5b64},
  };
  for (const Row& row : kRows) EXPECT_EQ(row.is, row.should) << row.name;
}

TEST(E1000eRegisters, HaveTheBitsOfTheDataSheet) {
  struct Row {
    const char* name;
    std::uint32_t is;
    std::uint32_t should;
  };
  constexpr Row kRows[] = {
      {"CTRL.FD", Ctrl::kFullDuplex, 0x1},
      {"CTRL.GIO_MASTER_DISABLE", Ctrl::kGioMasterDisable, 0x4},
      {"CTRL.SLU", Ctrl::kSetLinkUp, 0x40},
      {"CTRL.SPEED", Ctrl::kSpeedMask, 0x300},
      {"CTRL.SPEED 1000", Ctrl::kSpeed1000, 0x200},
      {"CTRL.FRCSPD", Ctrl::kForceSpeed, 0x800},
      {"CTRL.FRCDPLX", Ctrl::kForceDuplex, 0x1000},
      {"CTRL.RST", Ctrl::kReset, 0x0400'0000},
      {"CTRL.RFCE", Ctrl::kReceiveFlowControl, 0x0800'0000},
      {"CTRL.TFCE", Ctrl::kTransmitFlowControl, 0x1000'0000},
      {"CTRL.VME", Ctrl::kVlanMode, 0x4000'0000},
      {"STATUS.LU", Status::kLinkUp, 0x2},
      {"STATUS.GIO_MASTER_ENABLE", Status::kGioMasterEnable, 0x8'0000},
      {"EECD.AUTO_RD", Eecd::kAutoReadDone, 0x200},
      {"CTRL_EXT.DRV_LOAD", CtrlExt::kDriverLoaded, 0x1000'0000},
      {"MDIC.OP write", Mdic::kWrite, 0x0400'0000},
      {"MDIC.OP read", Mdic::kRead, 0x0800'0000},
      {"MDIC.R", Mdic::kReady, 0x1000'0000},
      {"MDIC.E", Mdic::kError, 0x4000'0000},
      {"EXTCNF_CTRL.MDIO_SW", ExtcnfCtrl::kSoftwareOwnsMdio, 0x20},
      {"MDAC", Cause::kMdioAccess, 0x200},
      {"RCTL.EN", Rctl::kEnable, 0x2},
      {"RCTL.SBP", Rctl::kStoreBadPackets, 0x4},
      {"RCTL.LPE", Rctl::kLongPackets, 0x20},
      {"RCTL.LBM", Rctl::kLoopbackMask, 0xc0},
      {"RCTL.DTYP", Rctl::kTypeMask, 0xc00},
      {"RCTL.DTYP packet split", Rctl::kPacketSplit, 0x400},
      {"RCTL.DPF", Rctl::kDiscardPause, 0x40'0000},
      {"RCTL.SECRC", Rctl::kStripCrc, 0x0400'0000},
      {"RFCTL.EXSTEN", Rfctl::kExtendedStatus, 0x8000},
      {"TCTL.EN", Tctl::kEnable, 0x2},
      {"TCTL.PSP", Tctl::kPadShortPackets, 0x8},
      {"RAH.AV", Rah0::kValid, 0x8000'0000},
      {"CMD.EOP", TxDescriptor::kEndOfPacket >> 24, 0x01},
      {"CMD.IFCS", TxDescriptor::kInsertCrc >> 24, 0x02},
      {"CMD.RS", TxDescriptor::kReportStatus >> 24, 0x08},
      {"CMD.DEXT", TxDescriptor::kExtension >> 24, 0x20},
      {"errors", static_cast<std::uint32_t>(RxDescriptor::kErrors), 0x9700'0000},
  };
  for (const Row& row : kRows) EXPECT_EQ(row.is, row.should) << row.name;
}

}  // namespace
}  // namespace carryover::e1000e
