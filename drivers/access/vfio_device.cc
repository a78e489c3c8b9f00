// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/vfio_device.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>

#include <cstring>
#include <vector>

namespace carryover {
namespace {

unsigned IrqIndex(InterruptKind kind) {
  switch (kind) {
    case InterruptKind::kIntx:
      return VFIO_PCI_INTX_IRQ_INDEX;
    case InterruptKind::kMsi:
      return VFIO_PCI_MSI_IRQ_INDEX;
    case InterruptKind::kMsix:
      return VFIO_PCI_MSIX_IRQ_INDEX;
    case InterruptKind::kError:
      return VFIO_PCI_ERR_IRQ_INDEX;
    case InterruptKind::kRequest:
      return VFIO_PCI_REQ_IRQ_INDEX;
  }
  return VFIO_PCI_NUM_IRQS;
}

std::string_view Name(InterruptKind kind) {
  switch (kind) {
    case InterruptKind::kIntx:
      return "INTx";
    case InterruptKind::kMsi:
      return "MSI";
    case InterruptKind::kMsix:
      return "MSI-X";
    case InterruptKind::kError:
      return "error";
    case InterruptKind::kRequest:
      return "request";
  }
  return "no interrupt";
}

// VFIO_DEVICE_SET_IRQS with `fds` behind it.
Result<void> SetIrqs(int device, std::uint32_t flags, unsigned index, unsigned count,
                     std::span<const int> fds, const std::string& what, unsigned start = 0) {
  std::vector<std::byte> buffer(sizeof(vfio_irq_set) + fds.size_bytes());
  vfio_irq_set header{};
  header.argsz = static_cast<__u32>(buffer.size());
  header.flags = flags;
  header.index = index;
  header.start = start;
  header.count = count;
  std::memcpy(buffer.data(), &header, sizeof(header));
  if (!fds.empty()) {
    std::memcpy(buffer.data() + sizeof(header), fds.data(), fds.size_bytes());
  }
  if (ioctl(device, VFIO_DEVICE_SET_IRQS, buffer.data()) != 0) return FailErrno(what);
  return {};
}

VfioType1::Container ContainerOf(IommuMode mode) {
  if (mode == IommuMode::kIommufdCompat) return VfioType1::Container::kIommufd;
  return mode == IommuMode::kType1 ? VfioType1::Container::kType1 : VfioType1::Container::kType1v2;
}

}  // namespace

std::optional<IommuMode> IommuModeOf(std::string_view name) {
  if (name == "iommufd") return IommuMode::kIommufd;
  if (name == "iommufd_compat") return IommuMode::kIommufdCompat;
  if (name == "type1v2") return IommuMode::kType1v2;
  if (name == "type1") return IommuMode::kType1;
  return std::nullopt;
}

Result<UniqueFd> OpenVfioCdev(const PciAddress& address, const Sysfs& sysfs) {
  auto name = sysfs.VfioCdevName(address);
  if (!name) return std::unexpected(name.error());
  const std::string path = fmt::format("/dev/vfio/devices/{}", *name);
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd.valid()) return FailErrno(fmt::format("open {} ({})", path, address.ToString()));
  return fd;
}

Result<std::unique_ptr<VfioPciDevice>> VfioPciDevice::Open(const PciAddress& address,
                                                           IommuMode mode, const Sysfs& sysfs,
                                                           const VfioPciDevice* shared) {
  if (mode == IommuMode::kIommufd) {
    auto fd = OpenVfioCdev(address, sysfs);
    if (!fd) return std::unexpected(fd.error());
    std::shared_ptr<Iommufd> iommu;
    if (shared != nullptr) {
      iommu = std::dynamic_pointer_cast<Iommufd>(shared->iommu_);
      if (!iommu) return Fail(EINVAL, "the shared device was opened in another IOMMU mode");
    } else {
      auto opened = Iommufd::Open();
      if (!opened) return std::unexpected(opened.error());
      iommu = std::move(*opened);
    }
    return FromCdev(std::move(*fd), std::move(iommu));
  }

  const auto group = sysfs.IommuGroup(address);
  if (!group) return Fail(ENODEV, fmt::format("{} is in no IOMMU group", address.ToString()));
  std::shared_ptr<VfioType1> iommu;
  if (shared != nullptr) {
    iommu = std::dynamic_pointer_cast<VfioType1>(shared->iommu_);
    if (!iommu) return Fail(EINVAL, "the shared device was opened in another IOMMU mode");
  } else {
    auto opened = VfioType1::Open(ContainerOf(mode));
    if (!opened) return std::unexpected(opened.error());
    iommu = std::move(*opened);
  }
  if (auto added = iommu->AddGroup(*group); !added) return std::unexpected(added.error());
  auto fd = iommu->OpenDevice(*group, address.ToString());
  if (!fd) return std::unexpected(fd.error());
  std::unique_ptr<VfioPciDevice> device(new VfioPciDevice(std::move(*fd), iommu));
  if (auto read = device->ReadIdentity(); !read) return std::unexpected(read.error());
  return device;
}

