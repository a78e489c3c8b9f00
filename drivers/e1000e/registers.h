// SPDX-License-Identifier: GPL-2.0-only
// Registers of the Intel 82574 that the driver uses: byte offsets in BAR 0 and fields. Sections are
// those of the 82574 data sheet. All are 32 bits, little endian. Queue 0 only.
#pragma once

#include <cstddef>
#include <cstdint>

namespace carryover::e1000e {

inline constexpr std::uint32_t kAllOnes = 0xffffffff;  // what a read of a device that is gone gives

constexpr std::uint32_t Bit(unsigned n) { return std::uint32_t{1} << n; }

// 10.2.2 General registers
struct Ctrl {  // Device Control
  static constexpr std::size_t kOffset = 0x0000;
  static constexpr std::uint32_t kFullDuplex = Bit(0);
  static constexpr std::uint32_t kGioMasterDisable = Bit(2);
  static constexpr std::uint32_t kSetLinkUp = Bit(6);
  static constexpr std::uint32_t kSpeedMask = Bit(8) | Bit(9);
  static constexpr std::uint32_t kSpeed1000 = Bit(9);
  static constexpr std::uint32_t kForceSpeed = Bit(11);
  static constexpr std::uint32_t kForceDuplex = Bit(12);
  static constexpr std::uint32_t kReset = Bit(26);
  static constexpr std::uint32_t kReceiveFlowControl = Bit(27);
  static constexpr std::uint32_t kTransmitFlowControl = Bit(28);
  static constexpr std::uint32_t kVlanMode = Bit(30);
};
struct Status {  // Device Status
  static constexpr std::size_t kOffset = 0x0008;
  static constexpr std::uint32_t kLinkUp = Bit(1);
  static constexpr std::uint32_t kGioMasterEnable = Bit(19);
};
struct Eecd {  // EEPROM/Flash Control
  static constexpr std::size_t kOffset = 0x0010;
  static constexpr std::uint32_t kAutoReadDone = Bit(9);
};
struct CtrlExt {  // Extended Device Control
  static constexpr std::size_t kOffset = 0x0018;
  static constexpr std::uint32_t kDriverLoaded = Bit(28);
};
struct Mdic {  // MDI Control
  static constexpr std::size_t kOffset = 0x0020;
  static constexpr std::uint32_t kDataMask = 0xffff;
  static constexpr unsigned kRegisterShift = 16;
  static constexpr std::uint32_t kRegisterMask = 0x1f;
  static constexpr unsigned kPhyShift = 21;
  static constexpr std::uint32_t kPhyMask = 0x1f;
  static constexpr std::uint32_t kPhy = 1;  // the internal one
  static constexpr std::uint32_t kWrite = Bit(26);
  static constexpr std::uint32_t kRead = Bit(27);
  static constexpr std::uint32_t kReady = Bit(28);
  static constexpr std::uint32_t kInterrupt = Bit(29);  // when it is done
  static constexpr std::uint32_t kError = Bit(30);
};
struct ExtcnfCtrl {  // Extended Configuration Control: who may use MDIC
  static constexpr std::size_t kOffset = 0x0f00;
  static constexpr std::uint32_t kSoftwareOwnsMdio = Bit(5);  // reads back 1 when it was granted
};
struct Pba {  // Packet Buffer Allocation: KiB of 40 for receive, the rest is for transmit
  static constexpr std::size_t kOffset = 0x1000;
  static constexpr std::uint32_t kKilobytesMask = 0x3f;
};

// 10.2.3 PCIe registers
struct Gcr {
  static constexpr std::size_t kOffset = 0x5b00;
  static constexpr std::uint32_t kMustBeSet = Bit(22);
};
struct Gcr2 {
  static constexpr std::size_t kOffset = 0x5b64;
  static constexpr std::uint32_t kMustBeSet = Bit(0);
};

// 10.2.4 Interrupt registers
struct Icr {
  static constexpr std::size_t kOffset = 0x00c0;
};  // cause, cleared by writing ones
struct Ics {
  static constexpr std::size_t kOffset = 0x00c8;
};  // cause set
struct Ims {
  static constexpr std::size_t kOffset = 0x00d0;
};  // mask set
struct Imc {
  static constexpr std::size_t kOffset = 0x00d8;
};  // mask clear
struct Itr {
  static constexpr std::size_t kOffset = 0x00c4;
  static constexpr std::uint32_t kLongest = 0xffff;
  static constexpr unsigned kUnitNanoseconds = 256;
};  // throttle: least time between two messages
struct Cause {  // bits of ICR, ICS, IMS and IMC
  static constexpr std::uint32_t kTxWrittenBack = Bit(0);
  static constexpr std::uint32_t kLinkStatusChange = Bit(2);
  static constexpr std::uint32_t kRxTimer = Bit(7);
  static constexpr std::uint32_t kMdioAccess = Bit(9);
};

// 10.2.5 Receive registers
struct Rctl {
  static constexpr std::size_t kOffset = 0x0100;
  static constexpr std::uint32_t kEnable = Bit(1);
  static constexpr std::uint32_t kStoreBadPackets = Bit(2);
  static constexpr std::uint32_t kUnicastPromiscuous = Bit(3);
  static constexpr std::uint32_t kLongPackets = Bit(5);
  static constexpr std::uint32_t kLoopbackMask = Bit(6) | Bit(7);
  static constexpr std::uint32_t kTypeMask = Bit(10) | Bit(11);    // DTYP
  static constexpr std::uint32_t kBuffers256 = Bit(16) | Bit(17);  // BSIZE 11b, BSEX 0
  static constexpr std::uint32_t kPacketSplit = Bit(10);
  static constexpr std::uint32_t kDiscardPause = Bit(22);
  static constexpr std::uint32_t kStripCrc = Bit(26);
};
struct Psrctl {  // Packet Split Receive Control: sizes of a descriptor's buffers
  static constexpr std::size_t kOffset = 0x2170;
  static constexpr std::uint32_t kHeaderUnit = 128;  // BSIZE0, bits 6:0
  static constexpr std::uint32_t kHeaderMask = 0x7f;
  static constexpr std::uint32_t kDataUnit = 1024;  // BSIZE1 to 3
  static constexpr std::uint32_t kDataMask = 0x3f;
  static constexpr unsigned kData1Shift = 8;
  static constexpr unsigned kData2Shift = 16;
  static constexpr unsigned kData3Shift = 24;
};
struct Rdbal {
  static constexpr std::size_t kOffset = 0x2800;
};
struct Rdbah {
  static constexpr std::size_t kOffset = 0x2804;
};
struct Rdlen {
  static constexpr std::size_t kOffset = 0x2808;
};
struct Rdh {
  static constexpr std::size_t kOffset = 0x2810;
};
struct Rdt {
  static constexpr std::size_t kOffset = 0x2818;
};
struct Rxdctl {
  static constexpr std::size_t kOffset = 0x2828;
  static constexpr std::uint32_t kWriteBackEach = Bit(16);  // WTHRESH 1
  static constexpr std::uint32_t kDescriptorUnits = Bit(24);
};
struct Rxcsum {
  static constexpr std::size_t kOffset = 0x5000;
};
struct Rfctl {
  static constexpr std::size_t kOffset = 0x5008;
  static constexpr std::uint32_t kExtendedStatus = Bit(15);  // EXSTEN
};
struct Mta {
  static constexpr std::size_t kOffset = 0x5200;
  static constexpr std::size_t kWords = 128;
};
struct Ral0 {
  static constexpr std::size_t kOffset = 0x5400;
};
struct Rah0 {
  static constexpr std::size_t kOffset = 0x5404;
  static constexpr std::uint32_t kValid = Bit(31);
};
struct Mrqc {
  static constexpr std::size_t kOffset = 0x5818;
};  // 0: one queue, no RSS

// 10.2.6 Transmit registers
struct Tctl {
  static constexpr std::size_t kOffset = 0x0400;
  static constexpr std::uint32_t kEnable = Bit(1);
  static constexpr std::uint32_t kPadShortPackets = Bit(3);
};
struct Tdbal {
  static constexpr std::size_t kOffset = 0x3800;
};
struct Tdbah {
  static constexpr std::size_t kOffset = 0x3804;
};
struct Tdlen {
  static constexpr std::size_t kOffset = 0x3808;
};
struct Tdh {
  static constexpr std::size_t kOffset = 0x3810;
};
struct Tdt {
  static constexpr std::size_t kOffset = 0x3818;
};
struct Txdctl {
  static constexpr std::size_t kOffset = 0x3828;
  static constexpr std::uint32_t kMustBeSet = Bit(22);
  static constexpr std::uint32_t kDescriptorUnits = Bit(24);  // WTHRESH 0: at once
};

// PHY registers
struct PhyControl {  // on page 0; IEEE 802.3, 22.2.4.1
  static constexpr unsigned kRegister = 0;
  static constexpr std::uint16_t kSpeed1000 = 0x0040;
  static constexpr std::uint16_t kFullDuplex = 0x0100;
  static constexpr std::uint16_t kRestartAutoNegotiation = 0x0200;
  static constexpr std::uint16_t kAutoNegotiation = 0x1000;
  static constexpr std::uint16_t kLoopback = 0x4000;
  static constexpr std::uint16_t kReset = 0x8000;
};
struct PhyPage {
  static constexpr unsigned kRegister = 22;
};
struct PhyMacControl {  // on page 2
  static constexpr std::uint16_t kPage = 2;
  static constexpr unsigned kRegister = 21;
  static constexpr std::uint16_t kDefaultSpeedMask = 0x0007;  // of the MAC's side, without a link
  static constexpr std::uint16_t kDefaultSpeed1000 = 0x0006;
};

// 10.2.5, 10.2.6: rings are 16-byte aligned and a multiple of 128 bytes long. Heads and tails count
// 16 bytes, also where a descriptor has 32.
inline constexpr std::size_t kRingAlignment = 16;
inline constexpr std::size_t kRingLengthUnit = 128;
inline constexpr std::size_t kRingMaxBytes = 65536;
inline constexpr std::size_t kTailUnit = 16;

}  // namespace carryover::e1000e
