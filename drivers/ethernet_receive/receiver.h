// SPDX-License-Identifier: GPL-2.0-only
// The contract of drivers/frame_receiver.h, kept on top of a controller's registers.
#pragma once

#include <fmt/format.h>

#include <concepts>
#include <memory>
#include <string_view>
#include <utility>

#include "drivers/access/pci_device.h"
#include "drivers/ethernet_receive/receive_ring.h"
#include "drivers/frame_receiver.h"

namespace carryover::ethernet_receive {

// A controller's registers, as far as receiving needs them. Rings are told by IOVA and bytes, tails
// and heads count descriptors of 16 bytes.
template <typename Port>
concept ReceivePort = requires(Port port, Deadline deadline, std::string_view during, Iova iova,
                               std::uint32_t number, std::size_t bytes) {
  { port.CheckPresent(during) } -> std::same_as<Result<void>>;
  { port.Reset(deadline) } -> std::same_as<Result<void>>;
  // A link by auto-negotiation, through the cable.
  { port.StartLink(deadline) } -> std::same_as<Result<void>>;
  // Filters and formats: frames to the stream's station, up to `bytes` each.
  { port.ConfigureReceive(bytes) } -> std::same_as<void>;
  // Gives the ring to the device, all slots before `tail`, and receives.
  { port.StartReceive(iova, number, number, deadline) } -> std::same_as<Result<void>>;
  { port.ReceivesInto(iova, number, number) } -> std::same_as<bool>;
  { port.ReceiveHead() } -> std::same_as<std::uint32_t>;
  { port.StopReceive(deadline) } -> std::same_as<Result<void>>;
  { port.MaxReceiveBytes() } -> std::same_as<std::size_t>;
};

template <ReceivePort Port>
class Receiver final : public FrameReceiver {
 public:
  // Makes the port when the device is first asked: it may be bound later than this is made.
  using MakePort = Result<std::unique_ptr<Port>> (*)(PciDevice& device);

  Receiver(std::string_view name, PciDevice& device, MakePort make)
      : name_(name), device_(device), make_(make) {}

  [[nodiscard]] Result<std::size_t> MaxSlots() override {
    if (auto opened = Open("MaxSlots()"); !opened) return std::unexpected(opened.error());
    return port_->MaxReceiveBytes() / sizeof(ReceiveDescriptor);
  }
  [[nodiscard]] std::size_t RingBytes(std::size_t slots) const override {
    return ReceiveRing::Bytes(slots);
  }

  [[nodiscard]] Result<void> Start(DmaRegion memory, Deadline deadline) override {
    auto ring = RingIn(memory, "Start()");
    if (!ring) return std::unexpected(ring.error());
    if (auto reset = port_->Reset(deadline); !reset) return reset;
    if (auto on = device_.SetBusMaster(true); !on) return on;
    if (auto link = port_->StartLink(deadline); !link) return link;
    ring_ = *ring;
    ring_.Prepare();
    port_->ConfigureReceive(kSlotBytes);
    DmaWriteBarrier();
    return port_->StartReceive(ring_.iova(), DescriptorBytes(), LastSlot(), deadline);
  }

  [[nodiscard]] Result<void> TakeOver(DmaRegion memory) override {
    auto ring = RingIn(memory, "TakeOver()");
    if (!ring) return std::unexpected(ring.error());
    ring_ = *ring;
    const std::size_t done = ring_.CountDone();
    // The device counts a frame before its descriptor is seen in memory.
    if (!port_->ReceivesInto(ring_.iova(), DescriptorBytes(), LastSlot()) ||
        port_->ReceiveHead() < done) {
      return Fail(EIO, fmt::format("{}: it does not receive into the ring at IOVA {:#x} (head {}, "
                                   "{} slots written): the device was reset, or used since",
                                   name_, ring_.iova(), port_->ReceiveHead(), done));
    }
    return {};
  }

  [[nodiscard]] Result<std::uint64_t> Count() override {
    if (auto opened = Open("Count() of frames"); !opened) return std::unexpected(opened.error());
    return ring_.CountDone();
  }
  [[nodiscard]] Result<void> Stop(Deadline deadline) override {
    if (auto opened = Open("Stop() of receive"); !opened) return opened;
    return port_->StopReceive(deadline);
  }

  [[nodiscard]] Result<void> UseRing(DmaRegion memory) override {
    auto ring = ReceiveRing::In(memory);
    if (!ring) return std::unexpected(ring.error());
    ring_ = *ring;
    return {};
  }
  [[nodiscard]] std::size_t slots() const override { return ring_.slots(); }
  [[nodiscard]] std::span<const std::byte> Buffer(std::size_t slot) const override {
    return ring_.Buffer(slot);
  }
  [[nodiscard]] bool IsUnused(std::size_t slot) const override { return ring_.IsUnused(slot); }
  [[nodiscard]] std::optional<std::span<const std::byte>> Frame(std::size_t slot) const override {
    return ring_.Frame(slot);
  }

 private:
  [[nodiscard]] Result<void> Open(std::string_view during) {
    if (!port_) {
      auto port = make_(device_);
      if (!port) return std::unexpected(port.error());
      port_ = std::move(*port);
    }
    return port_->CheckPresent(during);
  }
  [[nodiscard]] Result<ReceiveRing> RingIn(DmaRegion memory, std::string_view during) {
    if (auto opened = Open(during); !opened) return std::unexpected(opened.error());
    auto ring = ReceiveRing::In(memory);
    if (ring && ring->descriptor_bytes() > port_->MaxReceiveBytes()) {
      return Fail(EINVAL,
                  fmt::format("{}: a receive ring of {} slots, {} is the most", name_,
                              ring->slots(), port_->MaxReceiveBytes() / sizeof(ReceiveDescriptor)));
    }
    return ring;
  }
  [[nodiscard]] std::uint32_t DescriptorBytes() const {
    return static_cast<std::uint32_t>(ring_.descriptor_bytes());
  }
  // Head and tail at the same slot mean that the device has none: one is never its own.
  [[nodiscard]] std::uint32_t LastSlot() const {
    return static_cast<std::uint32_t>(ring_.slots() - 1);
  }

  std::string_view name_;
  PciDevice& device_;
  MakePort make_;
  std::unique_ptr<Port> port_;
  ReceiveRing ring_;
};

}  // namespace carryover::ethernet_receive
