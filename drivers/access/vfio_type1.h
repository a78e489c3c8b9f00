// SPDX-License-Identifier: GPL-2.0-only
// VFIO's older way: a container with a type1 IOMMU, and groups in it
// (Documentation/driver-api/vfio.rst).
#pragma once

#include <map>
#include <memory>

#include "drivers/access/iommu.h"
#include "drivers/access/unique_fd.h"

namespace carryover {

class VfioType1 : public Iommu {
 public:
  enum class Container : std::uint8_t {
    kType1,    // VFIO_TYPE1_IOMMU, which lets a part of a mapping be unmapped
    kType1v2,  // VFIO_TYPE1v2_IOMMU
    kIommufd,  // an iommufd that speaks as the latter does (drivers/iommu/iommufd/vfio_compat.c)
  };

  // Errors: ENOENT (no /dev/vfio/vfio: CONFIG_VFIO_CONTAINER; no /dev/iommu: CONFIG_IOMMUFD),
  // ENOTSUP (no such IOMMU).
  [[nodiscard]] static Result<std::unique_ptr<VfioType1>> Open(Container container);

  // Adds a group, once; its devices then share this address space. Errors: EPERM (not viable: a
  // group mate is bound to a host driver), EBUSY (in use).
  [[nodiscard]] Result<void> AddGroup(unsigned group);
  // The device file of a function of an added group. Errors: ENODEV.
  [[nodiscard]] Result<UniqueFd> OpenDevice(unsigned group, const std::string& address);

  [[nodiscard]] Result<void> Map(Iova iova, void* address, std::size_t size,
                                 DmaAccess access) override;
  [[nodiscard]] Result<void> Unmap(Iova iova, std::size_t size) override;
  [[nodiscard]] Result<std::vector<IovaRange>> UsableRanges() const override;
  [[nodiscard]] std::size_t PageSize() const override { return 4096; }
  [[nodiscard]] std::string_view name() const override;

 private:
  VfioType1(UniqueFd container, Container kind) : container_(std::move(container)), kind_(kind) {}

  UniqueFd container_;
  Container kind_;
  std::map<unsigned, UniqueFd> groups_;
};

}  // namespace carryover
