// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/machine_probe.h"

#include <fmt/format.h>

#include <fstream>
#include <iterator>
#include <sstream>

#include "drivers/access/binding.h"

namespace carryover {
namespace {

namespace fs = std::filesystem;

bool Exists(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

Feature Decide(std::string_view name, bool present, std::string detail, std::string remedy) {
  return {name, present, std::move(detail), present ? std::string() : std::move(remedy)};
}

bool HasVfioPci(const MachineRoots& roots) {
  return Exists(roots.sysfs.root() / "bus/pci/drivers" / kVfioPci);
}

// CONFIG_VFIO_DEVICE_CDEV registers a range of character devices of this name.
bool HasVfioDevices(const MachineRoots& roots) {
  std::ifstream devices(roots.proc / "devices");
  std::string number;
  for (std::string name; devices >> number >> name;) {
    if (name == "vfio-dev") return true;
  }
  return false;
}

Feature DecideVfio(const MachineRoots& roots, std::string_view name, bool has_way,
                   std::string_view way, std::string_view option) {
  const bool driver = HasVfioPci(roots);
  const std::string detail = fmt::format("driver vfio-pci: {}, {}: {}", driver ? "yes" : "no", way,
                                         has_way ? "yes" : "no");
  std::string remedy = driver ? "" : "modprobe vfio-pci, or build with CONFIG_VFIO_PCI";
  if (!has_way) {
    remedy += fmt::format("{}build the kernel with {}", remedy.empty() ? "" : "; ", option);
  }
  return Decide(name, driver && has_way, detail, remedy);
}

}  // namespace

Feature ProbeIommu(const MachineRoots& roots) {
  std::error_code error;
  const fs::directory_iterator groups(roots.sysfs.root() / "kernel/iommu_groups", error);
  const auto count = error ? 0 : std::distance(fs::begin(groups), fs::end(groups));
  return Decide("iommu", count > 0, fmt::format("{} IOMMU groups", count),
                "turn the IOMMU on in the firmware and on the kernel's command line "
                "(intel_iommu=on)");
}

Feature ProbeIommufd(const MachineRoots& roots) {
  const fs::path path = roots.dev / "iommu";
  const bool present = Exists(path);
  return Decide("iommufd", present, fmt::format("{}: {}", path.string(), present ? "yes" : "no"),
                "modprobe iommufd, or build the kernel with CONFIG_IOMMUFD");
}

Feature ProbeVfioCdev(const MachineRoots& roots) {
  return DecideVfio(roots, "vfio_cdev", HasVfioDevices(roots), "VFIO character devices",
                    "CONFIG_VFIO_DEVICE_CDEV");
}

Feature ProbeVfioType1(const MachineRoots& roots) {
  return DecideVfio(roots, "vfio_type1", Exists(roots.dev / "vfio/vfio"), "VFIO container",
                    "CONFIG_VFIO_GROUP, CONFIG_VFIO_CONTAINER and CONFIG_VFIO_IOMMU_TYPE1");
}

Feature ProbeHugepages(const MachineRoots& roots) {
  const fs::path pool = roots.sysfs.root() / "kernel/mm/hugepages/hugepages-2048kB";
  const auto total = Sysfs::Read(pool / "nr_hugepages");
  const auto free = Sysfs::Read(pool / "free_hugepages");
  if (!total || !free) {
    return Decide("hugepages", false, "no hugetlb pages of 2 MiB",
                  "build the kernel with CONFIG_HUGETLBFS");
  }
  return Decide("hugepages", *free != "0",
                fmt::format("{} of {} pages of 2 MiB free", *free, *total),
                fmt::format("echo 64 > {}", (pool / "nr_hugepages").string()));
}

Feature ProbeMemory(const MachineRoots& roots, std::size_t needed) {
  constexpr std::size_t kMiB = std::size_t{1024} * 1024;
  std::ifstream meminfo(roots.proc / "meminfo");
  std::size_t available = 0;
  for (std::string line; std::getline(meminfo, line);) {
    std::istringstream fields(line);
    std::string key;
    std::size_t kib = 0;
    if (fields >> key >> kib && key == "MemAvailable:") available = kib * 1024;
  }
  return Decide(
      "memory", available >= needed, fmt::format("{} MiB available", available / kMiB),
      fmt::format("give this machine more memory: {} MiB must be available", needed / kMiB));
}

}  // namespace carryover
