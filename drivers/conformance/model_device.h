// SPDX-License-Identifier: GPL-2.0-only
// A DeviceModel in process, as the device of the conformance suite:
//
//   .make_device = [] { return std::make_unique<ModelDevice<EduModel>>(); }
//
// The model works within the register access that brings the work.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "drivers/conformance/conformance_device.h"
#include "drivers/model/device_model.h"

namespace carryover {

// The slot: a PCI function whose BARs are a model's.
class ModelFunction final : public FakePciDevice, public ModelHost {
 public:
  explicit ModelFunction(const ModelIdentity& identity);

  // The model, once, before anything else.
  void Plug(DeviceModel& model) { model_ = &model; }
  void SetGone(bool gone) { gone_ = gone; }

  [[nodiscard]] bool DmaRead(Iova iova, std::span<std::byte> to) override {
    return !gone_ && FakePciDevice::DmaRead(iova, to);
  }
  [[nodiscard]] bool DmaWrite(Iova iova, std::span<const std::byte> from) override {
    return !gone_ && FakePciDevice::DmaWrite(iova, from);
  }
  void Raise(InterruptKind kind, unsigned vector) override { FakePciDevice::Raise(kind, vector); }

 protected:
  Mmio* BarModel(unsigned index) override;
  void OnReset() override { model_->ResetFunction(); }

 private:
  class Bar final : public Mmio {
   public:
    Bar(ModelFunction& function, ModelBar bar) : function_(function), bar_(bar) {}
    [[nodiscard]] std::uint8_t Read8(std::size_t offset) override;
    [[nodiscard]] std::uint16_t Read16(std::size_t offset) override;
    [[nodiscard]] std::uint32_t Read32(std::size_t offset) override;
    [[nodiscard]] std::uint64_t Read64(std::size_t offset) override;
    void Write8(std::size_t offset, std::uint8_t value) override { Write(offset, 1, value); }
    void Write16(std::size_t offset, std::uint16_t value) override { Write(offset, 2, value); }
    void Write32(std::size_t offset, std::uint32_t value) override { Write(offset, 4, value); }
    void Write64(std::size_t offset, std::uint64_t value) override { Write(offset, 8, value); }
    [[nodiscard]] std::size_t size() const override { return bar_.size; }
    [[nodiscard]] unsigned index() const { return bar_.index; }

   private:
    [[nodiscard]] std::uint64_t Read(std::size_t offset, std::size_t size);
    void Write(std::size_t offset, std::size_t size, std::uint64_t value);

    ModelFunction& function_;
    ModelBar bar_;
  };

  DeviceModel* model_ = nullptr;
  std::vector<std::unique_ptr<Bar>> bars_;
  bool gone_ = false;
};

template <typename Model>
class ModelDevice final : public ConformanceDevice {
 public:
  // `arguments`: of the model's constructor, behind its host. Model::Identity(arguments...) is
  // static.
  template <typename... Arguments>
  explicit ModelDevice(Arguments&&... arguments)
      : function_(Model::Identity(arguments...)),
        model_(function_, std::forward<Arguments>(arguments)...) {
    function_.Plug(model_);
  }

  [[nodiscard]] FakePciDevice& device() override { return function_; }
  void SetGone(bool gone) override { function_.SetGone(gone); }
  void SetHung(bool hung) override { model_.SetHung(hung); }
  void LetThrough(std::size_t units) override { model_.LetThrough(units); }
  void SetResetStuck(bool stuck) override { model_.SetResetStuck(stuck); }
  void FailNextCopy() override { model_.FailNextCopy(); }
  [[nodiscard]] std::size_t doorbells() const override { return model_.doorbells(); }
  [[nodiscard]] std::size_t resets() const override { return model_.resets(); }
  [[nodiscard]] const std::vector<std::string>& violations() const override {
    return model_.violations();
  }

  [[nodiscard]] Model& model() { return model_; }

 private:
  ModelFunction function_;
  Model model_;
};

}  // namespace carryover
