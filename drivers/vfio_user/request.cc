// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/vfio_user/request.h"

#include <fmt/format.h>
#include <linux/vfio.h>

#include <bit>
#include <limits>
#include <nlohmann/json.hpp>

namespace carryover::vfio_user {
namespace {

using Bytes = std::span<const std::byte>;

// A structure whose first field is argsz.
template <typename T>
Result<T> GetSized(Bytes payload) {
  const auto object = Get<T>(payload);
  if (object && object->argsz < sizeof(T)) {
    return Fail(EPROTO, fmt::format("argsz {}, less than {}", object->argsz, sizeof(T)));
  }
  return object;
}

Result<void> CheckRange(std::uint64_t address, std::uint64_t size) {
  if (size != 0 && size - 1 > std::numeric_limits<std::uint64_t>::max() - address) {
    return Fail(EPROTO, fmt::format("{:#x} bytes at {:#x}", size, address));
  }
  return {};
}

Result<void> CheckSame(const DmaAccess& replied, const DmaAccess& asked) {
  if (replied.address != asked.address || replied.count != asked.count) {
    return Fail(EPROTO, fmt::format("a reply of {:#x} bytes at {:#x}, asked for {:#x} at {:#x}",
                                    replied.count, replied.address, asked.count, asked.address));
  }
  return {};
}

// The limit that a proposal's text sets, if it does.
Result<std::size_t> ParseMaxTransfer(std::string_view text, std::size_t otherwise) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return Fail(EPROTO, "version data that is no JSON object");
  const auto capabilities = json.find("capabilities");
  if (capabilities == json.end()) return otherwise;
  if (!capabilities->is_object()) return Fail(EPROTO, "capabilities that are no object");
  const auto limit = capabilities->find("max_data_xfer_size");
  if (limit == capabilities->end()) return otherwise;
  if (!limit->is_number_unsigned() || *limit == 0) {
    return Fail(EPROTO, "max_data_xfer_size " + limit->dump());
  }
  return limit->get<std::size_t>();
}

}  // namespace

std::size_t FdsOf(Command command) {
  if (command == Command::kDmaMap) return 1;
  return command == Command::kSetIrqs ? kMaxFds : 0;
}

Result<Proposal> ParseVersion(Bytes payload) {
  const auto version = Get<Version>(payload);
  if (!version) return std::unexpected(version.error());
  Proposal proposal{.version = *version};
  const Bytes text = payload.subspan(sizeof(Version));
  if (text.empty()) return proposal;
  if (text.back() != std::byte{0}) return Fail(EPROTO, "version data without an end");
  const auto limit = ParseMaxTransfer({reinterpret_cast<const char*>(text.data()), text.size() - 1},
                                      proposal.max_transfer);
  if (!limit) return std::unexpected(limit.error());
  proposal.max_transfer = *limit;
  return proposal;
}

Result<DmaMap> ParseDmaMap(Bytes payload) {
  const auto map = GetSized<DmaMap>(payload);
  if (!map) return map;
  if ((map->flags & ~std::uint32_t{VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE}) != 0) {
    return Fail(EPROTO, fmt::format("a DMA map with flags {:#x}", map->flags));
  }
  if (map->size == 0) return Fail(EPROTO, "a DMA map of nothing");
  if (auto range = CheckRange(map->address, map->size); !range) {
    return std::unexpected(range.error());
  }
  return map;
}

Result<DmaUnmap> ParseDmaUnmap(Bytes payload) {
  const auto unmap = GetSized<DmaUnmap>(payload);
  if (!unmap) return unmap;
  constexpr std::uint32_t kKnown = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP | VFIO_DMA_UNMAP_FLAG_ALL;
  if ((unmap->flags & ~kKnown) != 0) {
    return Fail(EPROTO, fmt::format("a DMA unmap with flags {:#x}", unmap->flags));
  }
  if (auto range = CheckRange(unmap->address, unmap->size); !range) {
    return std::unexpected(range.error());
  }
  return unmap;
}

