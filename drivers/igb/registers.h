// SPDX-License-Identifier: GPL-2.0-only
// Registers of the Intel 82576 that the driver uses: byte offsets in BAR 0 and fields. Sections are
// those of the 82576EB/EG data sheet. All are 32 bits, little endian. Queue 0 only.
#pragma once

#include <cstddef>
#include <cstdint>

namespace carryover::igb {

inline constexpr std::uint32_t kAllOnes = 0xffffffff;  // what a read of a device that is gone gives

constexpr std::uint32_t Bit(unsigned n) { return std::uint32_t{1} << n; }

// 8.2.1 Device Control
struct Ctrl {
  static constexpr std::size_t kOffset = 0x0000;
  static constexpr std::uint32_t kFullDuplex = Bit(0);
  static constexpr std::uint32_t kGioMasterDisable = Bit(2);
  static constexpr std::uint32_t kLinkReset = Bit(3);
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

// 8.2.2 Device Status
struct Status {
  static constexpr std::size_t kOffset = 0x0008;
  static constexpr std::uint32_t kLinkUp = Bit(1);
  static constexpr unsigned kLanIdShift = 2;  // bits 3:2, which port this function is
  static constexpr std::uint32_t kLanIdMask = 0x3;
  static constexpr std::uint32_t kGioMasterEnable = Bit(19);
};

// 8.4.1 EEPROM/Flash Control
struct Eecd {
  static constexpr std::size_t kOffset = 0x0010;
  static constexpr std::uint32_t kPresent = Bit(8);
  static constexpr std::uint32_t kAutoReadDone = Bit(9);
};

// 8.2.3 Extended Device Control
struct CtrlExt {
  static constexpr std::size_t kOffset = 0x0018;
  static constexpr std::uint32_t kLinkModeMask = Bit(22) | Bit(23);  // 00: internal copper PHY
  static constexpr std::uint32_t kDriverLoaded = Bit(28);
};

// 8.2.4 MDI Control
struct Mdic {
  static constexpr std::size_t kOffset = 0x0020;
  static constexpr std::uint32_t kDataMask = 0xffff;
  static constexpr unsigned kRegisterShift = 16;
  static constexpr std::uint32_t kRegisterMask = 0x1f;
  static constexpr std::uint32_t kPhyAddress = std::uint32_t{1} << 21;  // the internal PHY is 1
  static constexpr std::uint32_t kWrite = Bit(26);
  static constexpr std::uint32_t kRead = Bit(27);
  static constexpr std::uint32_t kReady = Bit(28);
  static constexpr std::uint32_t kError = Bit(30);
};

// 8.27.3.1 PHY Control Register, PHY register 0 (IEEE 802.3, 22.2.4.1)
struct PhyControl {
  static constexpr unsigned kRegister = 0;
  static constexpr std::uint16_t kSpeed1000 = 0x0040;
  static constexpr std::uint16_t kFullDuplex = 0x0100;
  static constexpr std::uint16_t kRestartAutoNegotiation = 0x0200;
  static constexpr std::uint16_t kAutoNegotiation = 0x1000;
  static constexpr std::uint16_t kLoopback = 0x4000;
};

// 8.8 Interrupt registers
struct Eics {
  static constexpr std::size_t kOffset = 0x1520;
};  // cause set
struct Eims {
  static constexpr std::size_t kOffset = 0x1524;
};  // mask set
struct Eimc {
  static constexpr std::size_t kOffset = 0x1528;
};  // mask clear
struct Eiac {
  static constexpr std::size_t kOffset = 0x152c;
};  // auto clear
struct Eicr {
  static constexpr std::size_t kOffset = 0x1580;
};  // cause, cleared by writing ones
struct Icr {
  static constexpr std::size_t kOffset = 0x00c0;
};
struct Imc {
  static constexpr std::size_t kOffset = 0x00d8;
};
struct Eitr0 {
  static constexpr std::size_t kOffset = 0x1680;
};  // throttle of vector 0
struct Gpie {
  static constexpr std::size_t kOffset = 0x1514;
  static constexpr std::uint32_t kMultipleMsix = Bit(4);
  static constexpr std::uint32_t kPbaSupport = Bit(31);
};
inline constexpr std::uint32_t kVectors = Bit(25) - 1;  // of EICR, EIAC and their like

// 8.10 Receive registers
struct Rctl {
  static constexpr std::size_t kOffset = 0x0100;
  static constexpr std::uint32_t kEnable = Bit(1);
  static constexpr std::uint32_t kLongPackets = Bit(5);
  static constexpr std::uint32_t kLoopbackMask = Bit(6) | Bit(7);
  static constexpr std::uint32_t kLoopbackMac = Bit(6);
  static constexpr std::uint32_t kDiscardPause = Bit(22);
  static constexpr std::uint32_t kStripCrc = Bit(26);
};
struct Srrctl {  // 8.10.2 Split and Replication Receive Control
  static constexpr std::size_t kOffset = 0x280c;
  static constexpr std::uint32_t kPacketKilobytesMask = 0x7f;
  static constexpr unsigned kHeaderShift = 8;  // bits 11:8, in units of 64 bytes
  static constexpr std::uint32_t kHeaderMask = 0xf;
  static constexpr std::uint32_t kHeaderUnit = 64;
  static constexpr std::uint32_t kTypeMask = Bit(25) | Bit(26) | Bit(27);
  static constexpr std::uint32_t kOneBuffer = Bit(25);                       // DESCTYPE 001b
  static constexpr std::uint32_t kSplitAlwaysUseHeader = Bit(25) | Bit(27);  // DESCTYPE 101b
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
struct Rxdctl {  // 8.10.10
  static constexpr std::size_t kOffset = 0x2828;
  static constexpr std::uint32_t kEnable = Bit(25);
};
struct Rxcsum {
  static constexpr std::size_t kOffset = 0x5000;
};
struct Rlpml {
  static constexpr std::size_t kOffset = 0x5004;
};  // longest frame, with CRC
struct Mta {  // 8.10.14, 128 words
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
struct Psrtype0 {
  static constexpr std::size_t kOffset = 0x5480;
};  // headers to split at: none
struct Mrqc {
  static constexpr std::size_t kOffset = 0x5818;
};  // 0: one queue, no RSS

// 8.12 Transmit registers
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
struct Txdctl {  // 8.12.13
  static constexpr std::size_t kOffset = 0x3828;
  static constexpr std::uint32_t kEnable = Bit(25);
};

// 8.6.1 PCIe Control
struct Gcr {
  static constexpr std::size_t kOffset = 0x5b00;
  static constexpr std::uint32_t kCompletionTimeoutResend = Bit(16);
};

// 8.4 Management EEPROM control: one configuration-done bit a port
struct Eemngctl {
  static constexpr std::size_t kOffset = 0x1010;
  static constexpr unsigned kConfigDoneShift = 18;
};

// 8.5 Semaphores between software, and between software and firmware
struct Swsm {
  static constexpr std::size_t kOffset = 0x5b50;
  static constexpr std::uint32_t kSoftware = Bit(0);  // reading 0 takes it
  static constexpr std::uint32_t kFirmware = Bit(1);  // reads back 1 if it was taken
};
struct SwFwSync {
  static constexpr std::size_t kOffset = 0x5b5c;
  static constexpr std::uint32_t kPhy0 = Bit(1);
  static constexpr std::uint32_t kPhy1 = Bit(2);
  static constexpr unsigned kFirmwareShift = 16;
};

// 7.1.4: rings are 128-byte aligned and a multiple of 128 bytes long, at most 64 KiB (4096
// descriptors, section 7.1.4.4).
inline constexpr std::size_t kRingAlignment = 128;
inline constexpr std::size_t kRingMaxBytes = 65536;
// QEMU takes all of RDLEN's field (19:7), and heads and tails of 16 bits: 65280 descriptors, in
// whole pages.
inline constexpr std::size_t kEmulatedRingMaxBytes = 1044480;

}  // namespace carryover::igb
