// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/nvme/controller.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <tuple>

#include "drivers/contract/poll.h"

namespace carryover::nvme {
namespace {

using std::chrono::microseconds;

template <typename T>
T Load(std::span<const std::byte> bytes, std::size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(value));
  return value;
}

}  // namespace

std::string StatusOf(const Completion& completion) {
  return fmt::format("status code type {}, code {:#04x}{}", completion.type(), completion.code(),
                     completion.do_not_retry() ? ", do not retry" : "");
}

Result<void> Controller::CheckPresent(std::string_view during) {
  const std::uint32_t csts = bar_.Read32(Csts::kOffset);
  if (csts == ~0U) {
    return Fail(ENODEV,
                fmt::format("nvme: {}: CSTS reads as all ones: the device is gone", during));
  }
  if ((csts & Csts::kFatal) == 0) return {};
  return Fail(EIO, fmt::format("nvme: {}: the controller has failed (CSTS.CFS)", during));
}

Result<void> Controller::PollReady(bool ready, Deadline deadline) {
  while (true) {
    const bool last = deadline.Passed();
    const std::uint32_t csts = bar_.Read32(Csts::kOffset);
    if (csts == ~0U) return CheckPresent("waiting for CSTS.RDY");
    if (((csts & Csts::kReady) != 0) == ready) return {};
    // A controller that has failed can still be disabled, but will never be ready.
    if (ready && (csts & Csts::kFatal) != 0) return CheckPresent("waiting for CSTS.RDY");
    if (last) {
      return Fail(ETIMEDOUT, fmt::format("nvme: waiting for CSTS.RDY {} (CSTS {:#x}, CAP.TO {} ms)",
                                         ready ? 1 : 0, csts, cap().timeout()));
    }
    std::this_thread::sleep_for(
        std::min<std::chrono::nanoseconds>(microseconds(100), deadline.Remaining()));
  }
}

// 3.1.3.5: CC.EN may be cleared only while CSTS.RDY is 1, and all else in CC may change only while
// CC.EN is 0. A controller that is never ready is disabled nevertheless: nothing else is left.
Result<void> Controller::Disable(Deadline deadline) {
  const std::uint32_t csts = bar_.Read32(Csts::kOffset);
  if (csts == ~0U) return CheckPresent("reset");
  const std::uint32_t cc = bar_.Read32(Cc::kOffset);
  if ((cc & Cc::kEnable) != 0) {
    if ((csts & (Csts::kReady | Csts::kFatal)) == 0) {
      const auto patience = std::min<std::chrono::nanoseconds>(
          std::chrono::milliseconds(cap().timeout()), deadline.Remaining());
      std::ignore = PollReady(true, Deadline::At(Deadline::Clock::now() + patience));
    }
    bar_.Write32(Cc::kOffset, cc & ~(Cc::kEnable | Cc::kShutdown));
  }
  if (auto disabled = PollReady(false, deadline); !disabled) return disabled;
  bar_.Write32(Cc::kOffset, Cc::kOurs);
  return {};
}

void Controller::UseMemory(RegionLayout& memory, Iova iova) {
  memory_ = &memory;
  iova_ = iova;
}

Result<void> Controller::Enable(RegionLayout& memory, Iova iova, Deadline deadline) {
  UseMemory(memory, iova);
  if (cap().min_page() > 4096) {
    return Fail(ENOTSUP, fmt::format("nvme: the smallest page is {} bytes, 4096 are needed",
                                     cap().min_page()));
  }
  if (!cap().nvm_command_set()) {
    return Fail(ENOTSUP, "nvme: the controller does not have the NVM command set");
  }
  admin_ = QueuePair(0, memory.admin_sq, memory.admin_cq, bar_, cap().doorbell_stride());
  bar_.Write32(Aqa::kOffset, (kAdminEntries - 1) << 16 | (kAdminEntries - 1));
  bar_.Write64(Asq::kOffset, At(offsetof(RegionLayout, admin_sq)));
  bar_.Write64(Acq::kOffset, At(offsetof(RegionLayout, admin_cq)));
  DmaWriteBarrier();
  bar_.Write32(Cc::kOffset, Cc::kOurs | Cc::kEnable);
  return PollReady(true, deadline);
}

bool Controller::IsAsLeft(Iova iova, bool enabled) {
  const std::uint32_t ready = bar_.Read32(Csts::kOffset) & Csts::kReady;
  return bar_.Read64(Asq::kOffset) == iova + offsetof(RegionLayout, admin_sq) &&
         bar_.Read64(Acq::kOffset) == iova + offsetof(RegionLayout, admin_cq) &&
         bar_.Read32(Aqa::kOffset) == ((kAdminEntries - 1) << 16 | (kAdminEntries - 1)) &&
         bar_.Read32(Cc::kOffset) == (enabled ? Cc::kOurs | Cc::kEnable : Cc::kOurs) &&
         ready == (enabled ? Csts::kReady : 0);
}

