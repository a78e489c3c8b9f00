// SPDX-License-Identifier: GPL-2.0-only
// The 82576's own side of the work: reset, loopback, queues and interrupts, by registers. Knows no
// frames and no copies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "drivers/access/deadline.h"
#include "drivers/access/iommu.h"
#include "drivers/access/mmio.h"
#include "drivers/access/pci_device.h"
#include "drivers/access/result.h"
#include "drivers/igb/igb.h"

namespace carryover::igb {

struct Rings {
  Iova tx = 0;
  Iova rx = 0;
  std::uint32_t tx_size = 0;  // descriptors
  std::uint32_t rx_size = 0;

  friend bool operator==(const Rings&, const Rings&) = default;
};

// QEMU's devices without a subsystem of their own carry Red Hat's vendor id (0x1af4).
[[nodiscard]] Result<bool> IsEmulated(PciDevice& device);

class Mac {
 public:
  // `emulated`: this is QEMU's igb, which never sets EECD.AUTO_RD nor EEMNGCTL.CFG_DONE, brings
  // STATUS.LU up only by auto-negotiation, and has not always looped frames back in its PHY.
  Mac(Mmio& mmio, bool emulated, LinkSettling settling)
      : mmio_(mmio), emulated_(emulated), settling_(settling) {}

  // ENODEV if the device reads as all ones.
  [[nodiscard]] Result<void> CheckPresent(std::string_view during);

  // Masks interrupts, ends all DMA, resets the function (not the PHY) and waits until it has read
  // its EEPROM again.
  [[nodiscard]] Result<void> Reset(Deadline deadline);

  // What is sent comes back, at 1 Gb/s, whatever the cable does. After Reset().
  [[nodiscard]] Result<void> StartLoopback(Deadline deadline);
  // Gives the PHY back to auto-negotiation. Reset() does not.
  [[nodiscard]] Result<void> EndLoopback(Deadline deadline);

  // Filters and formats: only frames to StationAddress() are received.
  void Configure(std::uint32_t frame_payload);
  static constexpr std::uint64_t StationAddress() { return 0x767582000002; }  // 02:00:00:82:75:76

  // A link by auto-negotiation, through the cable; seconds on hardware. After Reset().
  [[nodiscard]] Result<void> StartLink(Deadline deadline);
  // Filters and formats for receiving by itself: only frames to StreamStation(), of up to `bytes`
  // without CRC, each in a buffer of its own.
  void ConfigureReceive(std::size_t bytes);
  // Another than StationAddress(): what a peer sends it does not come between copies.
  static constexpr std::uint64_t StreamStation() { return 0x777582000002; }  // 02:00:00:82:75:77
  // Hands over a ring of `bytes` at `iova` with the slots before `tail`, and receives.
  [[nodiscard]] Result<void> StartReceive(Iova iova, std::uint32_t bytes, std::uint32_t tail,
                                          Deadline deadline);
  [[nodiscard]] bool ReceivesInto(Iova iova, std::uint32_t bytes, std::uint32_t tail);
  [[nodiscard]] std::uint32_t ReceiveHead();
  // After return the function does no DMA.
  [[nodiscard]] Result<void> StopReceive(Deadline deadline);
  [[nodiscard]] std::size_t MaxReceiveBytes() const;

  // Hands over empty rings (head = tail = 0) and starts both queues.
  [[nodiscard]] Result<void> StartQueues(const Rings& rings, Deadline deadline);
  // After return the function does no DMA.
  [[nodiscard]] Result<void> StopQueues(Deadline deadline);
  [[nodiscard]] bool QueuesRunning();
  [[nodiscard]] Rings ReadRings();

  // Tails: descriptors before them belong to the device. Receive first, then transmit.
  void Post(std::uint32_t rx_tail, std::uint32_t tx_tail);
  // True if the device has done all before these tails, and nothing else was posted.
  [[nodiscard]] bool IdleAt(std::uint32_t rx_tail, std::uint32_t tx_tail);

  void MaskInterrupts();
  void UnmaskInterrupt();  // MSI-X vector 0, from nothing but RaiseInterrupt()
  void RaiseInterrupt(unsigned vector);

 private:
  [[nodiscard]] std::uint32_t Read(std::size_t offset) { return mmio_.Read32(offset); }
  void Write(std::size_t offset, std::uint32_t value) { mmio_.Write32(offset, value); }
  void Change(std::size_t offset, std::uint32_t clear, std::uint32_t set);
  [[nodiscard]] Result<void> DisableMaster(Deadline deadline);
  [[nodiscard]] Result<void> WaitForEeprom(Deadline deadline);
  [[nodiscard]] Result<void> TakePhy(Deadline deadline);
  [[nodiscard]] Result<void> ReleasePhy(Deadline deadline);
  // Polls until `change(SW_FW_SYNC)` gives a value to write, under SWSM's two semaphores.
  template <typename NewOwners>
  [[nodiscard]] Result<void> ChangeOwners(NewOwners change, Deadline deadline);
  [[nodiscard]] Result<void> AutoNegotiate(Deadline deadline);
  void SetUpFilters(std::uint64_t station, std::uint32_t longest_frame);
  void GiveReceiveRing(Iova iova, std::uint32_t bytes);
  [[nodiscard]] Result<void> WritePhy(unsigned phy_register, std::uint16_t value,
                                      Deadline deadline);
  [[nodiscard]] unsigned Port();
  [[nodiscard]] std::uint32_t PhySemaphore();
  // Polls until `done`, sleeping `interval` between two reads.
  template <typename Done>
  [[nodiscard]] Result<void> Poll(Done done, std::chrono::nanoseconds interval, Deadline deadline,
                                  std::string_view what);

  Mmio& mmio_;
  bool emulated_;
  LinkSettling settling_;
};

}  // namespace carryover::igb
