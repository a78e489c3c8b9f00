// SPDX-License-Identifier: GPL-2.0-only
// The 82574's own side of the work: reset, loopback, queues and interrupts, by registers. Knows no
// frames and no copies.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "drivers/access/deadline.h"
#include "drivers/access/iommu.h"
#include "drivers/access/mmio.h"
#include "drivers/access/result.h"
#include "drivers/e1000e/e1000e.h"
#include "drivers/e1000e/registers.h"

namespace carryover::e1000e {

struct Rings {
  Iova tx = 0;
  Iova rx = 0;
  std::uint32_t tx_bytes = 0;
  std::uint32_t rx_bytes = 0;

  friend bool operator==(const Rings&, const Rings&) = default;
};

// Tails and heads count 16 bytes.
class Mac {
 public:
  Mac(Mmio& mmio, Settling settling) : mmio_(mmio), settling_(settling) { Throttle(); }

  // ENODEV if the device reads as all ones.
  [[nodiscard]] Result<void> CheckPresent(std::string_view during);

  // Masks interrupts, ends all DMA, resets the function (not the PHY) and waits until it has read
  // its EEPROM again.
  [[nodiscard]] Result<void> Reset(Deadline deadline);

  // What is sent comes back, at 1 Gb/s, whatever the cable does. After Reset().
  [[nodiscard]] Result<void> StartLoopback(Deadline deadline);
  // Gives the PHY back to auto-negotiation. Reset() does not.
  [[nodiscard]] Result<void> EndLoopback(Deadline deadline);

  // Filters and formats: only frames to StationAddress() are received, split behind a header.
  void Configure(std::uint32_t frame_payload);
  static constexpr std::uint64_t StationAddress() { return 0x747582000002; }  // 02:00:00:82:75:74

  // A link by auto-negotiation, through the cable; seconds on hardware. After Reset().
  [[nodiscard]] Result<void> StartLink(Deadline deadline);
  // Filters and formats for receiving by itself: only frames to StreamStation(), each in a buffer
  // of `bytes`, 256; a longer one would lie in several, and is not whole in any.
  void ConfigureReceive(std::size_t bytes);
  // Another than StationAddress(): what a peer sends it does not come between copies.
  static constexpr std::uint64_t StreamStation() { return 0x757582000002; }  // 02:00:00:82:75:75
  // Hands over a ring of `bytes` at `iova` with the slots before `tail`, and receives.
  [[nodiscard]] Result<void> StartReceive(Iova iova, std::uint32_t bytes, std::uint32_t tail,
                                          Deadline deadline);
  [[nodiscard]] bool ReceivesInto(Iova iova, std::uint32_t bytes, std::uint32_t tail);
  [[nodiscard]] std::uint32_t ReceiveHead();
  // After return the function does no DMA.
  [[nodiscard]] Result<void> StopReceive(Deadline deadline);
  [[nodiscard]] std::size_t MaxReceiveBytes() const { return kRingMaxBytes; }

  // Hands over empty rings (head = tail = 0) and starts both queues. After Reset().
  void StartQueues(const Rings& rings);
  // After StopQueues(): goes on with the rings that the device has.
  void ContinueQueues();
  // After return the function does no DMA.
  [[nodiscard]] Result<void> StopQueues(Deadline deadline);
  // True if both queues are on, or both off.
  [[nodiscard]] bool QueuesAre(bool running);
  [[nodiscard]] Rings ReadRings();

  // Tails: descriptors before them belong to the device. Receive first, then transmit.
  void Post(std::uint32_t rx_tail, std::uint32_t tx_tail);
  // True if the device has done all before these tails, and nothing else was posted.
  [[nodiscard]] bool IdleAt(std::uint32_t rx_tail, std::uint32_t tx_tail);

  void MaskInterrupts();
  void PrepareInterrupt();  // MSI, from nothing but RaiseInterrupt()
  void RaiseInterrupt();    // takes a millisecond; some 20 if it was called just before

 private:
  [[nodiscard]] std::uint32_t Read(std::size_t offset) { return mmio_.Read32(offset); }
  void Write(std::size_t offset, std::uint32_t value) { mmio_.Write32(offset, value); }
  void Change(std::size_t offset, std::uint32_t clear, std::uint32_t set);
  [[nodiscard]] Result<void> DisableMaster(Deadline deadline);
  [[nodiscard]] Result<void> TakePhy(Deadline deadline);
  void ReleasePhy();
  [[nodiscard]] Result<void> AutoNegotiate(Deadline deadline);
  void SetUpFilters(std::uint64_t station);
  void GiveReceiveRing(Iova iova, std::uint32_t bytes);
  [[nodiscard]] Result<void> SetUpPhy(Deadline deadline);
  [[nodiscard]] Result<std::uint16_t> AccessPhy(std::uint32_t command, unsigned phy_register,
                                                Deadline deadline);
  [[nodiscard]] Result<void> WritePhy(unsigned phy_register, std::uint16_t value,
                                      Deadline deadline);
  // Polls until `done`, sleeping `interval` between two reads.
  template <typename Done>
  [[nodiscard]] Result<void> Poll(Done done, std::chrono::nanoseconds interval, Deadline deadline,
                                  std::string_view what);

  // No message before 20 ms from now.
  void Throttle();

  Mmio& mmio_;
  Settling settling_;
  std::chrono::steady_clock::time_point next_message_;
};

}  // namespace carryover::e1000e
