// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/vfio_user/guest_memory.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <iterator>
#include <limits>

namespace carryover::vfio_user {

class GuestMemory::File {
 public:
  explicit File(std::span<std::byte> bytes) : bytes_(bytes) {}
  ~File() { munmap(bytes_.data(), bytes_.size()); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  [[nodiscard]] std::span<std::byte> bytes() const { return bytes_; }

 private:
  std::span<std::byte> bytes_;
};

Result<std::span<std::byte>> GuestMemory::Open(const UniqueFd& file) {
  struct stat status{};
  if (fstat(file.get(), &status) != 0) return FailErrno("fstat");
  std::shared_ptr<File>& known = files_[{status.st_dev, status.st_ino}];
  if (!known) {
    const auto size = static_cast<std::size_t>(status.st_size);
    void* at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    if (at == MAP_FAILED) return FailErrno("mmap");
    known = std::make_shared<File>(std::span(static_cast<std::byte*>(at), size));
  }
  return known->bytes();
}

Result<void> GuestMemory::Map(const DmaMap& map, const UniqueFd& file) {
  const auto whole = Open(file);
  if (!whole) return std::unexpected(whole.error());
  if (map.offset > whole->size() || map.size > whole->size() - map.offset) {
    return Fail(ERANGE, fmt::format("{:#x} bytes at {:#x} of a file of {:#x}", map.size, map.offset,
                                    whole->size()));
  }
  Unmap(map.address, map.size);
  mappings_[map.address] = {.size = map.size, .bytes = whole->subspan(map.offset).data()};
  return {};
}

void GuestMemory::Unmap(Iova begin, std::uint64_t size) {
  const Iova end = begin + std::min(size, std::numeric_limits<Iova>::max() - begin);
  auto at = mappings_.upper_bound(begin);
  if (at != mappings_.begin()) --at;
  while (at != mappings_.end() && at->first < end) {
    const Iova first = at->first;
    const Mapping old = at->second;
    const Iova last = first + old.size;
    if (last <= begin) {
      ++at;
      continue;
    }
    at = mappings_.erase(at);
    if (first < begin) mappings_[first] = {.size = begin - first, .bytes = old.bytes};
    if (last > end) mappings_[end] = {.size = last - end, .bytes = old.bytes + (end - first)};
  }
}

std::byte* GuestMemory::At(Iova iova, std::size_t size) const {
  auto at = mappings_.upper_bound(iova);
  if (at == mappings_.begin()) return nullptr;
  at = std::prev(at);
  const std::uint64_t within = iova - at->first;
  if (within > at->second.size || size > at->second.size - within) return nullptr;
  return at->second.bytes + within;
}

bool GuestMemory::Read(Iova iova, std::span<std::byte> to) const {
  const std::byte* const there = At(iova, to.size());
  if (there != nullptr) std::ranges::copy(std::span(there, to.size()), to.begin());
  return there != nullptr;
}

bool GuestMemory::Write(Iova iova, std::span<const std::byte> from) const {
  std::byte* const there = At(iova, from.size());
  if (there != nullptr) std::ranges::copy(from, there);
  return there != nullptr;
}

}  // namespace carryover::vfio_user
