// SPDX-License-Identifier: GPL-2.0-only
// Memory for DMA: a memfd, mapped shared, so that it can be preserved, mapped again, and given to
// the IOMMU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "drivers/access/processors.h"
#include "drivers/access/result.h"
#include "drivers/access/unique_fd.h"

namespace carryover {

enum class PageKind : std::uint8_t {
  kBase,     // 4 KiB
  kHuge,     // transparent huge pages where the kernel gives them (CONFIG_TRANSPARENT_HUGEPAGE)
  kHugetlb,  // MFD_HUGETLB, 2 MiB, from the reserved pool
};

class DmaMemory {
 public:
  static constexpr std::size_t kBasePage = 4096;
  static constexpr std::size_t kHugePage = std::size_t{2} * 1024 * 1024;

  // `size` bytes, zeroed; the mapping is aligned to the page kind, so that IOVAs may be, too.
  // Errors: ENOMEM (kHugetlb: raise /proc/sys/vm/nr_hugepages), memfd_create(2)'s.
  [[nodiscard]] static Result<DmaMemory> Create(std::size_t size, PageKind kind,
                                                const std::string& name = "carryover",
                                                unsigned memfd_flags = 0);

  // Maps an open memfd, all of it, read-write; read-only if it is sealed against writing.
  [[nodiscard]] static Result<DmaMemory> FromFd(UniqueFd fd);

  DmaMemory(DmaMemory&& other) noexcept;
  DmaMemory& operator=(DmaMemory&& other) noexcept;
  DmaMemory(const DmaMemory&) = delete;
  DmaMemory& operator=(const DmaMemory&) = delete;
  ~DmaMemory();

  [[nodiscard]] int fd() const { return fd_.get(); }
  // The file's size in bytes.
  [[nodiscard]] std::size_t size() const { return size_; }
  // False if the file is sealed against writing: a store to it is a SIGSEGV.
  [[nodiscard]] bool writable() const { return writable_; }
  [[nodiscard]] std::span<std::byte> bytes() const { return {address_, size_}; }
  [[nodiscard]] std::byte* address() const { return address_; }
  // size() rounded up to whole pages: what the IOMMU maps.
  [[nodiscard]] std::size_t mapped_size() const;

  // Makes all pages present, on `threads` threads, so that faults stay off later paths. With kHuge
  // the kernel is also asked to gather them into huge pages; whether it did, HugeBytes() says.
  [[nodiscard]] Result<void> Prefault(unsigned threads = Processors()) const;
  // Bytes that are mapped by huge pages now, of any kind; /proc/self/smaps says.
  [[nodiscard]] Result<std::size_t> HugeBytes() const;

 private:
  struct Mapping {
    std::byte* address = nullptr;
    std::size_t reserved = 0;  // bytes of address space to give back
    bool writable = true;
  };
  DmaMemory(UniqueFd fd, Mapping mapping, std::size_t size, PageKind kind)
      : fd_(std::move(fd)),
        address_(mapping.address),
        size_(size),
        reserved_(mapping.reserved),
        writable_(mapping.writable),
        kind_(kind) {}
  [[nodiscard]] static Result<Mapping> MapAligned(int fd, std::size_t size, bool writable);
  // 0 or an errno value.
  [[nodiscard]] int Populate(std::size_t offset, std::size_t length) const;
  void Unmap();

  UniqueFd fd_;
  std::byte* address_ = nullptr;
  std::size_t size_ = 0;
  std::size_t reserved_ = 0;
  bool writable_ = true;
  PageKind kind_ = PageKind::kBase;
};

// Page frame numbers (physical address / 4096) of the present pages that hold [address, address +
// size), from /proc/self/pagemap. Errors: EPERM (no CAP_SYS_ADMIN: the kernel shows zeros), EFAULT
// (a page is not present).
[[nodiscard]] Result<std::vector<std::uint64_t>> PhysicalPages(const void* address,
                                                               std::size_t size);

}  // namespace carryover
