// SPDX-License-Identifier: GPL-2.0-only
// A behavioural model of a PCI device, written from its specification. It stands behind a driver in
// two ways: in process, for unit tests (drivers/conformance/model_device.h), and as a process of
// its own that QEMU shows to a guest (drivers/vfio_user).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "drivers/access/iommu.h"
#include "drivers/access/pci_device.h"
#include "drivers/access/pci_id.h"

namespace carryover {

// A memory BAR.
struct ModelBar {
  unsigned index = 0;
  std::size_t size = 0;  // bytes, a power of two, 4096 at least
  bool wide = false;     // 64 bits: takes the next index, too
};

// Bytes of BAR that MSI-X takes: the table, and from the middle on the pending bits.
inline constexpr std::size_t kMsixSize = 4096;
inline constexpr std::size_t kMsixTableSize = kMsixSize / 2;  // 128 vectors

struct ModelIdentity {
  PciId id = {};
  std::uint32_t class_code = 0;  // base class, sub-class, interface: 0x010802 is NVMe
  std::uint8_t revision = 0;
  PciId subsystem = {};
  std::vector<ModelBar> bars = {};
  // Vectors of the kinds that the device has.
  unsigned msix_vectors = 0;
  unsigned msi_vectors = 0;
  bool intx = false;
  // Where the MSI-X table and pending bits are. The host of a model keeps them: the model does not
  // see accesses to [msix_offset, msix_offset + kMsixSize) of this BAR.
  unsigned msix_bar = 0;
  std::size_t msix_offset = 0;
  // Capabilities besides PCI Express, MSI and MSI-X: each begins with its id, and a byte that the
  // host fills in (next).
  std::vector<std::vector<std::uint8_t>> capabilities = {};
};

// The first 256 bytes of configuration space, with everything of the identity but PCI Express, MSI
// and MSI-X.
[[nodiscard]] std::vector<std::uint8_t> InitialConfig(const ModelIdentity& identity);

// The slot that a model is plugged into.
class ModelHost {
 public:
  virtual ~ModelHost() = default;

  // False if refused, by the IOMMU or because bus master is off: nothing was transferred then.
  // Meanwhile the model's Read(), Write() and ResetFunction() may be called: a processor does not
  // wait for a device's DMA. The model looks again at its registers afterwards.
  [[nodiscard]] virtual bool DmaRead(Iova iova, std::span<std::byte> to) = 0;
  [[nodiscard]] virtual bool DmaWrite(Iova iova, std::span<const std::byte> from) = 0;
  virtual void Raise(InterruptKind kind, unsigned vector) = 0;
};

// An object as ModelHost transfers it: byte for byte, in this machine's order.
template <typename T>
  requires std::is_trivially_copyable_v<T>
[[nodiscard]] std::span<std::byte> BytesOf(T& object) {
  return std::as_writable_bytes(std::span(&object, 1));
}

// All calls come from one thread. A model does no DMA and raises nothing but within Work(), which
// is not called while it runs.
class DeviceModel {
 public:
  using Clock = std::chrono::steady_clock;

  virtual ~DeviceModel() = default;
  DeviceModel(const DeviceModel&) = delete;
  DeviceModel& operator=(const DeviceModel&) = delete;

  [[nodiscard]] virtual const ModelIdentity& identity() const = 0;

  // Access to a BAR: size is 1, 2, 4 or 8, offset a multiple of it and within the BAR. Accesses
  // that the specification forbids are violations(), and read as 0.
  [[nodiscard]] virtual std::uint64_t Read(unsigned bar, std::size_t offset, std::size_t size) = 0;
  virtual void Write(unsigned bar, std::size_t offset, std::size_t size, std::uint64_t value) = 0;
  // Function level reset: everything takes its initial value. Ends also what is stuck.
  virtual void ResetFunction() = 0;

  // Does all work there is, until nothing is left or the device hangs. The host calls it after
  // every access, after a change of the faults below, and when NextDue() has come.
  virtual void Work() = 0;
  // When there is work that no access will bring.
  [[nodiscard]] virtual std::optional<Clock::time_point> NextDue() const { return std::nullopt; }

  // Faults on request. The device takes doorbells and does nothing; when it hangs no more, it goes
  // on with what it has.
  void SetHung(bool hung);
  // A hung device does `units` (1 or more) of its own units of work, then hangs again.
  void LetThrough(std::size_t units);
  // A reset by register that is begun never ends.
  void SetResetStuck(bool stuck) { reset_stuck_ = stuck; }
  // The device reports an error for what it does next.
  void FailNextCopy() { fail_next_ = true; }

  // No fault: a device that copies no more than this in a second, and is busy with each unit of its
  // work for as long as that takes. 0, at first: as fast as it can. Only models that say so of
  // NextDue() know it.
  void SetBandwidth(std::uint64_t bytes_per_second) { bandwidth_ = bytes_per_second; }

  // Writes that made the device look for work.
  [[nodiscard]] std::size_t doorbells() const { return doorbells_; }
  // Resets by register.
  [[nodiscard]] std::size_t resets() const { return resets_; }
  // What the driver did and the specification forbids.
  [[nodiscard]] const std::vector<std::string>& violations() const { return violations_; }

 protected:
  // `host` outlives the model.
  explicit DeviceModel(ModelHost& host) : host_(host) {}

  [[nodiscard]] ModelHost& host() { return host_; }
  // True if the device may do one more unit of work now; counts it.
  [[nodiscard]] bool TakeUnit();
  // This much was copied by the unit that was taken: the next one is not taken before it is time.
  void Spend(std::size_t bytes);
  // When a unit that is there, and was not taken, can be; none if that is no matter of time.
  [[nodiscard]] std::optional<Clock::time_point> BusyUntil() const;
  // True once after FailNextCopy().
  [[nodiscard]] bool TakeFailure();
  [[nodiscard]] bool reset_stuck() const { return reset_stuck_; }
  void CountDoorbell() { ++doorbells_; }
  void CountReset() { ++resets_; }
  void Violation(std::string what) { violations_.push_back(std::move(what)); }

 private:
  ModelHost& host_;
  bool hung_ = false;
  std::size_t let_through_ = 0;  // units that a hung device still does
  std::uint64_t bandwidth_ = 0;
  Clock::time_point busy_until_;
  bool reset_stuck_ = false;
  bool fail_next_ = false;
  std::size_t doorbells_ = 0;
  std::size_t resets_ = 0;
  std::vector<std::string> violations_;
};

}  // namespace carryover
