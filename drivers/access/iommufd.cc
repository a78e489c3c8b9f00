// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/iommufd.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/iommufd.h>
#include <sys/ioctl.h>

namespace carryover {

Result<std::unique_ptr<Iommufd>> Iommufd::Open() {
  UniqueFd fd(open("/dev/iommu", O_RDWR | O_CLOEXEC));
  if (!fd.valid()) return FailErrno("open /dev/iommu (CONFIG_IOMMUFD)");
  iommu_ioas_alloc alloc{};
  alloc.size = sizeof(alloc);
  if (ioctl(fd.get(), IOMMU_IOAS_ALLOC, &alloc) != 0) return FailErrno("IOMMU_IOAS_ALLOC");
  return std::unique_ptr<Iommufd>(new Iommufd(std::move(fd), alloc.out_ioas_id));
}

Result<void> Iommufd::Map(Iova iova, void* address, std::size_t size, DmaAccess access) {
  iommu_ioas_map map{};
  map.size = sizeof(map);
  map.flags = IOMMU_IOAS_MAP_FIXED_IOVA;
  if (access != DmaAccess::kWrite) map.flags |= IOMMU_IOAS_MAP_READABLE;
  if (access != DmaAccess::kRead) map.flags |= IOMMU_IOAS_MAP_WRITEABLE;
  map.ioas_id = ioas_;
  map.user_va = reinterpret_cast<std::uintptr_t>(address);
  map.length = size;
  map.iova = iova;
  if (ioctl(fd_.get(), IOMMU_IOAS_MAP, &map) != 0) {
    // EADDRINUSE is what iommufd says of an area in its way, and type1 says EEXIST.
    const int error = errno == EADDRINUSE ? EEXIST : errno;
    return Fail(error, fmt::format("IOMMU_IOAS_MAP of {} bytes at IOVA {:#x}", size, iova));
  }
  return {};
}

Result<void> Iommufd::Unmap(Iova iova, std::size_t size) {
  iommu_ioas_unmap unmap{};
  unmap.size = sizeof(unmap);
  unmap.ioas_id = ioas_;
  unmap.iova = iova;
  unmap.length = size;
  if (ioctl(fd_.get(), IOMMU_IOAS_UNMAP, &unmap) != 0) {
    return FailErrno(fmt::format("IOMMU_IOAS_UNMAP of {} bytes at IOVA {:#x}", size, iova));
  }
  return {};
}

Result<std::uint32_t> Iommufd::AllocatePageTable(std::uint32_t device_id) {
  iommu_hwpt_alloc alloc{};
  alloc.size = sizeof(alloc);
  alloc.dev_id = device_id;
  alloc.pt_id = ioas_;
  if (ioctl(fd_.get(), IOMMU_HWPT_ALLOC, &alloc) != 0) return FailErrno("IOMMU_HWPT_ALLOC");
  return alloc.out_hwpt_id;
}

Result<std::vector<IovaRange>> Iommufd::UsableRanges() const {
  std::vector<iommu_iova_range> ranges(16);
  for (;;) {
    iommu_ioas_iova_ranges query{};
    query.size = sizeof(query);
    query.ioas_id = ioas_;
    query.num_iovas = static_cast<__u32>(ranges.size());
    query.allowed_iovas = reinterpret_cast<std::uintptr_t>(ranges.data());
    const int error = ioctl(fd_.get(), IOMMU_IOAS_IOVA_RANGES, &query) == 0 ? 0 : errno;
    if (error == EMSGSIZE && query.num_iovas > ranges.size()) {
      ranges.resize(query.num_iovas);
      continue;
    }
    if (error != 0) return Fail(error, "IOMMU_IOAS_IOVA_RANGES");
    std::vector<IovaRange> usable;
    for (__u32 i = 0; i < query.num_iovas; ++i) {
      usable.push_back({ranges.at(i).start, ranges.at(i).last});
    }
    return usable;
  }
}

}  // namespace carryover
