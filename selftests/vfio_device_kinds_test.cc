// SPDX-License-Identifier: GPL-2.0-only
// The claim `file`: kinds of devices whose files cannot be preserved, each for what the next kernel
// would have to know of it. No driver of ours drives them: they are listed with driver `none`. On
// the bench: ci/bench --reference --lg-env ci/bridges.yaml. Source:
// vfio_pci_liveupdate_can_preserve() of the reference kernel (ci/kernel/patches).
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "drivers/access/binding.h"
#include "drivers/access/result_matchers.h"
#include "fixtures/device_file/carried_device.h"
#include "fixtures/device_need/device_need.h"

namespace carryover {
namespace {

constexpr PciId kVirtioNet{.vendor = 0x1af4, .device = 0x1041};  // virtio 1.2, 4.1.2
// The variant driver that takes such a device also where it is no virtual function
// (drivers/vfio/pci/virtio).
constexpr std::string_view kVariantDriver = "virtio_vfio_pci";

constexpr std::uint16_t kIntel = 0x8086;
constexpr std::string_view kDisplayClass = "0x03";  // base class (PCI 3.0, appendix D)

class VfioDeviceKinds : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const auto why = WhyNotPreservable()) GTEST_SKIP() << *why;
  }

  [[nodiscard]] static const Sysfs& sysfs() { return Devices::Get().sysfs(); }

  // Binds the first listed function of which this holds to vfio-pci; none if there is none.
  template <typename Matches>
  [[nodiscard]] static std::optional<PciAddress> BindFirst(Matches matches) {
    for (unsigned index = 0; index < Devices::Get().CountListed(Devices::kNoDriver); ++index) {
      const auto listed = Devices::Get().Find(Devices::kNoDriver, index);
      if (!listed || !matches(*listed)) continue;
      const auto bound = Devices::Get().Bind(Devices::kNoDriver, index);
      EXPECT_OK(bound);
      return listed->address;
    }
    return std::nullopt;
  }
  // Preserves the device's file, bound to an iommufd, in a session that is closed again.
  [[nodiscard]] static Result<void> TryToPreserve(const PciAddress& address) {
    auto device = VfioPciDevice::Open(address, IommuMode::kIommufd, sysfs());
    if (!device) return std::unexpected(device.error());
    auto session = CreateSession("rules-kinds");
    if (!session) return std::unexpected(session.error());
    return session->Preserve((*device)->fd(), 1);
  }
};
NEEDS_CLAIM(VfioDeviceKinds, Claim::kFile);

// The same device by vfio-pci itself is accepted: it is the driver that matters.
TEST_F(VfioDeviceKinds, FileOfAVariantDriverIsRefused) {
  const auto address = BindFirst([](const ListedDevice& d) { return d.id == kVirtioNet; });
  if (!address) GTEST_SKIP() << "no " << kVirtioNet.ToString() << " is listed with driver none";
  if (!std::filesystem::exists(sysfs().root() / "bus/pci/drivers" / kVariantDriver)) {
    GTEST_SKIP() << "the kernel has no " << kVariantDriver << " (CONFIG_VIRTIO_VFIO_PCI)";
  }
  EXPECT_OK(TryToPreserve(*address));
  ASSERT_OK(BindTo(sysfs(), *address, kVariantDriver, Deadline::After(kBindingTime)));
  EXPECT_THAT(TryToPreserve(*address), FailsWith(ENOENT));
  ASSERT_OK(BindTo(sysfs(), *address, kVfioPci, Deadline::After(kBindingTime)));
  EXPECT_THAT(Devices::Get().CheckNobodyElseBound(), FailsWith(EBUSY)) << "it was this test";
}

// Its OpRegion and two other functions' configuration are regions of
// the file, too (drivers/vfio/pci/vfio_pci_igd.c).
TEST_F(VfioDeviceKinds, FileOfAnIntelDisplayIsRefused) {
  const auto address = BindFirst([](const ListedDevice& d) {
    const auto code = sysfs().Read(sysfs().FunctionPath(d.address) / "class");
    return d.id.vendor == kIntel && code && code->starts_with(kDisplayClass);
  });
  if (!address) GTEST_SKIP() << "no display controller of Intel is listed with driver none";
  EXPECT_THAT(TryToPreserve(*address), FailsWith(ENOENT));
}

}  // namespace
}  // namespace carryover
