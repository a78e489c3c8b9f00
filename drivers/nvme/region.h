// SPDX-License-Identifier: GPL-2.0-only
// What lies where in the driver's DMA region, behind the saved state.
#pragma once

#include <array>
#include <cstdint>

#include "drivers/media/media_copies.h"
#include "drivers/nvme/commands.h"

namespace carryover::nvme {

// Entries. The copy queues hold a command of each slot, and one that stays unused.
inline constexpr std::uint32_t kAdminEntries = 16;
inline constexpr std::uint32_t kCopyEntries = 512;
inline constexpr std::uint32_t kInterruptEntries = 64;

inline constexpr std::uint32_t kSlots = 256;
// A command's identifier is its slot's number, of a read so much more: what is completed for the
// second time is not taken for the slot's next command.
inline constexpr std::uint32_t kReadIds = kSlots;
// Pages that a piece lies in at most, beside its first.
inline constexpr std::size_t kListEntries = 4;

// How a slot's command says where its data is, if that does not fit into the command.
union DataList {
  std::array<SglDescriptor, 2> sgl;
  std::array<std::uint64_t, kListEntries> prp;
};

// Where the queues stand that RaiseInterrupt() moves on: a saved state stays valid meanwhile.
struct LivePositions {
  std::uint32_t admin = 0;
  std::uint32_t interrupt = 0;
  std::uint32_t interrupt_vector = 0;  // of the interrupt queue; 0: there is none
};

struct RegionLayout {
  alignas(4096) std::array<Command, kAdminEntries> admin_sq;
  alignas(4096) std::array<Completion, kAdminEntries> admin_cq;
  alignas(4096) std::array<Command, kCopyEntries> copy_sq;
  alignas(4096) std::array<Completion, kCopyEntries> copy_cq;
  alignas(4096) std::array<Command, kInterruptEntries> interrupt_sq;
  alignas(4096) std::array<Completion, kInterruptEntries> interrupt_cq;
  alignas(4096) LivePositions live;
  // Of what Save() hands over.
  std::array<MediaCopies::Slot, kSlots> posted;
  alignas(4096) std::array<DataList, kSlots> lists;
  alignas(4096) std::array<std::byte, 4096> identify;
  // What a block has besides a piece's bytes: written from the first, read into the second.
  alignas(4096) std::array<std::byte, 4096> filler;
  alignas(4096) std::array<std::byte, 4096> leftover;
};

}  // namespace carryover::nvme
