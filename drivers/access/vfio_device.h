// SPDX-License-Identifier: GPL-2.0-only
// A PCI function driven through VFIO (include/uapi/linux/vfio.h,
// Documentation/driver-api/vfio.rst).
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>

#include "drivers/access/iommufd.h"
#include "drivers/access/mapped_bar.h"
#include "drivers/access/pci_device.h"
#include "drivers/access/sysfs.h"
#include "drivers/access/unique_fd.h"
#include "drivers/access/vfio_type1.h"

namespace carryover {

// How a function's file is opened, and memory is mapped for it.
enum class IommuMode : std::uint8_t {
  kIommufd,        // /dev/vfio/devices/vfioN, bound to an iommufd
  kIommufdCompat,  // /dev/vfio/GROUP in an iommufd that stands for a type1v2 container
  kType1v2,        // /dev/vfio/GROUP in a container with a type1v2 IOMMU
  kType1,          // the same with the older type1
};

// By the name that --iommu-mode has for it: "iommufd", "iommufd_compat", "type1v2", "type1".
[[nodiscard]] std::optional<IommuMode> IommuModeOf(std::string_view name);

// A file of a function's VFIO character device, bound to no iommufd yet. Errors: those of
// Sysfs::VfioCdevName() and of open(2).
[[nodiscard]] Result<UniqueFd> OpenVfioCdev(const PciAddress& address, const Sysfs& sysfs);

class VfioPciDevice final : public PciDevice {
 public:
  // Opens a function that is bound to vfio-pci, in an I/O address space of its own, or in that of
  // `shared`, another device opened in the same mode. Opening and closing reset the function
  // (vfio-pci does that). Errors: ENOENT (not bound to vfio-pci, or the kernel lacks the way),
  // EBUSY (open elsewhere), EPERM (group).
  [[nodiscard]] static Result<std::unique_ptr<VfioPciDevice>> Open(
      const PciAddress& address, IommuMode mode, const Sysfs& sysfs,
      const VfioPciDevice* shared = nullptr);

  // Builds a device from an open, unbound VFIO cdev file, such as one that was retrieved after a
  // live update: binds it to `iommu` and attaches it.
  [[nodiscard]] static Result<std::unique_ptr<VfioPciDevice>> FromCdev(
      UniqueFd device, std::shared_ptr<Iommufd> iommu);
  // Only binds it. A device that the previous kernel left running goes on with DMA in the mappings
  // of that kernel.
  [[nodiscard]] static Result<std::unique_ptr<VfioPciDevice>> FromCdevUnattached(
      UniqueFd device, std::shared_ptr<Iommufd> iommu);
  // Then attaches it to the address space. Errors: EINVAL (the mode is another, or the device runs:
  // it would have an empty page table first, and that filled later).
  [[nodiscard]] Result<void> Attach();
  // Or attaches it to a page table that has all that is mapped by now. Errors: EINVAL (something is
  // missing of what the previous kernel had mapped, or the mode is another).
  [[nodiscard]] Result<void> AttachFilled();

  // Detaches it from what it is attached to: no DMA gets through until it is attached again.
  // Errors: ENOTTY (opened in another mode than iommufd), EBUSY.
  [[nodiscard]] Result<void> Detach();

  ~VfioPciDevice() override = default;

  [[nodiscard]] PciId id() const override { return id_; }
  [[nodiscard]] Result<Mmio*> Bar(unsigned index) override;
  [[nodiscard]] Result<std::uint32_t> ReadConfig(std::size_t offset, std::size_t size) override;
  [[nodiscard]] Result<void> WriteConfig(std::size_t offset, std::size_t size,
                                         std::uint32_t value) override;
  [[nodiscard]] Result<void> SetBusMaster(bool on) override;
  [[nodiscard]] Result<void> Reset() override;
  [[nodiscard]] Result<unsigned> InterruptVectors(InterruptKind kind) override;
  [[nodiscard]] Result<void> EnableInterrupts(InterruptKind kind,
                                              std::span<const int> event_fds) override;
  [[nodiscard]] Result<void> DisableInterrupts(InterruptKind kind) override;
  [[nodiscard]] Result<void> UnmaskIntx() override;
  [[nodiscard]] Result<void> MaskMsix(unsigned vector) override;
  [[nodiscard]] Result<void> UnmaskMsix(unsigned vector, int event_fd) override;
  [[nodiscard]] Iommu& iommu() override { return *iommu_; }

  // The VFIO device file, for what this class does not wrap.
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  VfioPciDevice(UniqueFd fd, std::shared_ptr<Iommu> iommu)
      : iommu_(std::move(iommu)), fd_(std::move(fd)) {}
  // VFIO_DEVICE_ATTACH_IOMMUFD_PT with an address space or a page table.
  [[nodiscard]] Result<void> AttachTo(std::uint32_t table);
  [[nodiscard]] Result<void> ReadIdentity();

  struct Region {
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
    bool mappable = false;
  };
  [[nodiscard]] Result<Region> RegionInfo(unsigned index) const;

  std::shared_ptr<Iommu> iommu_;  // outlives the device file: closing order matters to VFIO
  UniqueFd fd_;
  std::uint32_t iommufd_id_ = 0;  // what an iommufd calls the device
  PciId id_;
  Region config_;
  std::array<bool, 5> enabled_{};  // by InterruptKind
  std::array<std::unique_ptr<MappedBar>, 6> bars_;
};

}  // namespace carryover
