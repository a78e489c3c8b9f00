// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/pci_id.h"

#include <gtest/gtest.h>

namespace carryover {
namespace {

TEST(PciIdTest, ReadsAndWrites) {
  EXPECT_EQ(PciId::Parse("8086:10c9"), (PciId{0x8086, 0x10c9}));
  EXPECT_EQ(PciId::Parse("8086:10C9"), (PciId{0x8086, 0x10c9}));
  EXPECT_EQ((PciId{0x1b36, 0x10}).ToString(), "1b36:0010");
}

TEST(PciIdTest, RefusesWhatIsNone) {
  for (const char* text : {"", "8086", "8086:", ":10c9", "8086:10c", "8086:10c9 ", "0x86:10c9",
                           "8086-10c9", "8086:10cg", "80860:0c9", "+086:10c9"}) {
    const auto id = PciId::Parse(text);
    ASSERT_FALSE(id) << text;
    EXPECT_EQ(id.error().code, EINVAL);
    EXPECT_TRUE(id.error().message.contains(text));
  }
}

TEST(PciAddressTest, ReadsAndWrites) {
  EXPECT_EQ(PciAddress::Parse("0000:01:00.0"), (PciAddress{0, 1, 0, 0}));
  EXPECT_EQ(PciAddress::Parse("01:00.0"), (PciAddress{0, 1, 0, 0}));
  EXPECT_EQ(PciAddress::Parse("00ff:fe:1f.7"), (PciAddress{0xff, 0xfe, 0x1f, 7}));
  EXPECT_EQ((PciAddress{0, 1, 0x1f, 7}).ToString(), "0000:01:1f.7");
}

// VMD and Hyper-V have domains of more than four digits.
TEST(PciAddressTest, ReadsLargeDomains) {
  const auto address = PciAddress::Parse("10001:02:03.4");
  EXPECT_EQ(address, (PciAddress{0x10001, 2, 3, 4}));
  EXPECT_EQ(address->ToString(), "10001:02:03.4");
}

TEST(PciAddressTest, RefusesWhatIsNone) {
  for (const char* text :
       {"", "01:00", "0000:01:00", "01.00:0", "01:20.0", "01:00.8", "100:00.0", "0000:01:00.0 ",
        "g:00.0", "0000:0000:01:00.0", "123456789:01:00.0", "01:00.", "01:.0", ":00.0", "1.0:0"}) {
    const auto address = PciAddress::Parse(text);
    ASSERT_FALSE(address) << text;
    EXPECT_EQ(address.error().code, EINVAL);
  }
}

}  // namespace
}  // namespace carryover
