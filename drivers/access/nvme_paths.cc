// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/nvme_paths.h"

#include <string>

namespace carryover {

namespace fs = std::filesystem;

std::vector<fs::path> NvmePathsOf(const fs::path& disk) {
  std::vector<fs::path> controllers;
  const fs::path subsystem = disk.parent_path();
  if (!subsystem.filename().string().starts_with("nvme-subsys")) return controllers;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(subsystem, error)) {
    if (!entry.is_symlink(error)) continue;
    fs::path controller = fs::canonical(entry.path(), error);
    if (!error) controllers.push_back(std::move(controller));
  }
  return controllers;
}

}  // namespace carryover
