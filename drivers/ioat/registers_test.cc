// SPDX-License-Identifier: GPL-2.0-only
// Offsets by the data sheet.
#include "drivers/ioat/registers.h"

namespace carryover::ioat {
namespace {

static_assert(ChannelCount::kOffset == 0x00 && TransferCapacity::kOffset == 0x01);
static_assert(InterruptControl::kOffset == 0x03 && Version::kOffset == 0x08);
static_assert(InterruptDelay::kOffset == 0x0c && ChannelControl::kOffset == 0x80);
static_assert(ChannelCommand::kOffset == 0x84 && DescriptorCount::kOffset == 0x86);
static_assert(ChannelStatus::kOffset == 0x88 && ChainAddress::kOffset == 0x90);
static_assert(CompletionAddress::kOffset == 0x98 && ChannelError::kOffset == 0xa8);
static_assert(offsetof(Descriptor, control) == 4 && offsetof(Descriptor, source) == 8);
static_assert(offsetof(Descriptor, destination) == 16 && offsetof(Descriptor, next) == 24);

}  // namespace
}  // namespace carryover::ioat
