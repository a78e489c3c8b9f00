// SPDX-License-Identifier: GPL-2.0-only
// iommufd (include/uapi/linux/iommufd.h, Documentation/userspace-api/iommufd.rst).
#pragma once

#include <memory>

#include "drivers/access/iommu.h"
#include "drivers/access/unique_fd.h"

namespace carryover {

// One I/O address space (IOAS). Devices that are attached to it share its mappings.
class Iommufd : public Iommu {
 public:
  // Errors: ENOENT (no /dev/iommu: CONFIG_IOMMUFD).
  [[nodiscard]] static Result<std::unique_ptr<Iommufd>> Open();

  [[nodiscard]] Result<void> Map(Iova iova, void* address, std::size_t size,
                                 DmaAccess access) override;
  [[nodiscard]] Result<void> Unmap(Iova iova, std::size_t size) override;
  [[nodiscard]] Result<std::vector<IovaRange>> UsableRanges() const override;
  [[nodiscard]] std::size_t PageSize() const override { return 4096; }
  [[nodiscard]] std::string_view name() const override { return "iommufd"; }

  // An I/O page table with all that is mapped by now, for a device that is bound to this iommufd
  // (`device_id` is what binding it gave); later mappings are added to it. It lives as long as this
  // object. Errors: EINVAL (something is mapped where the device's IOMMU cannot).
  [[nodiscard]] Result<std::uint32_t> AllocatePageTable(std::uint32_t device_id);

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] std::uint32_t ioas() const { return ioas_; }

 private:
  Iommufd(UniqueFd fd, std::uint32_t ioas) : fd_(std::move(fd)), ioas_(ioas) {}

  UniqueFd fd_;
  std::uint32_t ioas_;
};

}  // namespace carryover
