// SPDX-License-Identifier: GPL-2.0-only
// Shows a DeviceModel to QEMU's vfio-user-pci, as a PCI function (QEMU,
// docs/interop/vfio-user.rst).
//
// The model's DMA goes to QEMU in messages, which translates and checks it like that of any device:
// IOMMU and bus master are QEMU's. A processor waits for the answer to an access while QEMU can do
// no DMA: accesses are answered at once, also while the model waits for DMA.
//
// A rogue's DMA goes into the guest's memory itself, past all that (guest_memory.h).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "drivers/model/device_model.h"
#include "drivers/vfio_user/config_space.h"
#include "drivers/vfio_user/connection.h"
#include "drivers/vfio_user/event_log.h"
#include "drivers/vfio_user/guest_memory.h"
#include "drivers/vfio_user/request.h"

namespace carryover::vfio_user {

// Makes a model in this slot.
using MakeModel = std::function<std::unique_ptr<DeviceModel>(ModelHost&)>;

// How DMA is done.
enum class DmaWay : std::uint8_t { kAsked, kRogue };

class Server final : private ModelHost {
 public:
  static constexpr std::chrono::seconds kPatience{5};

  // A new device, as after power-on, on this connection. `log` outlives it. `patience`: longest
  // that the other side may take for a message that it has begun, or for an answer.
  Server(UniqueFd socket, const MakeModel& make, EventLog& log,
         std::chrono::nanoseconds patience = kPatience, DmaWay way = DmaWay::kAsked);

  // Does what there is to do now, or a part of it if there is much. It is to be called again when
  // fd() is readable, when this time has come, and when the model's faults were changed. Errors,
  // after which the connection is of no more use: kEnded, EPROTO (what came is against the
  // protocol), ETIMEDOUT, and those of sockets.
  [[nodiscard]] Result<std::optional<DeviceModel::Clock::time_point>> Step();
  [[nodiscard]] int fd() const { return connection_.fd(); }
  // For faults; Step() afterwards.
  [[nodiscard]] DeviceModel& model() { return *model_; }

  // The error of Step() when the other side closed between two messages.
  static constexpr int kEnded = ESHUTDOWN;

 private:
  // ModelHost
  [[nodiscard]] bool DmaRead(Iova iova, std::span<std::byte> to) override;
  [[nodiscard]] bool DmaWrite(Iova iova, std::span<const std::byte> from) override;
  void Raise(InterruptKind kind, unsigned vector) override;

  // Waits for the next message and deals with it. True if it was the reply to `asked`, which is
  // then in `reply_`.
  [[nodiscard]] Result<bool> Receive(Deadline deadline, const Header* asked);
  [[nodiscard]] Result<void> Answer(Message& request);
  using Payload = std::vector<std::byte>;
  [[nodiscard]] Result<Payload> AnswerTo(Message& request);
  [[nodiscard]] Result<Payload> AnswerVersion(std::span<const std::byte> payload);
  [[nodiscard]] Result<Payload> AnswerDmaMap(std::span<const std::byte> payload,
                                             std::span<const UniqueFd> fds);
  [[nodiscard]] Result<Payload> AnswerDmaUnmap(std::span<const std::byte> payload);
  [[nodiscard]] static Result<Payload> AnswerInfo(std::span<const std::byte> payload);
  [[nodiscard]] Result<Payload> AnswerRegionInfo(std::span<const std::byte> payload) const;
  [[nodiscard]] Result<Payload> AnswerIrqInfo(std::span<const std::byte> payload) const;
  [[nodiscard]] Result<Payload> AnswerSetIrqs(std::span<const std::byte> payload,
                                              std::vector<UniqueFd> fds);
  [[nodiscard]] Result<Payload> ReadRegion(std::span<const std::byte> payload);
  [[nodiscard]] Result<Payload> WriteRegion(std::span<const std::byte> payload);
  [[nodiscard]] Result<void> ReadBar(unsigned bar, std::size_t offset, std::span<std::byte> to);
  [[nodiscard]] Result<void> WriteBar(unsigned bar, std::size_t offset,
                                      std::span<const std::byte> from);
  void WriteConfig(std::size_t offset, std::span<const std::byte> from);
  void ResetFunction(const char* by);

  [[nodiscard]] std::size_t RegionSize(std::uint32_t region) const;
  [[nodiscard]] bool InMsix(unsigned bar, std::size_t offset, std::size_t size) const;
  [[nodiscard]] unsigned VectorsOf(std::uint32_t irq_index) const;
  // Sends a DMA request and waits for its reply, which is then in reply_. False if it was refused.
  [[nodiscard]] Result<bool> Exchange(Command command, const Payload& payload);
  // Of at most max_transfer_ bytes. False if refused.
  [[nodiscard]] Result<bool> ReadPart(const DmaAccess& access, std::span<std::byte> to);
  [[nodiscard]] Result<bool> WritePart(const DmaAccess& access, std::span<const std::byte> from);
  // By such requests, in parts. False if refused, or in D3hot, in which QEMU would carry them out.
  [[nodiscard]] bool AskRead(Iova iova, std::span<std::byte> to);
  [[nodiscard]] bool AskWrite(Iova iova, std::span<const std::byte> from);
  // False also if the connection has failed: failure_ is the error, and all DMA fails from now on.
  [[nodiscard]] bool Succeeded(const Result<bool>& part);
  void LogViolations();

  Connection connection_;
  EventLog& log_;
  std::chrono::nanoseconds patience_;
  std::unique_ptr<DeviceModel> model_;
  ConfigSpace config_;
  std::optional<GuestMemory> memory_;  // of a rogue
  std::map<std::pair<InterruptKind, unsigned>, UniqueFd> vectors_;
  bool agreed_ = false;  // on a version
  std::size_t max_transfer_ = kMaxTransfer;
  std::uint16_t next_id_ = 0;
  Message reply_;
  std::optional<Error> failure_;  // of the connection, while the model worked
  std::size_t logged_violations_ = 0;
};

}  // namespace carryover::vfio_user
