// SPDX-License-Identifier: GPL-2.0-only
// Payloads: what requests carry, and the replies to our own (QEMU, docs/interop/vfio-user.rst; the
// structures are those of <linux/vfio.h>). A payload may be longer than its structure, as VFIO's
// may grow, but a write's is exactly its data.
//
// All parsers fail with EPROTO, and say why: the other side does not keep to the protocol, and the
// connection is of no more use. What is well formed and cannot be done is not their subject.
#pragma once

#include <cstdint>
#include <span>

#include "drivers/vfio_user/message.h"

namespace carryover::vfio_user {

struct Version {
  std::uint16_t major = 0;
  std::uint16_t minor = 0;
};

// What the client proposes.
struct Proposal {
  Version version;
  // Bytes of data that it takes in one message; 1 MiB if it does not say.
  std::size_t max_transfer = std::size_t{1024} * 1024;
};

// `argsz`: the sender's room for the answer, at least the structure, or (DmaMap, SetIrqs, which
// have no answer) the size of what it sends.
struct DmaMap {
  std::uint32_t argsz = 0;
  std::uint32_t flags = 0;  // VFIO_DMA_MAP_FLAG_READ, _WRITE
  std::uint64_t offset = 0;
  std::uint64_t address = 0;
  std::uint64_t size = 0;
};
static_assert(sizeof(DmaMap) == 32);

struct DmaUnmap {
  std::uint32_t argsz = 0;
  std::uint32_t flags = 0;  // VFIO_DMA_UNMAP_FLAG_...
  std::uint64_t address = 0;
  std::uint64_t size = 0;  // may be 0
};
static_assert(sizeof(DmaUnmap) == 24);

struct SetIrqs {
  std::uint32_t argsz = 0;
  std::uint32_t flags = 0;  // VFIO_IRQ_SET_...: one DATA and one ACTION
  std::uint32_t index = 0;
  std::uint32_t start = 0;
  std::uint32_t count = 0;
};
static_assert(sizeof(SetIrqs) == 20);

struct RegionAccess {
  std::uint64_t offset = 0;
  std::uint32_t region = 0;
  std::uint32_t count = 0;
};
static_assert(sizeof(RegionAccess) == 16);

struct DmaAccess {
  std::uint64_t address = 0;
  std::uint64_t count = 0;
};
static_assert(sizeof(DmaAccess) == 16);

// Descriptors that a request of this command brings at most.
[[nodiscard]] std::size_t FdsOf(Command command);

// The JSON behind the version is optional; what is not known in it is ignored.
[[nodiscard]] Result<Proposal> ParseVersion(std::span<const std::byte> payload);
[[nodiscard]] Result<DmaMap> ParseDmaMap(std::span<const std::byte> payload);
[[nodiscard]] Result<DmaUnmap> ParseDmaUnmap(std::span<const std::byte> payload);
[[nodiscard]] Result<void> ParseGetInfo(std::span<const std::byte> payload);
// The index.
[[nodiscard]] Result<std::uint32_t> ParseGetRegionInfo(std::span<const std::byte> payload);
[[nodiscard]] Result<std::uint32_t> ParseGetIrqInfo(std::span<const std::byte> payload);
// With `fds` descriptors: none, or one each.
[[nodiscard]] Result<SetIrqs> ParseSetIrqs(std::span<const std::byte> payload, std::size_t fds);
// At most kMaxTransfer bytes.
[[nodiscard]] Result<RegionAccess> ParseRegionRead(std::span<const std::byte> payload);
// Its data is behind the structure.
[[nodiscard]] Result<RegionAccess> ParseRegionWrite(std::span<const std::byte> payload);
// The data of a reply to a kDmaRead. `asked`: what was asked for.
[[nodiscard]] Result<std::span<const std::byte>> ParseDmaReadReply(
    std::span<const std::byte> payload, const DmaAccess& asked);
// QEMU sends no payload here, against the specification, by which the count has 4 bytes.
[[nodiscard]] Result<void> ParseDmaWriteReply(std::span<const std::byte> payload,
                                              const DmaAccess& asked);

}  // namespace carryover::vfio_user
