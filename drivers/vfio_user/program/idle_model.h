// SPDX-License-Identifier: GPL-2.0-only
// A function that does nothing: for tests of what the kernel makes of a device's identity, which
// QEMU's x-pci-... properties give it.
#pragma once

#include "drivers/model/device_model.h"

namespace carryover::vfio_user {

// One memory BAR of 4 KiB that reads as zeros; no interrupts, no DMA.
class IdleModel final : public DeviceModel {
 public:
  explicit IdleModel(ModelHost& host) : DeviceModel(host) {}

  [[nodiscard]] const ModelIdentity& identity() const override { return identity_; }
  [[nodiscard]] std::uint64_t Read(unsigned, std::size_t, std::size_t) override { return 0; }
  void Write(unsigned, std::size_t, std::size_t, std::uint64_t) override {}
  void ResetFunction() override {}
  void Work() override {}

 private:
  ModelIdentity identity_{.id = {.vendor = 0x1234, .device = 0x0001},
                          .class_code = 0xff0000,
                          .bars = {{.index = 0, .size = 4096}}};
};

}  // namespace carryover::vfio_user