// One at a time: there is always room.
Result<std::uint32_t> Controller::Do(Command command, Deadline deadline) {
  command.id = next_id_++;
  admin_.Put(command);
  admin_.Ring();
  while (true) {
    const bool last = deadline.Passed();
    const auto completion = admin_.Take();
    if (completion) {
      admin_.Release();
      if (completion->command_id != command.id) {
        return Fail(EIO, fmt::format("nvme: admin command {} was completed, {} was given",
                                     completion->command_id, command.id));
      }
      if (!completion->failed()) return completion->result;
      return Fail(EIO, fmt::format("nvme: admin command {:#04x} failed: {}", command.opcode,
                                   StatusOf(*completion)));
    }
    if (auto present = CheckPresent("admin command"); !present) {
      return std::unexpected(present.error());
    }
    if (last) {
      return Fail(ETIMEDOUT, fmt::format("nvme: admin command {:#04x}", command.opcode));
    }
    std::this_thread::sleep_for(microseconds(20));
  }
}

Result<void> Controller::Fetch(std::uint32_t cns, std::uint32_t namespace_id, Deadline deadline) {
  const auto done = Do({.opcode = kIdentify,
                        .namespace_id = namespace_id,
                        .data = {At(offsetof(RegionLayout, identify)), 0},
                        .cdw10 = cns},
                       deadline);
  if (!done) return std::unexpected(done.error());
  DmaReadBarrier();
  return {};
}

Result<Geometry> Controller::Identify(Deadline deadline) {
  Geometry geometry;
  if (auto got = Fetch(kIdentifyController, 0, deadline); !got) return std::unexpected(got.error());
  const std::span<const std::byte> data = memory_->identify;
  const auto mdts = Load<std::uint8_t>(data, kMdts);
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint32_t>::max();
  geometry.max_transfer = static_cast<std::uint32_t>(
      mdts == 0
          ? kMost
          : std::min<std::uint64_t>(kMost, cap().min_page() << std::min(mdts, std::uint8_t{20})));
  geometry.any_sgl = (Load<std::uint32_t>(data, kSgls) & 0x3) == 0x1;

  if (auto got = Fetch(kIdentifyNamespace, 1, deadline); !got) return std::unexpected(got.error());
  geometry.blocks = Load<std::uint64_t>(data, kNamespaceSize);
  const auto flbas = Load<std::uint8_t>(data, kFlbas);
  // Bits 6:5 are part of the index only if there are more than 16 formats.
  const bool many = Load<std::uint8_t>(data, kFormats) >= 16;
  const std::size_t format = (flbas & 0xf) | (many ? flbas >> 1 & 0x30 : 0);
  const auto metadata = Load<std::uint16_t>(data, kLbaFormats + 4 * format);
  const auto log_size = Load<std::uint8_t>(data, kLbaFormats + 4 * format + 2);
  if (geometry.blocks == 0) return Fail(ENOTSUP, "nvme: the controller has no namespace 1");
  if (metadata != 0 || (log_size != 9 && log_size != 12)) {
    return Fail(ENOTSUP, fmt::format("nvme: namespace 1 has blocks of 2^{} bytes with {} bytes of "
                                     "metadata; format it with 512 or 4096 and none",
                                     log_size, metadata));
  }
  geometry.block_size = 1U << log_size;
  return geometry;
}

Result<void> Controller::AskForQueues(Deadline deadline) {
  const auto granted =
      Do({.opcode = kSetFeatures, .cdw10 = kNumberOfQueues, .cdw11 = 1U << 16 | 1U}, deadline);
  if (!granted) return std::unexpected(granted.error());
  if ((*granted & 0xffff) >= 1 && *granted >> 16 >= 1) return {};
  return Fail(ENOTSUP, "nvme: the controller grants a single I/O queue, two are needed");
}

Result<void> Controller::CreateQueues(unsigned id, Iova submissions, Iova completions,
                                      std::uint32_t entries, std::optional<unsigned> vector,
                                      Deadline deadline) {
  const std::uint32_t size = (entries - 1) << 16 | id;
  const auto completion_queue =
      Do({.opcode = kCreateCq,
          .data = {completions, 0},
          .cdw10 = size,
          .cdw11 = kContiguous | (vector ? kInterruptsEnabled | *vector << 16 : 0)},
         deadline);
  if (!completion_queue) return std::unexpected(completion_queue.error());
  const auto submission_queue = Do({.opcode = kCreateSq,
                                    .data = {submissions, 0},
                                    .cdw10 = size,
                                    .cdw11 = kContiguous | id << 16},
                                   deadline);
  if (!submission_queue) return std::unexpected(submission_queue.error());
  return {};
}

// Base 5.6 and 5.7: a completion queue is deleted after its submission queues.
Result<void> Controller::DeleteQueues(unsigned id, Deadline deadline) {
  for (const AdminOpcode opcode : {kDeleteSq, kDeleteCq}) {
    if (const auto done = Do({.opcode = opcode, .cdw10 = id}, deadline); !done) {
      return std::unexpected(done.error());
    }
  }
  return {};
}

}  // namespace carryover::nvme
