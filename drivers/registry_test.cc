// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "drivers/access/fake/fake_pci_device.h"

namespace carryover {
namespace {

class AnyDevice final : public FakePciDevice {
 public:
  AnyDevice() : FakePciDevice({.vendor = 0x1234, .device = 0x5678}, {}) {}

 protected:
  Mmio* BarModel(unsigned) override { return nullptr; }
  void OnReset() override {}
};

TEST(Registry, FindsADriverByItsName) {
  const DriverEntry* const igb = FindDriver("igb");
  ASSERT_NE(igb, nullptr);
  EXPECT_EQ(igb->name, "igb");
}

TEST(Registry, FindsNoDriverByAnotherName) {
  for (const char* name : {"", "ig", "igbx", "IGB", "igb ", "no-such-driver"}) {
    EXPECT_EQ(FindDriver(name), nullptr) << '\'' << name << '\'';
  }
}

TEST(Registry, FindsTheDriverOfAFunction) {
  const DriverEntry* const found = DriverFor({{.vendor = 0x8086, .device = 0x10c9}, 0x020000});
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->name, "igb");
}

TEST(Registry, TellsNeighboursApart) {
  const DriverEntry* const found = DriverFor({{.vendor = 0x8086, .device = 0x10d3}, 0x020000});
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->name, "e1000e");
}

TEST(Registry, FindsADriverByTheClass) {
  const DriverEntry* const found = DriverFor({{.vendor = 0x144d, .device = 0xa808}, 0x010802});
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->name, "nvme");
}

TEST(Registry, FindsNoDriverForAnotherFunction) {
  EXPECT_EQ(DriverFor({{.vendor = 0xffff, .device = 0xffff}, 0xffffff}), nullptr);
  EXPECT_EQ(DriverFor({{.vendor = 0, .device = 0}, 0}), nullptr);
  EXPECT_EQ(DriverFor({{.vendor = 0x10c9, .device = 0x8086}, 0x020000}), nullptr);
  EXPECT_EQ(DriverFor({{.vendor = 0x8086, .device = 0x10ca}, 0x020000}), nullptr)
      << "82576's virtual function";
}

TEST(Registry, NamesAreUniqueAndListed) {
  std::set<std::string_view> names;
  std::string list;
  for (const DriverEntry* entry : Drivers()) {
    EXPECT_FALSE(entry->name.empty());
    EXPECT_TRUE(names.insert(entry->name).second) << entry->name << " twice";
    EXPECT_EQ(FindDriver(entry->name), entry);
    list += (list.empty() ? "" : ", ") + std::string(entry->name);
  }
  EXPECT_THAT(names, testing::Contains("igb"));
  EXPECT_EQ(DriverNames(), list);
}

// What `make` gives says that it is what was asked for, whatever the device.
TEST(Registry, MakesDriversOfTheirOwnName) {
  AnyDevice device;
  for (const DriverEntry* entry : Drivers()) {
    const auto driver = entry->make(device, {});
    ASSERT_NE(driver, nullptr) << entry->name;
    EXPECT_EQ(driver->traits().name, entry->name);
  }
}

}  // namespace
}  // namespace carryover
