// SPDX-License-Identifier: GPL-2.0-only
// The offsets of docs/dmac.md.
#include "drivers/dmac/registers.h"

namespace carryover::dmac {
namespace {

static_assert(Id::kOffset == 0x000 && Version::kOffset == 0x004 && Control::kOffset == 0x008);
static_assert(Status::kOffset == 0x00c && RingBase::kOffset == 0x010 && RingSize::kOffset == 0x018);
static_assert(Head::kOffset == 0x01c && Tail::kOffset == 0x020 && ErrorCode::kOffset == 0x024);
static_assert(WriteBack::kOffset == 0x028 && Raise::kOffset == 0x030);
static_assert(MaxLength::kOffset == 0x034 && Features::kOffset == 0x038);
static_assert(StreamBase::kOffset == 0x040 && StreamSize::kOffset == 0x048);
static_assert(StreamPeriod::kOffset == 0x04c && StreamControl::kOffset == 0x050);
static_assert(StreamCount::kOffset == 0x058 && Faults::kOffset == 0x080);
static_assert(FaultAddress::kOffset == 0x088 && FaultCount::kOffset == 0x090);
static_assert(offsetof(Descriptor, destination) == 8 && offsetof(Descriptor, length) == 16);
static_assert(offsetof(Descriptor, flags) == 20 && offsetof(Descriptor, reserved) == 24);
static_assert(offsetof(WrittenBack, error) == 4 && offsetof(StreamRecord, time) == 8);
static_assert(offsetof(StreamRecord, complement) == 16);

}  // namespace
}  // namespace carryover::dmac
