// SPDX-License-Identifier: GPL-2.0-only
// Against the kernel's own header of what is in memory (include/uapi/linux/idxd.h), and by the
// specification.
#include "drivers/dsa/registers.h"

#include <linux/idxd.h>

namespace carryover::dsa {
namespace {

static_assert(GenCap::kOffset == 0x10 && WqCap::kOffset == 0x20 && GrpCap::kOffset == 0x30);
static_assert(EngCap::kOffset == 0x38 && Offsets::kOffset == 0x60 && GenCtrl::kOffset == 0x88);
static_assert(GenSts::kOffset == 0x90 && Cmd::kOffset == 0xa0 && CmdSts::kOffset == 0xa8);
static_assert(CmdCap::kOffset == 0xb0 && SwErr::kOffset == 0xc0);
static_assert(GenCap{std::uint64_t{31} << 16}.max_transfer_shift() == 31);
static_assert(GenCap{std::uint64_t{10} << 21}.max_batch_shift() == 10);
static_assert(GenCap{0x10}.has_command_capabilities());
static_assert(WqCap{0x0108'0080}.total_size() == 128 && WqCap{0x0108'0080}.queues() == 8);
static_assert(WqCap{0x0108'0080}.entry_size() == 64);
static_assert(WqCap{std::uint64_t{1} << 49}.has_dedicated_mode());
static_assert(WqCap{std::uint64_t{1} << 54}.has_operation_config());
static_assert(Offsets{0x8'0005'0004}.groups() == 0x400 && Offsets{0x8'0005'0004}.queues() == 0x500);
static_assert(Offsets{0x8'0005'0004}.msix_permissions() == 0x800);

static_assert(sizeof(Descriptor) == sizeof(dsa_hw_desc));
static_assert(offsetof(Descriptor, completion) == offsetof(dsa_hw_desc, completion_addr));
static_assert(offsetof(Descriptor, source) == offsetof(dsa_hw_desc, src_addr));
static_assert(offsetof(Descriptor, source) == offsetof(dsa_hw_desc, desc_list_addr));
static_assert(offsetof(Descriptor, destination) == offsetof(dsa_hw_desc, dst_addr));
static_assert(offsetof(Descriptor, size) == offsetof(dsa_hw_desc, xfer_size));
static_assert(offsetof(Descriptor, interrupt_handle) == offsetof(dsa_hw_desc, int_handle));
static_assert(Descriptor::kCompletionAddressValid == IDXD_OP_FLAG_CRAV);
static_assert(Descriptor::kRequestCompletion == IDXD_OP_FLAG_RCR);
static_assert(Descriptor::kRequestInterrupt == IDXD_OP_FLAG_RCI);
static_assert(Descriptor::kNoop == DSA_OPCODE_NOOP && Descriptor::kBatch == DSA_OPCODE_BATCH);
static_assert(Descriptor::kMove == DSA_OPCODE_MEMMOVE);
static_assert(offsetof(CompletionRecord, bytes_completed) ==
              offsetof(dsa_completion_record, bytes_completed));
static_assert(offsetof(CompletionRecord, fault_address) ==
              offsetof(dsa_completion_record, fault_addr));
static_assert(CompletionRecord::kSuccess == DSA_COMP_SUCCESS);
static_assert(CompletionRecord::kPageFault == DSA_COMP_PAGE_FAULT_NOBOF);
static_assert(CompletionRecord::kBatchError == DSA_COMP_BATCH_FAIL);
static_assert(CompletionRecord::kBatchPageFault == DSA_COMP_BATCH_PAGE_FAULT);
static_assert(CompletionRecord::kBadOperation == DSA_COMP_BAD_OPCODE);
static_assert(CompletionRecord::kInvalidFlags == DSA_COMP_INVALID_FLAGS);
static_assert(CompletionRecord::kReservedSet == DSA_COMP_NOZERO_RESERVE);
static_assert(CompletionRecord::kTransferSize == DSA_COMP_XFER_ERANGE);
static_assert(CompletionRecord::kDescriptorCount == DSA_COMP_DESC_CNT_ERANGE);
static_assert(CompletionRecord::kListAlignment == DSA_COMP_DESCLIST_ALIGN);
static_assert(CompletionRecord::kInterruptHandle == DSA_COMP_INT_HANDLE_INVAL);
static_assert(CompletionRecord::kCompletionAlignment == DSA_COMP_CRA_ALIGN);
static_assert(CompletionRecord::kHardware == DSA_COMP_HW_ERR1);

}  // namespace
}  // namespace carryover::dsa
