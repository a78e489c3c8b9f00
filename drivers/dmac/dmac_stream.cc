// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/dmac/dmac_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "drivers/contract/poll.h"
#include "drivers/dmac/identity.h"
#include "drivers/dmac/registers.h"

namespace carryover::dmac {
namespace {

constexpr std::size_t kMaxRing = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint32_t kMaxPeriod = std::numeric_limits<std::uint32_t>::max();

class DmacStream final : public Stream {
 public:
  explicit DmacStream(PciDevice& device) : device_(device) {}

  [[nodiscard]] Numbering numbering() const override { return Numbering::kBySlot; }
  [[nodiscard]] Result<std::size_t> MaxSlots() override { return kMaxRing / sizeof(StreamRecord); }
  [[nodiscard]] std::size_t RingBytes(std::size_t slots) const override {
    return slots * sizeof(StreamRecord);
  }
  [[nodiscard]] Result<void> Start(DmaRegion ring, std::chrono::microseconds period,
                                   Deadline deadline) override;
  [[nodiscard]] Result<void> TakeOver(DmaRegion ring, std::chrono::microseconds period) override;
  [[nodiscard]] Result<std::uint64_t> Count() override;
  [[nodiscard]] Result<void> Stop(Deadline deadline) override;
  [[nodiscard]] Result<void> UseRing(DmaRegion ring) override;
  [[nodiscard]] std::size_t slots() const override { return ring_.size() / sizeof(StreamRecord); }
  [[nodiscard]] std::span<const std::byte> Slot(std::size_t slot) const override {
    return ring_.subspan(slot * sizeof(StreamRecord), sizeof(StreamRecord));
  }
  [[nodiscard]] std::optional<StreamEntry> ReadSlot(std::size_t slot) const override;

  [[nodiscard]] Result<void> CheckPresent(std::string_view during);

 private:
  [[nodiscard]] bool Enabled() {
    return (bar_->Read32(StreamControl::kOffset) & StreamControl::kEnable) != 0;
  }

  PciDevice& device_;
  Mmio* bar_ = nullptr;
  std::span<const std::byte> ring_;
};

Result<void> DmacStream::CheckPresent(std::string_view during) {
  if (bar_ == nullptr) {
    const auto bar = device_.Bar(0);
    if (!bar) return std::unexpected(bar.error());
    bar_ = *bar;
  }
  return CheckIdentity(*bar_, during);
}

Result<void> DmacStream::Start(DmaRegion ring, std::chrono::microseconds period,
                               Deadline /*deadline*/) {
  if (auto used = UseRing(ring); !used) return used;
  if (period.count() <= 0 || period.count() > std::int64_t{kMaxPeriod}) {
    return Fail(EINVAL, fmt::format("dmac: a stream's period of {} us", period.count()));
  }
  if (auto present = CheckPresent("Start() of a stream"); !present) return present;
  if (Enabled()) return Fail(EBUSY, "dmac: a stream runs already");
  if (auto on = device_.SetBusMaster(true); !on) return on;
  bar_->Write64(StreamBase::kOffset, ring.iova);
  bar_->Write32(StreamSize::kOffset, static_cast<std::uint32_t>(ring.memory.size()));
  bar_->Write32(StreamPeriod::kOffset, static_cast<std::uint32_t>(period.count()));
  DmaWriteBarrier();
  bar_->Write32(StreamControl::kOffset, StreamControl::kEnable);
  return {};
}

Result<void> DmacStream::TakeOver(DmaRegion ring, std::chrono::microseconds period) {
  if (auto present = CheckPresent("TakeOver() of a stream"); !present) return present;
  if (!Enabled() || bar_->Read64(StreamBase::kOffset) != ring.iova ||
      bar_->Read32(StreamSize::kOffset) != ring.memory.size() ||
      bar_->Read32(StreamPeriod::kOffset) != period.count()) {
    return Fail(EIO,
                fmt::format("dmac: the stream at IOVA {:#x} does not run: the device was reset, "
                            "or used since",
                            ring.iova));
  }
  return UseRing(ring);
}

Result<void> DmacStream::UseRing(DmaRegion ring) {
  const std::size_t size = ring.memory.size();
  if (size == 0 || size % sizeof(StreamRecord) != 0 || size > kMaxRing || ring.iova % 4096 != 0) {
    return Fail(EINVAL,
                fmt::format("dmac: a stream's ring of {} bytes at IOVA {:#x}", size, ring.iova));
  }
  ring_ = ring.memory;
  return {};
}

Result<std::uint64_t> DmacStream::Count() {
  if (auto present = CheckPresent("Count() of a stream"); !present) {
    return std::unexpected(present.error());
  }
  return bar_->Read64(StreamCount::kOffset);
}

Result<void> DmacStream::Stop(Deadline deadline) {
  if (auto present = CheckPresent("Stop() of a stream"); !present) return present;
  bar_->Write32(StreamControl::kOffset, 0);
  return PollUntil(
      *this, [this] { return !Enabled(); }, kPollInterval, deadline,
      "dmac: waiting for the stream to stop (STREAM_CONTROL.ENABLE)");
}

std::optional<StreamEntry> DmacStream::ReadSlot(std::size_t slot) const {
  StreamRecord record;
  std::memcpy(&record, Slot(slot).data(), sizeof(record));
  const bool whole = record.complement == record.Complement() &&
                     std::ranges::all_of(record.zeros, [](auto word) { return word == 0; });
  if (!whole) return std::nullopt;
  return StreamEntry{.number = record.number, .time = std::chrono::nanoseconds(record.time)};
}

}  // namespace

std::unique_ptr<Stream> MakeStream(PciDevice& device) {
  return std::make_unique<DmacStream>(device);
}

}  // namespace carryover::dmac