Result<std::unique_ptr<VfioPciDevice>> VfioPciDevice::FromCdevUnattached(
    UniqueFd device_fd, std::shared_ptr<Iommufd> iommu) {
  vfio_device_bind_iommufd bind{};
  bind.argsz = sizeof(bind);
  bind.iommufd = iommu->fd();
  if (ioctl(device_fd.get(), VFIO_DEVICE_BIND_IOMMUFD, &bind) != 0) {
    return FailErrno("VFIO_DEVICE_BIND_IOMMUFD");
  }
  std::unique_ptr<VfioPciDevice> device(new VfioPciDevice(std::move(device_fd), std::move(iommu)));
  device->iommufd_id_ = bind.out_devid;
  if (auto read = device->ReadIdentity(); !read) return std::unexpected(read.error());
  return device;
}

Result<std::unique_ptr<VfioPciDevice>> VfioPciDevice::FromCdev(UniqueFd device_fd,
                                                               std::shared_ptr<Iommufd> iommu) {
  auto device = FromCdevUnattached(std::move(device_fd), std::move(iommu));
  if (!device) return device;
  if (auto attached = (*device)->Attach(); !attached) return std::unexpected(attached.error());
  return device;
}

Result<void> VfioPciDevice::Attach() {
  const auto iommu = std::dynamic_pointer_cast<Iommufd>(iommu_);
  if (!iommu) return Fail(EINVAL, "the device was opened in another IOMMU mode");
  return AttachTo(iommu->ioas());
}

Result<void> VfioPciDevice::AttachFilled() {
  const auto iommu = std::dynamic_pointer_cast<Iommufd>(iommu_);
  if (!iommu) return Fail(EINVAL, "the device was opened in another IOMMU mode");
  const auto table = iommu->AllocatePageTable(iommufd_id_);
  if (!table) return std::unexpected(table.error());
  return AttachTo(*table);
}

Result<void> VfioPciDevice::AttachTo(std::uint32_t table) {
  vfio_device_attach_iommufd_pt attach{};
  attach.argsz = sizeof(attach);
  attach.pt_id = table;
  if (ioctl(fd_.get(), VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach) != 0) {
    return FailErrno("VFIO_DEVICE_ATTACH_IOMMUFD_PT");
  }
  return {};
}

Result<void> VfioPciDevice::Detach() {
  vfio_device_detach_iommufd_pt detach{};
  detach.argsz = sizeof(detach);
  if (ioctl(fd_.get(), VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach) != 0) {
    return FailErrno("VFIO_DEVICE_DETACH_IOMMUFD_PT");
  }
  return {};
}

Result<void> VfioPciDevice::ReadIdentity() {
  auto config = RegionInfo(VFIO_PCI_CONFIG_REGION_INDEX);
  if (!config) return std::unexpected(config.error());
  config_ = *config;
  auto id = ReadConfig(PCI_VENDOR_ID, 4);
  if (!id) return std::unexpected(id.error());
  id_ = {static_cast<std::uint16_t>(*id), static_cast<std::uint16_t>(*id >> 16)};
  return {};
}

Result<VfioPciDevice::Region> VfioPciDevice::RegionInfo(unsigned index) const {
  vfio_region_info info{};
  info.argsz = sizeof(info);
  info.index = index;
  if (ioctl(fd_.get(), VFIO_DEVICE_GET_REGION_INFO, &info) != 0) {
    return FailErrno(fmt::format("VFIO_DEVICE_GET_REGION_INFO {}", index));
  }
  return Region{info.offset, info.size, (info.flags & VFIO_REGION_INFO_FLAG_MMAP) != 0};
}

Result<Mmio*> VfioPciDevice::Bar(unsigned index) {
  if (index >= bars_.size()) return Fail(ENODEV, fmt::format("BAR {}", index));
  std::unique_ptr<MappedBar>& bar = bars_.at(index);
  if (!bar) {
    auto region = RegionInfo(VFIO_PCI_BAR0_REGION_INDEX + index);
    if (!region) return std::unexpected(region.error());
    if (region->size == 0 || !region->mappable) {
      return Fail(ENODEV, fmt::format("{} has no memory BAR {}", id_.ToString(), index));
    }
    auto mapped = MappedBar::Map(fd_.get(), region->offset, region->size);
    if (!mapped) return std::unexpected(mapped.error());
    bar = std::move(*mapped);
  }
  return bar.get();
}

