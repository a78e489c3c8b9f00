// SPDX-License-Identifier: GPL-2.0-only
// A controller's own side of the work: enabling, admin commands, identification, queues. Knows no
// copies.
#pragma once

#include <cstdint>

#include "drivers/access/deadline.h"
#include "drivers/access/iommu.h"
#include "drivers/access/mmio.h"
#include "drivers/access/result.h"
#include "drivers/nvme/queue_pair.h"
#include "drivers/nvme/region.h"
#include "drivers/nvme/registers.h"

namespace carryover::nvme {

// What a driver must know of namespace 1 and of the controller.
struct Geometry {
  std::uint64_t blocks = 0;
  std::uint32_t block_size = 0;    // bytes
  std::uint32_t max_transfer = 0;  // bytes of a command
  bool any_sgl = false;            // SGLs of any alignment are taken

  friend bool operator==(const Geometry&, const Geometry&) = default;
};

class Controller {
 public:
  explicit Controller(Mmio& bar) : bar_(bar) {}

  // ENODEV if it reads as all ones; EIO if it has failed for good (CSTS.CFS).
  [[nodiscard]] Result<void> CheckPresent(std::string_view during);
  [[nodiscard]] Cap cap() { return Cap{bar_.Read64(Cap::kOffset)}; }

  // Disables it: it forgets its queues and commands, and does no DMA any more.
  [[nodiscard]] Result<void> Disable(Deadline deadline);
  // Enables it with admin queues in `memory`, which is at `iova`.
  [[nodiscard]] Result<void> Enable(RegionLayout& memory, Iova iova, Deadline deadline);
  // True if it is enabled, or disabled, as Enable() and Disable() leave it.
  [[nodiscard]] bool IsAsLeft(Iova iova, bool enabled);

  [[nodiscard]] Result<Geometry> Identify(Deadline deadline);
  // Asks for two I/O queues.
  [[nodiscard]] Result<void> AskForQueues(Deadline deadline);
  // Creates I/O queues `id` with these entries; `vector` if its completions are to interrupt.
  [[nodiscard]] Result<void> CreateQueues(unsigned id, Iova submissions, Iova completions,
                                          std::uint32_t entries, std::optional<unsigned> vector,
                                          Deadline deadline);
  // Deletes both; what was posted to them is done before, or not at all.
  [[nodiscard]] Result<void> DeleteQueues(unsigned id, Deadline deadline);

  [[nodiscard]] QueuePair& admin() { return admin_; }
  [[nodiscard]] const QueuePair& admin() const { return admin_; }
  // For a controller that runs already.
  void UseMemory(RegionLayout& memory, Iova iova);

 private:
  [[nodiscard]] Result<std::uint32_t> Do(Command command, Deadline deadline);
  [[nodiscard]] Result<void> PollReady(bool ready, Deadline deadline);
  [[nodiscard]] Result<void> Fetch(std::uint32_t cns, std::uint32_t namespace_id,
                                   Deadline deadline);
  [[nodiscard]] Iova At(std::size_t offset) const { return iova_ + offset; }

  Mmio& bar_;
  RegionLayout* memory_ = nullptr;
  Iova iova_ = 0;
  QueuePair admin_;
  std::uint16_t next_id_ = 0;
};

// "status code type 0, code 0x80": of a completion that failed.
[[nodiscard]] std::string StatusOf(const Completion& completion);

}  // namespace carryover::nvme
