// SPDX-License-Identifier: GPL-2.0-only
// What drivers need of the machine, and what to do where it is missing.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "drivers/access/sysfs.h"

namespace carryover {

struct Feature {
  std::string_view name;  // as in docs/protocol.md
  bool present = false;
  std::string detail;  // what was found
  std::string remedy;  // what to do; empty if present
};

// Where the machine shows itself; other folders in unit tests.
struct MachineRoots {
  Sysfs sysfs;
  std::filesystem::path dev = "/dev";
  std::filesystem::path proc = "/proc";
};

// "iommu": at least one IOMMU group.
[[nodiscard]] Feature ProbeIommu(const MachineRoots& roots);
// "iommufd": /dev/iommu.
[[nodiscard]] Feature ProbeIommufd(const MachineRoots& roots);
// "vfio_cdev": the vfio-pci driver, and VFIO character devices.
[[nodiscard]] Feature ProbeVfioCdev(const MachineRoots& roots);
// "vfio_type1": the vfio-pci driver, and /dev/vfio/vfio.
[[nodiscard]] Feature ProbeVfioType1(const MachineRoots& roots);
// "hugepages": at least one free hugetlb page of 2 MiB.
[[nodiscard]] Feature ProbeHugepages(const MachineRoots& roots);
// "memory": at least `needed` bytes available.
[[nodiscard]] Feature ProbeMemory(const MachineRoots& roots, std::size_t needed);

}  // namespace carryover
