// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/igb/igb_receiver.h"

#include "drivers/ethernet_receive/receiver_suite.h"
#include "drivers/igb/fake/fake_igb.h"
#include "drivers/igb/mac.h"

namespace carryover::igb {
namespace {

template <FakeIgb::Flavour flavour>
class Nic {
 public:
  static constexpr std::uint64_t kStation = Mac::StreamStation();
  static constexpr std::uint64_t kOtherStation = Mac::StationAddress();

  Nic() { fake_.SetCable(); }
  [[nodiscard]] FakePciDevice& device() { return fake_.device(); }
  [[nodiscard]] std::unique_ptr<FrameReceiver> MakeReceiver() {
    return MakeFrameReceiver(fake_.device());
  }
  void Arrive(std::vector<std::byte> frame) { fake_.Arrive(std::move(frame)); }
  void ForgetAccesses() { fake_.ForgetAccesses(); }
  [[nodiscard]] const std::vector<std::size_t>& writes() const { return fake_.writes(); }
  [[nodiscard]] const std::vector<std::string>& violations() const { return fake_.violations(); }
  void SetHead(std::uint32_t slot) { fake_.SetRegister(Rdh::kOffset, slot); }
  void SetGone() { fake_.SetGone(true); }
  [[nodiscard]] static std::size_t max_slots() {
    return flavour == FakeIgb::Flavour::kQemu ? 65280 : 4096;
  }

 private:
  FakeIgb fake_{flavour};
};

using Nics = testing::Types<Nic<FakeIgb::Flavour::kHardware>, Nic<FakeIgb::Flavour::kQemu>>;

}  // namespace
}  // namespace carryover::igb

namespace carryover::ethernet_receive {
INSTANTIATE_TYPED_TEST_SUITE_P(Igb, ReceiverSuite, igb::Nics);
}  // namespace carryover::ethernet_receive
