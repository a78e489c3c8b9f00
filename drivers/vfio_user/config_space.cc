// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/vfio_user/config_space.h"

#include <linux/pci_regs.h>

#include <algorithm>
#include <bit>

namespace carryover::vfio_user {
namespace {

std::size_t Padded(std::size_t size) { return (size + 3) / 4 * 4; }

}  // namespace

ConfigSpace::ConfigSpace(const ModelIdentity& identity)
    : bytes_(kSize), writable_(kSize), link_(PCI_CAPABILITY_LIST), next_(0x40) {
  std::ranges::copy(InitialConfig(identity), bytes_.begin());
  for (const auto& capability : identity.capabilities) {
    link_ = next_ + PCI_CAP_LIST_NEXT;
    next_ += Padded(capability.size());
  }
  Put(PCI_STATUS, PCI_STATUS_CAP_LIST, 2);
  Permit(PCI_COMMAND,
         PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | PCI_COMMAND_SERR |
             PCI_COMMAND_INTX_DISABLE,
         2);
  Permit(PCI_INTERRUPT_LINE, 0xff, 1);
  for (const ModelBar& bar : identity.bars) {
    const std::uint64_t mask = ~(std::uint64_t{bar.size} - 1);
    const std::size_t offset = PCI_BASE_ADDRESS_0 + 4 * bar.index;
    Permit(offset, static_cast<std::uint32_t>(mask), 4);
    if (bar.wide) Permit(offset + 4, static_cast<std::uint32_t>(mask >> 32), 4);
  }

  express_ = AddCapability(PCI_CAP_ID_EXP, PCI_EXP_SLTSTA2 + 2);
  Put(express_ + PCI_EXP_FLAGS, 2 | PCI_EXP_TYPE_ENDPOINT << 4, 2);
  Put(express_ + PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_RBER | PCI_EXP_DEVCAP_FLR, 4);
  // 2.5 GT/s, one lane.
  Put(express_ + PCI_EXP_LNKCAP, PCI_EXP_LNKCAP_SLS_2_5GB | 1 << 4, 4);
  Put(express_ + PCI_EXP_LNKSTA, PCI_EXP_LNKSTA_CLS_2_5GB | 1 << PCI_EXP_LNKSTA_NLW_SHIFT, 2);
  Permit(express_ + PCI_EXP_DEVCTL, 0x7fff, 2);

  power_ = AddCapability(PCI_CAP_ID_PM, PCI_PM_SIZEOF);
  Put(power_ + PCI_PM_PMC, 3, 2);
  Put(power_ + PCI_PM_CTRL, PCI_PM_CTRL_NO_SOFT_RESET, 2);
  Permit(power_ + PCI_PM_CTRL, PCI_PM_CTRL_STATE_MASK, 2);

  if (identity.msi_vectors != 0) {
    const std::size_t msi = AddCapability(PCI_CAP_ID_MSI, PCI_MSI_DATA_64 + 2);
    const auto order = static_cast<unsigned>(std::countr_zero(std::bit_ceil(identity.msi_vectors)));
    Put(msi + PCI_MSI_FLAGS, PCI_MSI_FLAGS_64BIT | order << 1, 2);
    Permit(msi + PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE, 2);
    Permit(msi + PCI_MSI_ADDRESS_LO, ~3U, 4);
    Permit(msi + PCI_MSI_ADDRESS_HI, ~0U, 4);
    Permit(msi + PCI_MSI_DATA_64, 0xffff, 2);
  }
  if (identity.msix_vectors != 0) {
    const std::size_t msix = AddCapability(PCI_CAP_ID_MSIX, PCI_CAP_MSIX_SIZEOF);
    const auto table = static_cast<std::uint32_t>(identity.msix_offset) | identity.msix_bar;
    Put(msix + PCI_MSIX_FLAGS, identity.msix_vectors - 1, 2);
    Put(msix + PCI_MSIX_TABLE, table, 4);
    Put(msix + PCI_MSIX_PBA, table + kMsixTableSize, 4);
    Permit(msix + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL, 2);
  }
}

void ConfigSpace::Put(std::size_t offset, std::uint32_t value, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) {
    bytes_.at(offset + i) = static_cast<std::uint8_t>(value >> (8 * i));
  }
}

void ConfigSpace::Permit(std::size_t offset, std::uint32_t mask, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) {
    writable_.at(offset + i) = static_cast<std::uint8_t>(mask >> (8 * i));
  }
}

std::size_t ConfigSpace::AddCapability(std::uint8_t id, std::size_t size) {
  const std::size_t offset = next_;
  Put(link_, static_cast<std::uint32_t>(offset), 1);
  Put(offset, id, 1);
  link_ = offset + PCI_CAP_LIST_NEXT;
  next_ = offset + Padded(size);
  return offset;
}

void ConfigSpace::Read(std::size_t offset, std::span<std::byte> to) const {
  for (std::byte& byte : to) byte = std::byte{bytes_.at(offset++)};
}

bool ConfigSpace::Write(std::size_t offset, std::span<const std::byte> from) {
  const std::uint8_t power = bytes_.at(power_ + PCI_PM_CTRL);
  bool reset = false;
  for (const std::byte byte : from) {
    const auto value = std::to_integer<std::uint8_t>(byte);
    // The bit that begins a reset reads as 0.
    constexpr std::uint8_t kReset = PCI_EXP_DEVCTL_BCR_FLR >> 8;
    reset |= offset == express_ + PCI_EXP_DEVCTL + 1 && (value & kReset) != 0;
    const std::uint8_t mask = writable_.at(offset);
    bytes_[offset] = static_cast<std::uint8_t>((bytes_[offset] & ~mask) | (value & mask));
    ++offset;
  }
  // D1 and D2, which it has not, are discarded (PCI Express 6.0, 7.5.2.2).
  std::uint8_t& control = bytes_.at(power_ + PCI_PM_CTRL);
  if (const auto state = control & PCI_PM_CTRL_STATE_MASK; state == 1 || state == 2)
    control = power;
  return reset;
}

void ConfigSpace::Reset() {
  for (std::size_t i = 0; i < kSize; ++i) bytes_[i] &= static_cast<std::uint8_t>(~writable_[i]);
}

bool ConfigSpace::bus_master() const { return (bytes_[PCI_COMMAND] & PCI_COMMAND_MASTER) != 0; }

bool ConfigSpace::in_d3hot() const {
  return (bytes_.at(power_ + PCI_PM_CTRL) & PCI_PM_CTRL_STATE_MASK) == 3;
}

}  // namespace carryover::vfio_user
