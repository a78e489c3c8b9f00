// SPDX-License-Identifier: GPL-2.0-only
// A real block device of a MiB, for what only the kernel can answer. It goes with this object.
#pragma once

#include <filesystem>

#include "drivers/access/result.h"
#include "drivers/access/unique_fd.h"

namespace carryover {

class LoopDevice {
 public:
  // Errors: ENOENT, EPERM, EACCES and others where this process may have none.
  [[nodiscard]] static Result<LoopDevice> Create();

  [[nodiscard]] const std::filesystem::path& node() const { return node_; }

 private:
  LoopDevice(std::filesystem::path node, UniqueFd file)
      : node_(std::move(node)), file_(std::move(file)) {}

  std::filesystem::path node_;
  UniqueFd file_;  // the last file of it ends it (LO_FLAGS_AUTOCLEAR)
};

}  // namespace carryover