Result<void> ParseGetInfo(Bytes payload) {
  struct Info {
    std::uint32_t argsz, flags, num_regions, num_irqs;
  };
  const auto info = GetSized<Info>(payload);
  if (!info) return std::unexpected(info.error());
  if ((info->flags | info->num_regions | info->num_irqs) != 0) {
    return Fail(EPROTO, "what is to be zero is not");
  }
  return {};
}

Result<std::uint32_t> ParseGetRegionInfo(Bytes payload) {
  const auto info = GetSized<vfio_region_info>(payload);
  if (!info) return std::unexpected(info.error());
  if ((info->flags | info->cap_offset | info->size | info->offset) != 0) {
    return Fail(EPROTO, "what is to be zero is not");
  }
  return info->index;
}

Result<std::uint32_t> ParseGetIrqInfo(Bytes payload) {
  const auto info = GetSized<vfio_irq_info>(payload);
  if (!info) return std::unexpected(info.error());
  if ((info->flags | info->count) != 0) return Fail(EPROTO, "what is to be zero is not");
  return info->index;
}

Result<SetIrqs> ParseSetIrqs(Bytes payload, std::size_t fds) {
  const auto set = GetSized<SetIrqs>(payload);
  if (!set) return set;
  if (set->argsz > payload.size()) {
    return Fail(EPROTO, fmt::format("argsz {} in {} bytes", set->argsz, payload.size()));
  }
  const std::uint32_t data = set->flags & VFIO_IRQ_SET_DATA_TYPE_MASK;
  const std::uint32_t action = set->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
  if (set->flags != (data | action) || std::popcount(data) != 1 || std::popcount(action) != 1) {
    return Fail(EPROTO, fmt::format("set IRQs with flags {:#x}", set->flags));
  }
  if (set->count > std::numeric_limits<std::uint32_t>::max() - set->start) {
    return Fail(EPROTO, fmt::format("{} vectors from {}", set->count, set->start));
  }
  if (data == VFIO_IRQ_SET_DATA_BOOL && set->count > set->argsz - sizeof(SetIrqs)) {
    return Fail(EPROTO, fmt::format("{} booleans in {} bytes", set->count, set->argsz));
  }
  if (fds != 0 && (data != VFIO_IRQ_SET_DATA_EVENTFD || fds != set->count)) {
    return Fail(EPROTO, fmt::format("{} descriptors for {} vectors", fds, set->count));
  }
  return set;
}

Result<RegionAccess> ParseRegionRead(Bytes payload) {
  const auto access = Get<RegionAccess>(payload);
  if (access && access->count > kMaxTransfer) {
    return Fail(EPROTO, fmt::format("an access of {} bytes", access->count));
  }
  return access;
}

Result<RegionAccess> ParseRegionWrite(Bytes payload) {
  const auto access = ParseRegionRead(payload);
  if (!access) return access;
  if (const std::size_t data = payload.size() - sizeof(RegionAccess); data != access->count) {
    return Fail(EPROTO, fmt::format("a write of {} bytes with {}", access->count, data));
  }
  return access;
}

Result<Bytes> ParseDmaReadReply(Bytes payload, const DmaAccess& asked) {
  const auto replied = Get<DmaAccess>(payload);
  if (!replied) return std::unexpected(replied.error());
  if (auto same = CheckSame(*replied, asked); !same) return std::unexpected(same.error());
  const Bytes data = payload.subspan(sizeof(DmaAccess));
  if (data.size() != asked.count) {
    return Fail(EPROTO, fmt::format("a read of {} bytes with {}", asked.count, data.size()));
  }
  return data;
}

Result<void> ParseDmaWriteReply(Bytes payload, const DmaAccess& asked) {
  if (payload.empty()) return {};
  const auto address = Get<std::uint64_t>(payload);
  const auto count = Get<std::uint32_t>(payload, sizeof(std::uint64_t));
  if (!address || !count) return Fail(EPROTO, "a reply that is too short");
  return CheckSame({.address = *address, .count = *count}, asked);
}

}  // namespace carryover::vfio_user
