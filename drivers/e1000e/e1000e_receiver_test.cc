// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/e1000e/e1000e_receiver.h"

#include "drivers/conformance/model_device.h"
#include "drivers/e1000e/mac.h"
#include "drivers/e1000e/model/e1000e_model.h"
#include "drivers/ethernet_receive/receiver_suite.h"

namespace carryover::e1000e {
namespace {

template <E1000eModel::Flavour flavour>
class Nic {
 public:
  static constexpr std::uint64_t kStation = Mac::StreamStation();
  static constexpr std::uint64_t kOtherStation = Mac::StationAddress();

  Nic() { model_.model().SetCable(); }
  [[nodiscard]] FakePciDevice& device() { return model_.device(); }
  [[nodiscard]] std::unique_ptr<FrameReceiver> MakeReceiver() {
    return MakeFrameReceiver(model_.device());
  }
  void Arrive(std::vector<std::byte> frame) { model_.model().Arrive(std::move(frame)); }
  void ForgetAccesses() { model_.model().ForgetAccesses(); }
  [[nodiscard]] const std::vector<std::size_t>& writes() { return model_.model().writes(); }
  [[nodiscard]] const std::vector<std::string>& violations() const { return model_.violations(); }
  void SetHead(std::uint32_t slot) { model_.model().SetRegister(Rdh::kOffset, slot); }
  void SetGone() { model_.SetGone(true); }
  [[nodiscard]] static std::size_t max_slots() { return 4096; }

 private:
  ModelDevice<E1000eModel> model_{flavour};
};

using Nics = testing::Types<Nic<E1000eModel::Flavour::kHardware>, Nic<E1000eModel::Flavour::kQemu>>;

}  // namespace
}  // namespace carryover::e1000e

namespace carryover::ethernet_receive {
INSTANTIATE_TYPED_TEST_SUITE_P(E1000e, ReceiverSuite, e1000e::Nics);
}  // namespace carryover::ethernet_receive
