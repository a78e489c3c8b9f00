// SPDX-License-Identifier: GPL-2.0-only
// A model of edu, from QEMU's docs/specs/edu.rst. A transfer is done by the access after the one
// that started it, at the latest. Like QEMU's, it does not notice what the IOMMU refuses, nor
// report any error.
#pragma once

#include <array>
#include <cstdint>

#include "drivers/edu/registers.h"
#include "drivers/model/device_model.h"

namespace carryover::edu {

class EduModel final : public DeviceModel {
 public:
  [[nodiscard]] static ModelIdentity Identity();

  explicit EduModel(ModelHost& host) : DeviceModel(host), identity_(Identity()) {}

  [[nodiscard]] const ModelIdentity& identity() const override { return identity_; }
  [[nodiscard]] std::uint64_t Read(unsigned bar, std::size_t offset, std::size_t size) override;
  void Write(unsigned bar, std::size_t offset, std::size_t size, std::uint64_t value) override;
  void ResetFunction() override;
  void Work() override;

 private:
  [[nodiscard]] bool CheckAccess(std::size_t offset, std::size_t size, const char* what);
  void SetDma(std::uint64_t& dma_register, std::size_t size, std::uint64_t value);
  void StartTransfer(std::uint64_t command);
  [[nodiscard]] bool InBuffer(std::uint64_t address) const;

  ModelIdentity identity_;
  std::uint32_t liveness_ = 0;
  std::uint32_t factorial_ = 0;
  std::uint32_t causes_ = 0;
  bool raise_ = false;
  std::uint64_t source_ = 0;
  std::uint64_t destination_ = 0;
  std::uint64_t count_ = 0;
  std::uint64_t command_ = 0;
  std::array<std::byte, kBufferSize> buffer_{};
};

}  // namespace carryover::edu
