// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/dma_memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/memfd.h>
#include <linux/mman.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <fstream>
#include <sstream>
#include <thread>

namespace carryover {
namespace {

std::size_t RoundUp(std::size_t value, std::size_t granule) {
  return (value + granule - 1) / granule * granule;
}

// Makes one byte of each page present without changing it, for kernels before 5.14.
void TouchPages(std::byte* address, std::size_t length, bool writable) {
  for (std::size_t offset = 0; offset < length; offset += DmaMemory::kBasePage) {
    const std::atomic_ref byte(*reinterpret_cast<unsigned char*>(address + offset));
    if (writable) {
      (void)byte.fetch_or(0, std::memory_order_relaxed);
    } else {
      (void)byte.load(std::memory_order_relaxed);
    }
  }
}

}  // namespace

// Maps at a multiple of 2 MiB where huge pages could be: page tables and IOMMU can then use them.
Result<DmaMemory::Mapping> DmaMemory::MapAligned(int fd, std::size_t size, bool writable) {
  if (size == 0) return Mapping{nullptr, 0, writable};
  const std::size_t alignment = size >= kHugePage ? kHugePage : kBasePage;
  const std::size_t length = RoundUp(size, alignment);
  void* reserved = mmap(nullptr, length + alignment, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) return FailErrno(fmt::format("reserve {} bytes", length + alignment));
  const auto start = reinterpret_cast<std::uintptr_t>(reserved);
  const std::uintptr_t aligned = RoundUp(start, alignment);
  if (aligned != start) (void)munmap(reserved, aligned - start);
  auto* const wanted = static_cast<std::byte*>(reserved) + (aligned - start);
  const std::size_t tail = start + alignment - aligned;
  if (tail != 0) (void)munmap(wanted + length, tail);
  const int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
  if (mmap(wanted, size, protection, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
    const int error = errno;
    (void)munmap(wanted, length);
    return Fail(error, fmt::format("map {} bytes of memfd", size));
  }
  return Mapping{wanted, length, writable};
}

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
  auto mapping = MapAligned(fd.get(), size, true);
  if (!mapping) {
    Error error = mapping.error();
    if (kind == PageKind::kHugetlb && error.code == ENOMEM) {
      error.message += " (raise /proc/sys/vm/nr_hugepages)";
    }
    return std::unexpected(error);
  }
  DmaMemory memory(std::move(fd), *mapping, size, kind);
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
  struct stat status{};
  if (fstat(fd.get(), &status) != 0) return FailErrno("fstat of memfd");
  const auto size = static_cast<std::size_t>(status.st_size);
  auto mapping = MapAligned(fd.get(), size, true);
  if (!mapping && mapping.error().code == EPERM) mapping = MapAligned(fd.get(), size, false);
  if (!mapping) return std::unexpected(mapping.error());
  return DmaMemory(std::move(fd), *mapping, size, PageKind::kBase);
}

DmaMemory::DmaMemory(DmaMemory&& other) noexcept
    : fd_(std::move(other.fd_)),
      address_(std::exchange(other.address_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      reserved_(std::exchange(other.reserved_, 0)),
      writable_(other.writable_),
      kind_(other.kind_) {}

DmaMemory& DmaMemory::operator=(DmaMemory&& other) noexcept {
  if (this != &other) {
    Unmap();
    fd_ = std::move(other.fd_);
    address_ = std::exchange(other.address_, nullptr);
    size_ = std::exchange(other.size_, 0);
    reserved_ = std::exchange(other.reserved_, 0);
    writable_ = other.writable_;
    kind_ = other.kind_;
  }
  return *this;
}

DmaMemory::~DmaMemory() { Unmap(); }

void DmaMemory::Unmap() {
  if (address_ != nullptr) (void)munmap(address_, reserved_);
  address_ = nullptr;
}

std::size_t DmaMemory::mapped_size() const { return RoundUp(size_, kBasePage); }

int DmaMemory::Populate(std::size_t offset, std::size_t length) const {
  const int advice = writable_ ? MADV_POPULATE_WRITE : MADV_POPULATE_READ;
  if (madvise(address_ + offset, length, advice) != 0) {
    if (errno != EINVAL) return errno;
    TouchPages(address_ + offset, length, writable_);
  }
  // Best effort: pages may be pinned, and memory may be short of huge pages.
  const std::size_t whole = length / kHugePage * kHugePage;
  if (kind_ == PageKind::kHuge && whole != 0) {
    (void)madvise(address_ + offset, whole, MADV_COLLAPSE);
  }
  return 0;
}

Result<void> DmaMemory::Prefault(unsigned threads) const {
  if (size_ == 0) return {};
  const std::size_t workers = std::max(1U, threads);
  // No huge page in two threads.
  const std::size_t share = RoundUp(mapped_size() / workers + 1, kHugePage);
  std::vector<int> errors(workers, 0);
  {
    std::vector<std::jthread> running;
    std::size_t index = 0;
    for (std::size_t offset = 0; offset < mapped_size(); offset += share, ++index) {
      const std::size_t length = std::min(share, mapped_size() - offset);
      running.emplace_back(
          [this, offset, length, &error = errors.at(index)] { error = Populate(offset, length); });
    }
  }
  for (const int error : errors) {
    if (error != 0) return Fail(error, fmt::format("prefault {} bytes", size_));
  }
  return {};
}

Result<std::size_t> DmaMemory::HugeBytes() const {
  // proc_pid_smaps(5): a heading "START-END ..." a mapping, then lines "Key:  N kB".
  std::ifstream smaps("/proc/self/smaps");
  if (!smaps) return FailErrno("open /proc/self/smaps (CONFIG_PROC_PAGE_MONITOR)");
  const auto first = reinterpret_cast<std::uintptr_t>(address_);
  std::size_t bytes = 0;
  bool ours = false;
  for (std::string line; std::getline(smaps, line);) {
    std::istringstream fields(line);
    std::string key;
    std::size_t kib = 0;
    fields >> key;
    if (!key.ends_with(':')) {
      std::uintptr_t start = 0;
      (void)std::from_chars(key.data(), key.data() + key.size(), start, 16);
      ours = start >= first && start < first + size_;
    } else if (ours && (key == "ShmemPmdMapped:" || key == "FilePmdMapped:" ||
                        key == "Shared_Hugetlb:" || key == "Private_Hugetlb:")) {
      fields >> kib;
      bytes += kib * 1024;
    }
  }
  return bytes;
}

Result<std::vector<std::uint64_t>> PhysicalPages(const void* address, std::size_t size) {
  // Documentation/admin-guide/mm/pagemap.rst: 64 bits a page; bit 63 present, bits 0 to 54 PFN.
  constexpr std::uint64_t kPresent = std::uint64_t{1} << 63;
  constexpr std::uint64_t kPfnMask = (std::uint64_t{1} << 55) - 1;
  const UniqueFd pagemap(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  if (!pagemap.valid()) return FailErrno("open /proc/self/pagemap (CONFIG_PROC_PAGE_MONITOR)");
  const auto start = reinterpret_cast<std::uintptr_t>(address);
  const std::uintptr_t first = start / DmaMemory::kBasePage;
  const std::size_t count =
      RoundUp(start + size, DmaMemory::kBasePage) / DmaMemory::kBasePage - first;
  std::vector<std::uint64_t> pages(count);
  const std::size_t bytes = count * sizeof(std::uint64_t);
  if (pread(pagemap.get(), pages.data(), bytes,
            static_cast<off_t>(first * sizeof(std::uint64_t))) != static_cast<ssize_t>(bytes)) {
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
