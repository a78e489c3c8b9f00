// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/vfio_type1.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>

#include <cstring>

namespace carryover {
namespace {

int ExtensionOf(VfioType1::Container kind) {
  return kind == VfioType1::Container::kType1 ? VFIO_TYPE1_IOMMU : VFIO_TYPE1v2_IOMMU;
}

}  // namespace

std::string_view VfioType1::name() const {
  switch (kind_) {
    case Container::kType1:
      return "type1";
    case Container::kType1v2:
      return "type1v2";
    case Container::kIommufd:
      return "iommufd_compat";
  }
  return "";
}

Result<std::unique_ptr<VfioType1>> VfioType1::Open(Container kind) {
  const bool compat = kind == Container::kIommufd;
  UniqueFd container(open(compat ? "/dev/iommu" : "/dev/vfio/vfio", O_RDWR | O_CLOEXEC));
  if (!container.valid()) {
    return FailErrno(compat ? "open /dev/iommu (CONFIG_IOMMUFD)"
                            : "open /dev/vfio/vfio (CONFIG_VFIO_CONTAINER)");
  }
  if (ioctl(container.get(), VFIO_GET_API_VERSION) != VFIO_API_VERSION) {
    return Fail(ENOTSUP, "VFIO container: unknown API version");
  }
  if (ioctl(container.get(), VFIO_CHECK_EXTENSION, ExtensionOf(kind)) != 1) {
    return Fail(ENOTSUP, "VFIO container: no type1 IOMMU (CONFIG_VFIO_IOMMU_TYPE1)");
  }
  return std::unique_ptr<VfioType1>(new VfioType1(std::move(container), kind));
}

Result<void> VfioType1::AddGroup(unsigned group) {
  if (groups_.contains(group)) return {};
  const std::string path = fmt::format("/dev/vfio/{}", group);
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd.valid()) return FailErrno(fmt::format("open {}", path));
  vfio_group_status status{};
  status.argsz = sizeof(status);
  if (ioctl(fd.get(), VFIO_GROUP_GET_STATUS, &status) != 0) return FailErrno("group status");
  if ((status.flags & VFIO_GROUP_FLAGS_VIABLE) == 0) {
    return Fail(EPERM, fmt::format("IOMMU group {} is not viable: a group mate is bound to a host "
                                   "driver",
                                   group));
  }
  const int container = container_.get();
  if (ioctl(fd.get(), VFIO_GROUP_SET_CONTAINER, &container) != 0) {
    return FailErrno(fmt::format("put group {} into the container", group));
  }
  if (groups_.empty() && ioctl(container, VFIO_SET_IOMMU, ExtensionOf(kind_)) != 0) {
    return FailErrno("VFIO_SET_IOMMU");
  }
  groups_.emplace(group, std::move(fd));
  return {};
}

Result<UniqueFd> VfioType1::OpenDevice(unsigned group, const std::string& address) {
  const auto found = groups_.find(group);
  if (found == groups_.end()) return Fail(ENODEV, fmt::format("group {} was not added", group));
  UniqueFd device(ioctl(found->second.get(), VFIO_GROUP_GET_DEVICE_FD, address.c_str()));
  if (!device.valid()) return FailErrno(fmt::format("VFIO_GROUP_GET_DEVICE_FD {}", address));
  return device;
}

Result<void> VfioType1::Map(Iova iova, void* address, std::size_t size, DmaAccess access) {
  vfio_iommu_type1_dma_map map{};
  map.argsz = sizeof(map);
  if (access != DmaAccess::kWrite) map.flags |= VFIO_DMA_MAP_FLAG_READ;
  if (access != DmaAccess::kRead) map.flags |= VFIO_DMA_MAP_FLAG_WRITE;
  map.vaddr = reinterpret_cast<std::uintptr_t>(address);
  map.iova = iova;
  map.size = size;
  if (ioctl(container_.get(), VFIO_IOMMU_MAP_DMA, &map) != 0) {
    return FailErrno(fmt::format("VFIO_IOMMU_MAP_DMA of {} bytes at IOVA {:#x}", size, iova));
  }
  return {};
}

Result<void> VfioType1::Unmap(Iova iova, std::size_t size) {
  vfio_iommu_type1_dma_unmap unmap{};
  unmap.argsz = sizeof(unmap);
  unmap.iova = iova;
  unmap.size = size;
  if (ioctl(container_.get(), VFIO_IOMMU_UNMAP_DMA, &unmap) != 0) {
    return FailErrno(fmt::format("VFIO_IOMMU_UNMAP_DMA of {} bytes at IOVA {:#x}", size, iova));
  }
  if (unmap.size != size) {
    return Fail(ENOENT, fmt::format("unmapped {} bytes at IOVA {:#x} instead of {}", unmap.size,
                                    iova, size));
  }
  return {};
}

Result<std::vector<IovaRange>> VfioType1::UsableRanges() const {
  std::vector<std::byte> buffer(sizeof(vfio_iommu_type1_info));
  // Twice: the first call says how much room the capabilities need.
  for (int attempt = 0; attempt < 2; ++attempt) {
    auto* const info = reinterpret_cast<vfio_iommu_type1_info*>(buffer.data());
    std::memset(buffer.data(), 0, buffer.size());
    info->argsz = static_cast<__u32>(buffer.size());
    if (ioctl(container_.get(), VFIO_IOMMU_GET_INFO, info) != 0) {
      return FailErrno("VFIO_IOMMU_GET_INFO");
    }
    if (info->argsz > buffer.size()) buffer.resize(info->argsz);
  }
  vfio_iommu_type1_info info{};
  std::memcpy(&info, buffer.data(), sizeof(info));
  for (std::size_t offset = info.cap_offset; offset != 0;) {
    vfio_info_cap_header header{};
    if (offset + sizeof(header) > buffer.size()) break;
    std::memcpy(&header, buffer.data() + offset, sizeof(header));
    if (header.id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE) {
      vfio_iommu_type1_info_cap_iova_range capability;
      std::memcpy(&capability, buffer.data() + offset, sizeof(capability));
      std::vector<IovaRange> usable;
      for (__u32 i = 0; i < capability.nr_iovas; ++i) {
        vfio_iova_range range{};
        std::memcpy(&range, buffer.data() + offset + sizeof(capability) + i * sizeof(range),
                    sizeof(range));
        usable.push_back({range.start, range.end});
      }
      return usable;
    }
    offset = header.next;
  }
  return Fail(ENOTSUP, "VFIO_IOMMU_GET_INFO tells no IOVA ranges");
}

}  // namespace carryover
