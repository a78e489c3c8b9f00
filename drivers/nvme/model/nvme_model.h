// SPDX-License-Identifier: GPL-2.0-only
// A model of an NVMe controller with one namespace, from the NVM Express Base Specification 2.0 and
// the NVM Command Set Specification 1.0: registers, admin and I/O queues, PRPs and SGLs, reads and
// writes. It hangs, and counts doorbells, by its first I/O queue; the others go on. A unit of its
// work is a command.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "drivers/access/block_range.h"
#include "drivers/model/device_model.h"
#include "drivers/nvme/commands.h"

namespace carryover::nvme {

// How controllers differ.
struct NvmeFlavour {
  bool sgl = true;                   // of any alignment; else none
  unsigned block_shift = 9;          // log2 of bytes of a block
  unsigned doorbell_stride = 0;      // CAP.DSTRD
  std::uint32_t max_entries = 2048;  // of a queue
  unsigned mdts = 7;                 // log2 of pages of a command
  unsigned vectors = 8;
  unsigned metadata = 0;         // bytes of it with each block
  unsigned min_page_shift = 12;  // log2 of the smallest page: CAP.MPSMIN
  bool nvm_command_set = true;   // CAP.CSS
  unsigned io_queues = 4;        // pairs that it grants
  std::uint64_t blocks = 65536;  // of namespace 1, which is not there without any
  unsigned polls = 0;            // reads of CSTS that enabling takes, and disabling
  bool reorders = false;         // what was posted last is done first
  bool fails_to_enable = false;  // CSTS.CFS instead of being ready
  // What is written elsewhere is a violation.
  std::optional<BlockRange> scratch = std::nullopt;
};

class NvmeModel final : public DeviceModel {
 public:
  [[nodiscard]] static ModelIdentity Identity(const NvmeFlavour& flavour);

  NvmeModel(ModelHost& host, const NvmeFlavour& flavour)
      : DeviceModel(host), flavour_(flavour), identity_(Identity(flavour)) {}

  [[nodiscard]] const ModelIdentity& identity() const override { return identity_; }
  [[nodiscard]] std::uint64_t Read(unsigned bar, std::size_t offset, std::size_t size) override;
  void Write(unsigned bar, std::size_t offset, std::size_t size, std::uint64_t value) override;
  void ResetFunction() override;
  void Work() override;

  // Blocks that were read or written.
  [[nodiscard]] const std::set<std::uint64_t>& touched() const { return touched_; }
  // How often blocks were written.
  [[nodiscard]] const std::map<std::uint64_t, std::size_t>& writes() const { return writes_; }
  // CSTS.CFS, until the next reset.
  void Fail() { fatal_ = true; }
  // Submission queue `id` hangs: 0 is that of admin commands.
  void SetQueueHung(unsigned id, bool hung);
  // Another format, or size, of namespace 1.
  void Reformat(unsigned block_shift, std::uint64_t blocks);

 private:
  struct Queue {
    std::uint64_t address = 0;
    std::uint32_t entries = 0;
    std::uint32_t head = 0;
    std::uint32_t tail = 0;
    unsigned completion_queue = 0;  // of a submission queue
    bool phase = true;              // of a completion queue: of what is written next
    bool interrupts = false;
    unsigned vector = 0;
    std::vector<Command> fetched = {};  // of a submission queue: not completed
  };
  struct Piece {
    std::uint64_t address = 0;
    std::uint32_t length = 0;
  };
  // Status code, and above its 8 bits its type.
  using Status = std::uint16_t;

  [[nodiscard]] std::uint64_t Capabilities() const;
  [[nodiscard]] bool Enabled() const;
  void WriteRegister(std::size_t offset, std::uint32_t value);
  void WriteControl(std::uint32_t value);
  void Enable();
  // Brings enabling or disabling nearer to its end.
  void Settle();
  void ForgetQueues();
  void WriteDoorbell(std::size_t offset, std::size_t size, std::uint32_t value);

  // Checks a new value of a doorbell.
  [[nodiscard]] bool IsSound(unsigned id, bool submission, const Queue& queue, std::uint32_t value);

  // Does a command of a submission queue; false if there is none, or it must wait.
  [[nodiscard]] bool DoCommand(unsigned id);
  // Fetches all commands that were posted. False if there is none any more to do.
  [[nodiscard]] bool Fetch(unsigned id);
  void Complete(unsigned sq, const Command& command, Status status, std::uint32_t result);
  [[nodiscard]] Status DoAdmin(const Command& command, std::uint32_t& result);
  [[nodiscard]] Status DoIo(const Command& command);
  [[nodiscard]] Status Identify(const Command& command);
  [[nodiscard]] Status CreateQueue(const Command& command);
  [[nodiscard]] Status DeleteQueue(const Command& command);
  [[nodiscard]] Status Transfer(const Command& command, std::uint64_t first, std::uint32_t blocks);
  // Where the command's data is. Error: a status.
  [[nodiscard]] Status FindData(const Command& command, std::uint64_t bytes,
                                std::vector<Piece>& pieces);
  [[nodiscard]] Status FindByPrp(const Command& command, std::uint64_t bytes,
                                 std::vector<Piece>& pieces);
  [[nodiscard]] Status FindBySgl(const Command& command, std::uint64_t bytes,
                                 std::vector<Piece>& pieces);
  void CheckReserved(unsigned queue, const Command& command);
  void CountWrites(std::uint64_t first, std::uint32_t blocks);

  NvmeFlavour flavour_;
  ModelIdentity identity_;
  std::uint32_t cc_ = 0;
  std::uint32_t aqa_ = 0;
  std::uint64_t asq_ = 0;
  std::uint64_t acq_ = 0;
  bool ready_ = false;
  bool fatal_ = false;
  unsigned polls_left_ = 0;  // until enabling or disabling ends
  std::set<unsigned> hung_queues_;
  std::map<unsigned, Queue> submission_queues_;
  std::map<unsigned, Queue> completion_queues_;
  std::map<std::uint64_t, std::vector<std::byte>> disk_;
  std::set<std::uint64_t> touched_;
  std::map<std::uint64_t, std::size_t> writes_;
  std::uint64_t epoch_ = 0;  // resets so far: what was begun before one is not ended after it
};

}  // namespace carryover::nvme
