// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/result.h"

#include <cstring>

namespace carryover {

std::string Error::ToString() const {
  if (code == 0) return message;
  return message + ": " + strerrordesc_np(code);
}

}  // namespace carryover
