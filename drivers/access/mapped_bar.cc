// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/mapped_bar.h"

#include <cpuid.h>
#include <fmt/format.h>
#include <immintrin.h>
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>

namespace carryover {
namespace {

// CPUID.(EAX=7,ECX=0):ECX[28]
bool CanWrite512() {
  static const bool can = [] {
    unsigned eax = 0;
    unsigned ebx = 0;
    unsigned ecx = 0;
    unsigned edx = 0;
    return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (ecx & 1U << 28) != 0;
  }();
  return can;
}

__attribute__((target("movdir64b"))) void Movdir64(void* target, const void* bytes) {
  _movdir64b(target, bytes);
}

}  // namespace

Result<std::unique_ptr<MappedBar>> MappedBar::Map(int device_fd, std::uint64_t offset,
                                                  std::size_t size) {
  void* address = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, device_fd,
                       static_cast<off_t>(offset));
  if (address == MAP_FAILED) return FailErrno(fmt::format("map a BAR of {} bytes", size));
  std::unique_ptr<MappedBar> bar(new MappedBar(static_cast<std::byte*>(address), size));
  // A mapping holds the device file as a descriptor does: a child that has closed all of those
  // would still keep the device open.
  if (madvise(address, size, MADV_DONTFORK) != 0) return FailErrno("keep a BAR from children");
  return bar;
}

MappedBar::~MappedBar() { (void)munmap(address_, size_); }

template <typename T>
volatile T* MappedBar::Register(std::size_t offset) const {
  if (offset % sizeof(T) != 0 || offset > size_ || size_ - offset < sizeof(T)) {
    fmt::print(stderr, "MMIO access of {} bytes at {:#x} in a BAR of {:#x} bytes\n", sizeof(T),
               offset, size_);
    std::abort();
  }
  return reinterpret_cast<volatile T*>(address_ + offset);
}

std::uint8_t MappedBar::Read8(std::size_t offset) { return *Register<std::uint8_t>(offset); }
std::uint16_t MappedBar::Read16(std::size_t offset) { return *Register<std::uint16_t>(offset); }
std::uint32_t MappedBar::Read32(std::size_t offset) { return *Register<std::uint32_t>(offset); }
std::uint64_t MappedBar::Read64(std::size_t offset) { return *Register<std::uint64_t>(offset); }
void MappedBar::Write8(std::size_t offset, std::uint8_t value) {
  *Register<std::uint8_t>(offset) = value;
}
void MappedBar::Write16(std::size_t offset, std::uint16_t value) {
  *Register<std::uint16_t>(offset) = value;
}
void MappedBar::Write32(std::size_t offset, std::uint32_t value) {
  *Register<std::uint32_t>(offset) = value;
}
void MappedBar::Write64(std::size_t offset, std::uint64_t value) {
  *Register<std::uint64_t>(offset) = value;
}

void MappedBar::Write512(std::size_t offset, std::span<const std::byte, 64> bytes) {
  if (!CanWrite512()) return Mmio::Write512(offset, bytes);
  // All of it is within the BAR.
  (void)Register<std::uint64_t>(offset + 56);
  auto* const target = const_cast<std::uint64_t*>(Register<std::uint64_t>(offset));
  Movdir64(target, bytes.data());
}

}  // namespace carryover