Result<std::uint32_t> VfioPciDevice::ReadConfig(std::size_t offset, std::size_t size) {
  std::array<std::uint8_t, 4> bytes{};
  if (size > bytes.size()) return Fail(EINVAL, fmt::format("config read of {} bytes", size));
  if (pread(fd_.get(), bytes.data(), size, static_cast<off_t>(config_.offset + offset)) !=
      static_cast<ssize_t>(size)) {
    return FailErrno(fmt::format("read config space at {:#x}", offset));
  }
  return static_cast<std::uint32_t>(bytes[0]) | (static_cast<std::uint32_t>(bytes[1]) << 8) |
         (static_cast<std::uint32_t>(bytes[2]) << 16) |
         (static_cast<std::uint32_t>(bytes[3]) << 24);
}

Result<void> VfioPciDevice::WriteConfig(std::size_t offset, std::size_t size, std::uint32_t value) {
  if (size > sizeof(value)) return Fail(EINVAL, fmt::format("config write of {} bytes", size));
  std::array<std::uint8_t, 4> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes.at(i) = static_cast<std::uint8_t>(value >> (8 * i));
  }
  if (pwrite(fd_.get(), bytes.data(), size, static_cast<off_t>(config_.offset + offset)) !=
      static_cast<ssize_t>(size)) {
    return FailErrno(fmt::format("write config space at {:#x}", offset));
  }
  return {};
}

Result<void> VfioPciDevice::SetBusMaster(bool on) {
  auto command = ReadConfig(PCI_COMMAND, 2);
  if (!command) return std::unexpected(command.error());
  const std::uint32_t wanted =
      on ? *command | PCI_COMMAND_MASTER : *command & ~std::uint32_t{PCI_COMMAND_MASTER};
  return WriteConfig(PCI_COMMAND, 2, wanted);
}

Result<void> VfioPciDevice::Reset() {
  // The kernel saves COMMAND and MSI state before the reset, and restores them after it
  // (drivers/pci/pci.c, pci_dev_save_and_disable()).
  if (auto off = SetBusMaster(false); !off) return off;
  if (ioctl(fd_.get(), VFIO_DEVICE_RESET) != 0) {
    return FailErrno(fmt::format("VFIO_DEVICE_RESET of {}", id_.ToString()));
  }
  return {};
}

Result<unsigned> VfioPciDevice::InterruptVectors(InterruptKind kind) {
  vfio_irq_info info{};
  info.argsz = sizeof(info);
  info.index = IrqIndex(kind);
  if (ioctl(fd_.get(), VFIO_DEVICE_GET_IRQ_INFO, &info) != 0) {
    return FailErrno("VFIO_DEVICE_GET_IRQ_INFO");
  }
  return info.count;
}

Result<void> VfioPciDevice::EnableInterrupts(InterruptKind kind, std::span<const int> event_fds) {
  // The number of MSI vectors is fixed while they are enabled.
  if (auto disabled = DisableInterrupts(kind); !disabled) return disabled;
  auto set = SetIrqs(
      fd_.get(), VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, IrqIndex(kind),
      static_cast<unsigned>(event_fds.size()), event_fds,
      fmt::format("enable {} vectors of {} on {}", event_fds.size(), Name(kind), id_.ToString()));
  if (set) enabled_.at(static_cast<std::size_t>(kind)) = true;
  return set;
}

Result<void> VfioPciDevice::DisableInterrupts(InterruptKind kind) {
  bool& enabled = enabled_.at(static_cast<std::size_t>(kind));
  if (!enabled) return {};  // the kernel would say EINVAL
  auto set =
      SetIrqs(fd_.get(), VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, IrqIndex(kind), 0,
              {}, fmt::format("disable {} on {}", Name(kind), id_.ToString()));
  if (set) enabled = false;
  return set;
}

Result<void> VfioPciDevice::UnmaskIntx() {
  return SetIrqs(fd_.get(), VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK,
                 VFIO_PCI_INTX_IRQ_INDEX, 1, {}, "unmask INTx");
}

// Without an eventfd the kernel has no handler for a vector, and masks it in the device's table
// (drivers/vfio/pci/vfio_pci_intrs.c, vfio_msi_set_vector_signal()).
Result<void> VfioPciDevice::MaskMsix(unsigned vector) { return UnmaskMsix(vector, -1); }

Result<void> VfioPciDevice::UnmaskMsix(unsigned vector, int event_fd) {
  return SetIrqs(
      fd_.get(), VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_PCI_MSIX_IRQ_INDEX,
      1, {&event_fd, 1},
      fmt::format("{}mask MSI-X vector {} of {}", event_fd < 0 ? "" : "un", vector, id_.ToString()),
      vector);
}

}  // namespace carryover
