// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/vfio_user/config_space.h"

#include <gmock/gmock.h>
#include <linux/pci_regs.h>

#include <cstring>
#include <map>

namespace carryover::vfio_user {
namespace {

ModelIdentity Identity() {
  return {.id = {.vendor = 0x8086, .device = 0x0b25},
          .class_code = 0x088000,
          .subsystem = {.vendor = 0x8086, .device = 0x0000},
          .bars = {{.index = 0, .size = 65536, .wide = true}, {.index = 2, .size = 4096}},
          .msix_vectors = 9,
          .msi_vectors = 4,
          .intx = true,
          .msix_bar = 0,
          .msix_offset = 0x2000,
          .capabilities = {{0x09, 0, 16, 1, 2, 3}}};
}

class VfioUserConfigSpace : public testing::Test {
 protected:
  [[nodiscard]] std::uint32_t Read(std::size_t offset, std::size_t size = 4) const {
    std::uint32_t value = 0;
    config_.Read(offset, std::as_writable_bytes(std::span(&value, 1)).first(size));
    return value;
  }
  bool Write(std::size_t offset, std::uint32_t value, std::size_t size = 4) {
    return config_.Write(offset, std::as_bytes(std::span(&value, 1)).first(size));
  }
  // Offsets of capabilities, by id.
  [[nodiscard]] std::map<std::uint32_t, std::size_t> Capabilities() const {
    std::map<std::uint32_t, std::size_t> found;
    for (std::size_t at = Read(PCI_CAPABILITY_LIST, 1); at != 0 && found.size() < 20;
         at = Read(at + PCI_CAP_LIST_NEXT, 1)) {
      EXPECT_EQ(at % 4, 0U);
      found[Read(at, 1)] = at;
    }
    return found;
  }

  ConfigSpace config_{Identity()};
};

TEST_F(VfioUserConfigSpace, HasAllCapabilities) {
  const auto capabilities = Capabilities();
  ASSERT_EQ(capabilities.size(), 5U);
  EXPECT_NE(Read(PCI_STATUS, 2) & PCI_STATUS_CAP_LIST, 0U);
  const std::size_t vendor = capabilities.at(0x09);
  EXPECT_EQ(Read(vendor + 2, 4), 0x03020110U);
  const std::size_t msix = capabilities.at(PCI_CAP_ID_MSIX);
  EXPECT_EQ(Read(msix + PCI_MSIX_FLAGS, 2), 8U);
  EXPECT_EQ(Read(msix + PCI_MSIX_TABLE), 0x2000U);
  EXPECT_EQ(Read(msix + PCI_MSIX_PBA), 0x2800U);
  EXPECT_EQ(Read(capabilities.at(PCI_CAP_ID_MSI) + PCI_MSI_FLAGS, 2),
            PCI_MSI_FLAGS_64BIT | 2U << 1);
  EXPECT_EQ(Read(PCI_INTERRUPT_PIN, 1), 1U);
}

TEST_F(VfioUserConfigSpace, BarsCanBeSized) {
  EXPECT_EQ(Read(PCI_BASE_ADDRESS_0), static_cast<std::uint32_t>(PCI_BASE_ADDRESS_MEM_TYPE_64));
  Write(PCI_BASE_ADDRESS_0, ~0U);
  Write(PCI_BASE_ADDRESS_1, ~0U);
  Write(PCI_BASE_ADDRESS_2, ~0U);
  EXPECT_EQ(Read(PCI_BASE_ADDRESS_0), 0xffff'0004U);
  EXPECT_EQ(Read(PCI_BASE_ADDRESS_1), ~0U);
  EXPECT_EQ(Read(PCI_BASE_ADDRESS_2), 0xffff'f000U);
  EXPECT_EQ(Read(PCI_BASE_ADDRESS_3), 0U);
}

TEST_F(VfioUserConfigSpace, KeepsWhatCannotBeWritten) {
  EXPECT_FALSE(Write(PCI_VENDOR_ID, 0));
  EXPECT_FALSE(Write(PCI_CLASS_REVISION, 0));
  EXPECT_EQ(Read(PCI_VENDOR_ID), 0x0b25'8086U);
  EXPECT_EQ(Read(PCI_CLASS_REVISION), 0x0880'0000U);
}

TEST_F(VfioUserConfigSpace, AResetIsBegunByOneBitAndClearsTheRest) {
  const std::size_t express = Capabilities().at(PCI_CAP_ID_EXP);
  Write(PCI_COMMAND, PCI_COMMAND_MASTER, 2);
  EXPECT_TRUE(config_.bus_master());
  EXPECT_FALSE(Write(express + PCI_EXP_DEVCTL, 0x7fff, 2));
  EXPECT_TRUE(Write(express + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR, 2));
  config_.Reset();
  EXPECT_FALSE(config_.bus_master());
  EXPECT_EQ(Read(express + PCI_EXP_DEVCTL, 2), 0U);
  EXPECT_EQ(Read(PCI_VENDOR_ID), 0x0b25'8086U);
  EXPECT_EQ(Read(PCI_BASE_ADDRESS_0), static_cast<std::uint32_t>(PCI_BASE_ADDRESS_MEM_TYPE_64));
}

TEST_F(VfioUserConfigSpace, HasPowerStatesD0AndD3hot) {
  const std::size_t control = Capabilities().at(PCI_CAP_ID_PM) + PCI_PM_CTRL;
  EXPECT_EQ(Read(control, 2), static_cast<std::uint32_t>(PCI_PM_CTRL_NO_SOFT_RESET));
  EXPECT_FALSE(config_.in_d3hot());
  for (const std::uint32_t missing : {1U, 2U}) {
    Write(control, missing, 2);
    EXPECT_EQ(Read(control, 2) & PCI_PM_CTRL_STATE_MASK, 0U) << missing;
  }
  Write(control, 3, 2);
  EXPECT_TRUE(config_.in_d3hot());
  Write(control, 2, 2);
  EXPECT_TRUE(config_.in_d3hot()) << "what is discarded changes nothing";
  Write(control, 0, 2);
  EXPECT_FALSE(config_.in_d3hot());
  EXPECT_NE(Read(control, 2) & PCI_PM_CTRL_NO_SOFT_RESET, 0U);
  Write(control, 3, 2);
  config_.Reset();
  EXPECT_FALSE(config_.in_d3hot());
}

}  // namespace
}  // namespace carryover::vfio_user
