// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/conformance/model_device.h"

#include <linux/pci_regs.h>

#include <algorithm>
#include <cstdlib>
#include <map>

namespace carryover {
namespace {

std::map<InterruptKind, unsigned> Vectors(const ModelIdentity& identity) {
  std::map<InterruptKind, unsigned> vectors;
  if (identity.intx) vectors[InterruptKind::kIntx] = 1;
  if (identity.msi_vectors != 0) vectors[InterruptKind::kMsi] = identity.msi_vectors;
  if (identity.msix_vectors != 0) vectors[InterruptKind::kMsix] = identity.msix_vectors;
  return vectors;
}

}  // namespace

ModelFunction::ModelFunction(const ModelIdentity& identity)
    : FakePciDevice(identity.id, Vectors(identity)) {
  const auto command = config()[PCI_COMMAND];
  std::ranges::copy(InitialConfig(identity), config().begin());
  config()[PCI_COMMAND] = command;
  for (const ModelBar& bar : identity.bars) bars_.push_back(std::make_unique<Bar>(*this, bar));
}

Mmio* ModelFunction::BarModel(unsigned index) {
  const auto found =
      std::ranges::find_if(bars_, [index](const auto& bar) { return bar->index() == index; });
  return found == bars_.end() ? nullptr : found->get();
}

std::uint64_t ModelFunction::Bar::Read(std::size_t offset, std::size_t size) {
  if (function_.gone_) return ~std::uint64_t{0};
  if (offset % size != 0 || offset + size > bar_.size) std::abort();  // as MappedBar
  const std::uint64_t value = function_.model_->Read(bar_.index, offset, size);
  function_.model_->Work();
  return value;
}

void ModelFunction::Bar::Write(std::size_t offset, std::size_t size, std::uint64_t value) {
  if (function_.gone_) return;
  if (offset % size != 0 || offset + size > bar_.size) std::abort();
  function_.model_->Write(bar_.index, offset, size, value);
  function_.model_->Work();
}

std::uint8_t ModelFunction::Bar::Read8(std::size_t offset) {
  return static_cast<std::uint8_t>(Read(offset, 1));
}

std::uint16_t ModelFunction::Bar::Read16(std::size_t offset) {
  return static_cast<std::uint16_t>(Read(offset, 2));
}

std::uint32_t ModelFunction::Bar::Read32(std::size_t offset) {
  return static_cast<std::uint32_t>(Read(offset, 4));
}

std::uint64_t ModelFunction::Bar::Read64(std::size_t offset) { return Read(offset, 8); }

}  // namespace carryover
