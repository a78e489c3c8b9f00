// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/dma_memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <thread>

namespace carryover {
namespace {

std::size_t RoundUp(std::size_t value, std::size_t granule) {
  return (value + granule - 1) / granule * granule;
}

struct Mapping {
  std::byte* address;
  std::size_t size;
};

// Maps at a multiple of 2 MiB where huge pages could be: both page tables and IOMMU can then use them.
Result<Mapping> MapAligned(int fd, std::size_t size, int protection) {
  if (size == 0) return Mapping{nullptr, 0};
  const std::size_t alignment =
      size >= DmaMemory::kHugePage ? DmaMemory::kHugePage : DmaMemory::kBasePage;
  const std::size_t length = RoundUp(size, alignment);
  void* reserved = mmap(nullptr, length + alignment, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) return FailErrno(fmt::format("reserve {} bytes", length + alignment));
  const auto start = reinterpret_cast<std::uintptr_t>(reserved);
  const std::uintptr_t aligned = RoundUp(start, alignment);
  if (aligned != start) (void)munmap(reserved, aligned - start);
  auto* const wanted = reinterpret_cast<std::byte*>(aligned);
  const std::size_t tail = start + alignment - aligned;
  if (tail != 0) (void)munmap(wanted + length, tail);
  if (mmap(wanted, size, protection, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
    const int error = errno;
    (void)munmap(wanted, length);
    return Fail(error, fmt::format("map {} bytes of memfd", size));
  }
  return Mapping{wanted, length};
}

}  // namespace

Result<DmaMemory> DmaMemory::Create(std::size_t size, PageKind kind, const std::string& name,
                                    unsigned memfd_flags) {
  unsigned flags = MFD_CLOEXEC | memfd_flags;
  if (kind == PageKind::kHugetlb) {
    flags |= MFD_HUGETLB | MFD_HUGE_2MB;
    size = RoundUp(size, kHugePage);
  }
  UniqueFd fd(memfd_create(name.c_str(), flags));
  if (!fd.valid()) return FailErrno(fmt::format("memfd_create({})", name));
  if (ftruncate(fd.get(), static_cast<off_t>(size)) != 0) {
    return FailErrno(fmt::format("set size of memfd {} to {}", name, size));
  }
  auto mapping = MapAligned(fd.get(), size, PROT_READ | PROT_WRITE);
  if (!mapping) return std::unexpected(mapping.error());
  DmaMemory memory(std::move(fd), mapping->address, size, mapping->size);
  if (size != 0 && kind != PageKind::kHugetlb) {
    const int advice = kind == PageKind::kHuge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE;
    // EINVAL: a kernel without huge pages, where base pages are all there is.
    if (madvise(memory.address_, size, advice) != 0 && errno != EINVAL) {
      return FailErrno(fmt::format("madvise({}) on memfd {}", advice, name));
    }
  }
  return memory;
}

Result<DmaMemory> DmaMemory::FromFd(UniqueFd fd) {
  struct stat status {};
  if (fstat(fd.get(), &status) != 0) return FailErrno("fstat of memfd");
  const auto size = static_cast<std::size_t>(status.st_size);
  auto mapping = MapAligned(fd.get(), size, PROT_READ | PROT_WRITE);
  if (!mapping && mapping.error().code == EPERM) mapping = MapAligned(fd.get(), size, PROT_READ);
  if (!mapping) return std::unexpected(mapping.error());
  return DmaMemory(std::move(fd), mapping->address, size, mapping->size);
}

DmaMemory::DmaMemory(DmaMemory&& other) noexcept
    : fd_(std::move(other.fd_)),
      address_(std::exchange(other.address_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      reserved_(std::exchange(other.reserved_, 0)) {}

DmaMemory& DmaMemory::operator=(DmaMemory&& other) noexcept {
  if (this != &other) {
    Unmap();
    fd_ = std::move(other.fd_);
    address_ = std::exchange(other.address_, nullptr);
    size_ = std::exchange(other.size_, 0);
    reserved_ = std::exchange(other.reserved_, 0);
  }
  return *this;
}

DmaMemory::~DmaMemory() { Unmap(); }

void DmaMemory::Unmap() {
  if (address_ != nullptr) (void)munmap(address_, reserved_);
  address_ = nullptr;
}

std::size_t DmaMemory::mapped_size() const { return RoundUp(size_, kBasePage); }

Result<void> DmaMemory::Prefault(unsigned threads) const {
  if (size_ == 0) return {};
  const std::size_t share =
      RoundUp(mapped_size() / std::max(1U, threads) + 1, kHugePage);  // no huge page in two threads
  std::vector<int> errors(threads == 0 ? 1 : threads, 0);
  {
    std::vector<std::jthread> workers;
    std::size_t index = 0;
    for (std::size_t offset = 0; offset < mapped_size(); offset += share, ++index) {
      const std::size_t length = std::min(share, mapped_size() - offset);
      workers.emplace_back([this, offset, length, &error = errors.at(index)] {
        if (madvise(address_ + offset, length, MADV_POPULATE_WRITE) != 0) error = errno;
      });
    }
  }
  for (const int error : errors) {
    if (error != 0) return Fail(error, fmt::format("prefault {} bytes", size_));
  }
  return {};
}

Result<std::vector<std::uint64_t>> PhysicalPages(const void* address, std::size_t size) {
  // Documentation/admin-guide/mm/pagemap.rst: 64 bits a page; bit 63 present, bits 0 to 54 PFN.
  constexpr std::uint64_t kPresent = std::uint64_t{1} << 63;
  constexpr std::uint64_t kPfnMask = (std::uint64_t{1} << 55) - 1;
  const UniqueFd pagemap(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  if (!pagemap.valid()) return FailErrno("open /proc/self/pagemap (CONFIG_PROC_PAGE_MONITOR)");
  const auto start = reinterpret_cast<std::uintptr_t>(address);
  const std::uintptr_t first = start / DmaMemory::kBasePage;
  const std::size_t count = RoundUp(start + size, DmaMemory::kBasePage) / DmaMemory::kBasePage - first;
  std::vector<std::uint64_t> pages(count);
  const std::size_t bytes = count * sizeof(std::uint64_t);
  if (pread(pagemap.get(), pages.data(), bytes, static_cast<off_t>(first * sizeof(std::uint64_t))) !=
      static_cast<ssize_t>(bytes)) {
    return FailErrno("read /proc/self/pagemap");
  }
  for (std::uint64_t& page : pages) {
    if ((page & kPresent) == 0) return Fail(EFAULT, "a page is not present: touch it first");
    page &= kPfnMask;
    if (page == 0) return Fail(EPERM, "/proc/self/pagemap shows no page frames (CAP_SYS_ADMIN)");
  }
  return pages;
}

}  // namespace carryover
