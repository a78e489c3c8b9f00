// SPDX-License-Identifier: GPL-2.0-only
// Offsets by NVM Express Base Specification 2.0, figures 33 and 87 ff.
#include "drivers/nvme/registers.h"

#include "drivers/nvme/commands.h"

namespace carryover::nvme {
namespace {

static_assert(Cap::kOffset == 0x00 && Cc::kOffset == 0x14 && Csts::kOffset == 0x1c);
static_assert(Aqa::kOffset == 0x24 && Asq::kOffset == 0x28 && Acq::kOffset == 0x30);
static_assert(Cap{0x0000'0001'0000'07ff}.max_queue_entries() == 2048);
static_assert(Cap{0x0000'0001'0000'07ff}.doorbell_stride() == 8);
static_assert(Cap{0x0000'0000'1400'0000}.timeout() == 10'000);
static_assert(Cap{0x0000'0020'0000'0000}.nvm_command_set());
static_assert(!Cap{0xffff'ffdf'ffff'ffff}.nvm_command_set());
static_assert(Cap{0x0001'0000'0000'0000}.min_page() == 8192);
static_assert(Cc::kOurs == 0x0046'0000);
static_assert(offsetof(Command, id) == 2 && offsetof(Command, namespace_id) == 4);
static_assert(offsetof(Command, metadata) == 16 && offsetof(Command, data) == 24);
static_assert(offsetof(Command, cdw10) == 40 && offsetof(Command, cdw15) == 60);
static_assert(offsetof(SglDescriptor, length) == 8 && offsetof(SglDescriptor, type) == 15);
static_assert(offsetof(Completion, sq_head) == 8 && offsetof(Completion, command_id) == 12);
static_assert(offsetof(Completion, status) == 14);
static_assert(Completion{.status = 0x4281}.phase() && Completion{.status = 0x4281}.code() == 0x40);
static_assert(Completion{.status = 0x4281}.type() == 1 && Completion{.status = 0x4281}.failed());
static_assert(!Completion{.status = 0x4001}.failed());  // more, of nothing
static_assert(!Completion{.status = 0x4001}.do_not_retry());
static_assert(Completion{.status = 0x8000}.do_not_retry());

}  // namespace
}  // namespace carryover::nvme
