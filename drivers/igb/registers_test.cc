// SPDX-License-Identifier: GPL-2.0-only
// Offsets and fields against a second reading of the 82576EB data sheet, section 8.
#include "drivers/igb/registers.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>

#include "drivers/igb/descriptors.h"
#include "drivers/igb/region.h"

namespace carryover::igb {
namespace {

TEST(IgbRegisters, LieWhereTheDataSheetSays) {
  struct Row {
    const char* name;
    std::size_t is;
    std::size_t should;
  };
  constexpr Row kRows[] = {
      {"CTRL", Ctrl::kOffset, 0x0000},      {"STATUS", Status::kOffset, 0x0008},
      {"EECD", Eecd::kOffset, 0x0010},      {"CTRL_EXT", CtrlExt::kOffset, 0x0018},
      {"MDIC", Mdic::kOffset, 0x0020},      {"ICR", Icr::kOffset, 0x00c0},
      {"IMC", Imc::kOffset, 0x00d8},        {"RCTL", Rctl::kOffset, 0x0100},
      {"TCTL", Tctl::kOffset, 0x0400},      {"EEMNGCTL", Eemngctl::kOffset, 0x1010},
      {"GPIE", Gpie::kOffset, 0x1514},      {"EICS", Eics::kOffset, 0x1520},
      {"EIMS", Eims::kOffset, 0x1524},      {"EIMC", Eimc::kOffset, 0x1528},
      {"EIAC", Eiac::kOffset, 0x152c},      {"EICR", Eicr::kOffset, 0x1580},
      {"EITR0", Eitr0::kOffset, 0x1680},    {"RDBAL0", Rdbal::kOffset, 0x2800},
      {"RDBAH0", Rdbah::kOffset, 0x2804},   {"RDLEN0", Rdlen::kOffset, 0x2808},
      {"SRRCTL0", Srrctl::kOffset, 0x280c}, {"RDH0", Rdh::kOffset, 0x2810},
      {"RDT0", Rdt::kOffset, 0x2818},       {"RXDCTL0", Rxdctl::kOffset, 0x2828},
      {"TDBAL0", Tdbal::kOffset, 0x3800},   {"TDBAH0", Tdbah::kOffset, 0x3804},
      {"TDLEN0", Tdlen::kOffset, 0x3808},   {"TDH0", Tdh::kOffset, 0x3810},
      {"TDT0", Tdt::kOffset, 0x3818},       {"TXDCTL0", Txdctl::kOffset, 0x3828},
      {"RXCSUM", Rxcsum::kOffset, 0x5000},  {"RLPML", Rlpml::kOffset, 0x5004},
      {"MTA", Mta::kOffset, 0x5200},        {"RAL0", Ral0::kOffset, 0x5400},
      {"RAH0", Rah0::kOffset, 0x5404},      {"PSRTYPE0", Psrtype0::kOffset, 0x5480},
      {"MRQC", Mrqc::kOffset, 0x5818},      {"GCR", Gcr::kOffset, 0x5b00},
      {"SWSM", Swsm::kOffset, 0x5b50},      {"SW_FW_SYNC", SwFwSync::kOffset, 0x5b5c},
  };
  for (const Row& row : kRows) EXPECT_EQ(row.is, row.should) << row.name;
}

TEST(IgbRegisters, HaveTheFieldsOfTheDataSheet) {
  struct Row {
    const char* name;
    std::uint32_t is;
    std::uint32_t should;
  };
  constexpr Row kRows[] = {
      {"CTRL.FD", Ctrl::kFullDuplex, 0x1},
      {"CTRL.GIO_MASTER_DISABLE", Ctrl::kGioMasterDisable, 0x4},
      {"CTRL.LRST", Ctrl::kLinkReset, 0x8},
      {"CTRL.SLU", Ctrl::kSetLinkUp, 0x40},
      {"CTRL.SPEED", Ctrl::kSpeedMask, 0x300},
      {"CTRL.SPEED 1 Gb/s", Ctrl::kSpeed1000, 0x200},
      {"CTRL.FRCSPD", Ctrl::kForceSpeed, 0x800},
      {"CTRL.FRCDPX", Ctrl::kForceDuplex, 0x1000},
      {"CTRL.RST", Ctrl::kReset, 0x04000000},
      {"CTRL.RFCE", Ctrl::kReceiveFlowControl, 0x08000000},
      {"CTRL.TFCE", Ctrl::kTransmitFlowControl, 0x10000000},
      {"CTRL.VME", Ctrl::kVlanMode, 0x40000000},
      {"STATUS.LU", Status::kLinkUp, 0x2},
      {"STATUS.LAN_ID", Status::kLanIdMask << Status::kLanIdShift, 0xc},
      {"STATUS.GIO_MASTER_ENABLE", Status::kGioMasterEnable, 0x00080000},
      {"EECD.EE_PRES", Eecd::kPresent, 0x100},
      {"EECD.AUTO_RD", Eecd::kAutoReadDone, 0x200},
      {"CTRL_EXT.LINK_MODE", CtrlExt::kLinkModeMask, 0x00c00000},
      {"CTRL_EXT.DRV_LOAD", CtrlExt::kDriverLoaded, 0x10000000},
      {"MDIC.DATA", Mdic::kDataMask, 0xffff},
      {"MDIC.REGADD", Mdic::kRegisterMask << Mdic::kRegisterShift, 0x001f0000},
      {"MDIC.PHYADD 1", Mdic::kPhyAddress, 0x00200000},
      {"MDIC.OP write", Mdic::kWrite, 0x04000000},
      {"MDIC.OP read", Mdic::kRead, 0x08000000},
      {"MDIC.R", Mdic::kReady, 0x10000000},
      {"MDIC.E", Mdic::kError, 0x40000000},
      {"EEMNGCTL.CFG_DONE 0", Bit(Eemngctl::kConfigDoneShift), 0x00040000},
      {"GPIE.Multiple_MSIX", Gpie::kMultipleMsix, 0x10},
      {"GPIE.PBA_Support", Gpie::kPbaSupport, 0x80000000},
      {"RCTL.RXEN", Rctl::kEnable, 0x2},
      {"RCTL.LPE", Rctl::kLongPackets, 0x20},
      {"RCTL.LBM", Rctl::kLoopbackMask, 0xc0},
      {"RCTL.LBM MAC", Rctl::kLoopbackMac, 0x40},
      {"RCTL.DPF", Rctl::kDiscardPause, 0x00400000},
      {"RCTL.SECRC", Rctl::kStripCrc, 0x04000000},
      {"SRRCTL.BSIZEPACKET", Srrctl::kPacketKilobytesMask, 0x7f},
      {"SRRCTL.BSIZEHEADER", Srrctl::kHeaderMask << Srrctl::kHeaderShift, 0xf00},
      {"SRRCTL.DESCTYPE", Srrctl::kTypeMask, 0x0e000000},
      {"SRRCTL.DESCTYPE 101b", Srrctl::kSplitAlwaysUseHeader, 0x0a000000},
      {"RXDCTL.ENABLE", Rxdctl::kEnable, 0x02000000},
      {"TXDCTL.ENABLE", Txdctl::kEnable, 0x02000000},
      {"RAH.AV", Rah0::kValid, 0x80000000},
      {"TCTL.EN", Tctl::kEnable, 0x2},
      {"TCTL.PSP", Tctl::kPadShortPackets, 0x8},
      {"GCR.Completion_Timeout_Resend", Gcr::kCompletionTimeoutResend, 0x00010000},
      {"SWSM.SMBI", Swsm::kSoftware, 0x1},
      {"SWSM.SWESMBI", Swsm::kFirmware, 0x2},
      {"SW_FW_SYNC.SW_PHY_SM0", SwFwSync::kPhy0, 0x2},
      {"SW_FW_SYNC.SW_PHY_SM1", SwFwSync::kPhy1, 0x4},
      {"SW_FW_SYNC.FW_PHY_SM0", SwFwSync::kPhy0 << SwFwSync::kFirmwareShift, 0x20000},
      {"PHY 0 loopback", PhyControl::kLoopback, 0x4000},
      {"PHY 0 auto-negotiation", PhyControl::kAutoNegotiation, 0x1000},
      {"PHY 0 restart", PhyControl::kRestartAutoNegotiation, 0x200},
      {"PHY 0 full duplex", PhyControl::kFullDuplex, 0x100},
      {"PHY 0 1 Gb/s", PhyControl::kSpeed1000, 0x40},
  };
  for (const Row& row : kRows) EXPECT_EQ(row.is, row.should) << row.name;
}

// 7.2.2.3 and 7.1.5.
TEST(IgbDescriptors, HaveTheFieldsOfTheDataSheet) {
  EXPECT_EQ(TxDescriptor::kTypeData, 0x00300000);
  EXPECT_EQ(TxDescriptor::kEndOfPacket, 0x01000000);
  EXPECT_EQ(TxDescriptor::kInsertCrc, 0x02000000);
  EXPECT_EQ(TxDescriptor::kReportStatus, 0x08000000);
  EXPECT_EQ(TxDescriptor::kExtension, 0x20000000);
  EXPECT_EQ(TxDescriptor::kPayloadShift, 14);
  EXPECT_EQ(TxDescriptor::kDone, 1);
  EXPECT_EQ(RxDescriptor::kDone, 1);
  EXPECT_EQ(RxDescriptor::kEndOfPacket, 2);
  EXPECT_EQ(RxDescriptor::kReceiveError, 0x80000000);
  EXPECT_EQ((RxDescriptor{.header = 0xabcd'1234'0000'0003}.length()), 0x1234) << "VLAN tag above";
}

// A header must not begin with what the MAC or QEMU takes for its own: 802.3, 31 and Annex 31B.
TEST(IgbDescriptors, FramesAreOfTheExperimentalEtherType) {
  const FrameHeader header;
  std::array<std::uint8_t, sizeof(FrameHeader)> bytes{};
  std::memcpy(bytes.data(), &header, sizeof(header));
  EXPECT_EQ(bytes[12], 0x88);
  EXPECT_EQ(bytes[13], 0xb5);
}

}  // namespace
}  // namespace carryover::igb
