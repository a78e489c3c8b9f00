// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/dsa/device.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <span>
#include <thread>

namespace carryover::dsa {

Result<void> Device::CheckPresent(std::string_view during) {
  const std::uint32_t state = registers_.Read32(GenSts::kOffset);
  if (state == ~0U) {
    return Fail(ENODEV,
                fmt::format("dsa: {}: GENSTS reads as all ones: the device is gone", during));
  }
  if ((state & GenSts::kStateMask) == GenSts::kHalt) {
    return Fail(EIO, fmt::format("dsa: {}: the device has halted (GENSTS {:#x})", during, state));
  }
  const std::uint64_t error = registers_.Read64(SwErr::kOffset);
  if ((error & SwErr::kValid) == 0) return {};
  return Fail(EIO, fmt::format("dsa: {}: software error {:#04x} in work queue {}, at {:#x}", during,
                               error >> 8 & 0xff, error >> 16 & 0xff,
                               registers_.Read64(SwErr::kOffset + 16)));
}

Result<std::uint32_t> Device::Do(std::uint32_t command, std::uint32_t operand, Deadline deadline) {
  registers_.Write32(Cmd::kOffset, command << Cmd::kCommandShift | operand);
  while (true) {
    const bool last = deadline.Passed();
    const std::uint32_t status = registers_.Read32(CmdSts::kOffset);
    if (status == ~0U && IsGone()) return Fail(ENODEV, "dsa: command: the device is gone");
    if ((status & CmdSts::kActive) == 0) {
      if ((status & CmdSts::kErrorMask) == 0) return status >> CmdSts::kResultShift & 0xffff;
      return Fail(EIO, fmt::format("dsa: command {} of {:#x} failed: CMDSTS {:#x}", command,
                                   operand, status));
    }
    if (last) {
      return Fail(ETIMEDOUT,
                  fmt::format("dsa: command {} of {:#x} does not end", command, operand));
    }
    std::this_thread::sleep_for(
        std::min<std::chrono::nanoseconds>(std::chrono::microseconds(20), deadline.Remaining()));
  }
}

Result<void> Device::Reset(Deadline deadline) {
  if (IsGone()) return Fail(ENODEV, "dsa: reset: GENSTS reads as all ones: the device is gone");
  // A command that is still active must end first (9.2.12).
  while ((registers_.Read32(CmdSts::kOffset) & CmdSts::kActive) != 0) {
    if (IsGone()) return Fail(ENODEV, "dsa: reset: the device is gone");
    if (deadline.Passed()) return Fail(ETIMEDOUT, "dsa: reset: an earlier command does not end");
    std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
  registers_.Write64(SwErr::kOffset, SwErr::kAcknowledge);
  const auto done = Do(Cmd::kResetDevice, 0, deadline);
  if (!done) return std::unexpected(done.error());
  return {};
}

std::size_t Device::EntryOf(unsigned queue) {
  const Offsets offsets{registers_.Read64(Offsets::kOffset)};
  return offsets.queues() + queue * WqCap{registers_.Read64(WqCap::kOffset)}.entry_size();
}

void Device::ConfigureQueue(unsigned queue, std::uint32_t size) {
  const std::size_t entry = EntryOf(queue);
  const GenCap cap = capabilities();
  registers_.Write32(entry + WqCfg::kSize, size);
  registers_.Write32(entry + WqCfg::kThreshold, 0);
  registers_.Write32(entry + WqCfg::kMode, WqCfg::kDedicated | WqCfg::kPriority1);
  registers_.Write32(entry + WqCfg::kLimits, cap.max_transfer_shift() | cap.max_batch_shift()
                                                                            << WqCfg::kBatchShift);
  if (WqCap{registers_.Read64(WqCap::kOffset)}.has_operation_config()) {
    registers_.Write32(entry + WqCfg::kOperations, 1U << Descriptor::kNoop |
                                                       1U << Descriptor::kBatch |
                                                       1U << Descriptor::kMove);
  }
}

Result<void> Device::BringUp(Sizes sizes, unsigned vectors, Deadline deadline) {
  const WqCap queues{registers_.Read64(WqCap::kOffset)};
  if (queues.queues() < 2 || !queues.has_dedicated_mode() ||
      queues.total_size() < sizes.copies + sizes.interrupts ||
      (registers_.Read64(GrpCap::kOffset) & 0xff) == 0 ||
      (registers_.Read64(EngCap::kOffset) & 0xff) == 0) {
    return Fail(ENOTSUP,
                fmt::format("dsa: two dedicated work queues of {} entries, a group and an "
                            "engine are needed; the device has {} queues of {}",
                            sizes.copies + sizes.interrupts, queues.queues(), queues.total_size()));
  }
  registers_.Write32(GenCtrl::kOffset, 0);
  ConfigureQueue(kCopyQueue, sizes.copies);
  ConfigureQueue(kInterruptQueue, sizes.interrupts);
  const Offsets offsets{registers_.Read64(Offsets::kOffset)};
  registers_.Write64(offsets.groups() + GrpCfg::kQueues, 1U << kCopyQueue | 1U << kInterruptQueue);
  registers_.Write64(offsets.groups() + GrpCfg::kEngines, 1);
  // Without PASID.
  for (unsigned vector = kVector; vector < vectors; ++vector) {
    registers_.Write32(offsets.msix_permissions() + std::size_t{8} * vector, 0);
  }

  for (const auto& [command, operand] : {std::pair{Cmd::kEnableDevice, 0U},
                                         {Cmd::kEnableWq, kCopyQueue},
                                         {Cmd::kEnableWq, kInterruptQueue}}) {
    const auto done = Do(command, operand, deadline);
    if (!done) return std::unexpected(done.error());
  }
  interrupt_ = {};
  return {};
}

// 3.7: a device may give out handles in the place of numbers of the MSI-X table.
Result<std::uint16_t> Device::HandleOf(unsigned vector, Deadline deadline) {
  if (vector == interrupt_.vector) return interrupt_.handle;
  auto handle = static_cast<std::uint16_t>(vector);
  if (capabilities().has_command_capabilities() &&
      (registers_.Read32(CmdCap::kOffset) >> Cmd::kRequestInterruptHandle & 1) != 0) {
    const auto given = Do(Cmd::kRequestInterruptHandle, vector, deadline);
    if (!given) return std::unexpected(given.error());
    handle = static_cast<std::uint16_t>(*given);
  }
  interrupt_ = {.vector = vector, .handle = handle};
  return handle;
}

bool Device::IsAsLeft(Sizes sizes, bool enabled) {
  const std::uint32_t state = registers_.Read32(GenSts::kOffset) & GenSts::kStateMask;
  if (!enabled) return state == GenSts::kDisabled;
  const auto queue_is = [this](unsigned queue, std::uint32_t size) {
    const std::size_t entry = EntryOf(queue);
    return registers_.Read32(entry + WqCfg::kSize) == size &&
           registers_.Read32(entry + WqCfg::kState) >> WqCfg::kStateShift == WqCfg::kEnabled;
  };
  return state == GenSts::kEnabled && queue_is(kCopyQueue, sizes.copies) &&
         queue_is(kInterruptQueue, sizes.interrupts);
}

void Device::Submit(unsigned queue, const Descriptor& descriptor) {
  portals_.Write512(queue * kPortals, std::as_bytes(std::span(&descriptor, 1)).first<64>());
}

}  // namespace carryover::dsa
