// SPDX-License-Identifier: GPL-2.0-only
#include <gmock/gmock.h>

#include "drivers/access/fake/fake_sysfs.h"
#include "drivers/access/machine_use.h"

namespace carryover {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

constexpr PciAddress kCard{.domain = 0, .bus = 2, .device = 0, .function = 0};
constexpr PciId kId{.vendor = 0x1b36, .device = 0x0002};

class ConsoleUseTest : public testing::Test {
 protected:
  ConsoleUseTest() { tree_.AddFunction(kCard, kId); }
  // An object of the card's, with its link in a class.
  std::filesystem::path Add(const std::string& subsystem, const std::string& below,
                            const std::string& name) {
    const auto path = tree_.AddObject(kCard, below + name);
    tree_.Link("class/" + subsystem + "/" + name, path);
    return std::filesystem::canonical(path);
  }
  void Consoles(std::string_view text) { tree_.WriteFile("proc/consoles", text); }
  Result<std::vector<ConsoleUse>> Read() {
    return ConsolesInUse(tree_.sysfs(), tree_.root() / "proc");
  }

  FakeSysfs tree_;
};

// 8250_pci: the port is below two devices of the serial core, which are below the function.
TEST_F(ConsoleUseTest, FindsASerialCard) {
  const auto port = Add("tty", "0000:02:00.0:0/0000:02:00.0:0.0/tty/", "ttyS4");
  Add("tty", "0000:02:00.0:1/0000:02:00.0:1.0/tty/", "ttyS5");
  Consoles("ttyS4                -W- (EC a  )    4:68\n");
  const auto used = Read();
  ASSERT_TRUE(used) << used.error().ToString();
  EXPECT_THAT(*used, ElementsAre(ConsoleUse{port, "its ttyS4 is a console of the kernel"}));
}

TEST_F(ConsoleUseTest, FindsUsbSerialBelowItsController) {
  const auto port = Add("tty", "usb1/1-2/1-2:1.0/ttyUSB0/tty/", "ttyUSB0");
  Consoles("ttyUSB0 -W- (EC a) 188:0\n");
  const auto used = Read();
  ASSERT_TRUE(used) << used.error().ToString();
  EXPECT_THAT(*used, ElementsAre(Field(&ConsoleUse::path, port)));
}

// A virtual terminal is seen on whatever has a frame buffer, and on the firmware's screen.
TEST_F(ConsoleUseTest, FindsScreensOfAVirtualTerminal) {
  constexpr PciAddress kFirmwareScreen{.domain = 0, .bus = 0, .device = 2, .function = 0};
  constexpr PciAddress kOther{.domain = 0, .bus = 3, .device = 0, .function = 0};
  tree_.AddFunction(kFirmwareScreen, kId);
  tree_.AddFunction(kOther, kId);
  tree_.WriteFile("devices/pci0000:00/0000:00:02.0/boot_vga", "1\n");
  tree_.WriteFile("devices/pci0000:00/0000:03:00.0/boot_vga", "0\n");
  const auto buffer = Add("graphics", "graphics/", "fb0");
  Consoles("tty0                 -WU (E  p  )    4:7\n");
  const auto used = Read();
  ASSERT_TRUE(used) << used.error().ToString();
  EXPECT_THAT(*used,
              UnorderedElementsAre(
                  ConsoleUse{buffer, "its fb0 may show tty0, a console of the kernel"},
                  AllOf(Field(&ConsoleUse::path,
                              std::filesystem::canonical(
                                  tree_.root() / "devices/pci0000:00/0000:00:02.0/boot_vga")),
                        Field(&ConsoleUse::why, HasSubstr("tty0")))));
}

// A screen that no console is shown on may be taken.
TEST_F(ConsoleUseTest, LetsScreensGoWithoutAVirtualTerminal) {
  Add("graphics", "graphics/", "fb0");
  tree_.WriteFile("devices/pci0000:00/0000:02:00.0/boot_vga", "1\n");
  tree_.WriteFile("devices/platform/serial8250/tty/ttyS0/x", "");
  tree_.Link("class/tty/ttyS0", tree_.root() / "devices/platform/serial8250/tty/ttyS0");
  Consoles("ttyS0 -W- (EC a) 4:64\n");
  const auto used = Read();
  ASSERT_TRUE(used) << used.error().ToString();
  EXPECT_THAT(*used, ElementsAre(Field(&ConsoleUse::path, HasSubstr("serial8250"))));
}

// hvc0 itself is below no device.
TEST_F(ConsoleUseTest, FindsVirtioConsoles) {
  const auto port = Add("virtio-ports", "virtio1/virtio-ports/", "vport1p0");
  tree_.WriteFile("devices/virtual/tty/hvc0/x", "");
  tree_.Link("class/tty/hvc0", tree_.root() / "devices/virtual/tty/hvc0");
  Consoles("hvc0 -W- (EC p) 229:0\n");
  const auto used = Read();
  ASSERT_TRUE(used) << used.error().ToString();
  EXPECT_THAT(*used, ElementsAre(ConsoleUse{port,
                                            "its vport1p0 may be hvc0, a console of the "
                                            "kernel"}));
}

// /proc/consoles has a line for each, in any order.
TEST_F(ConsoleUseTest, FindsEachOfSeveral) {
  tree_.WriteFile("devices/platform/serial8250/tty/ttyS0/x", "");
  tree_.Link("class/tty/ttyS0", tree_.root() / "devices/platform/serial8250/tty/ttyS0");
  const auto card = Add("tty", "tty/", "ttyS4");
  const auto usb = Add("tty", "usb1/1-2/1-2:1.0/ttyUSB0/tty/", "ttyUSB0");
  Consoles(
      "ttyS0                -W- (EC a  )    4:64\n"
      "ttyS4                -W- (E  a  )    4:68\n"
      "ttyUSB0              -W- (E  a  )  188:0\n");
  const auto used = Read();
  ASSERT_TRUE(used) << used.error().ToString();
  EXPECT_THAT(*used,
              UnorderedElementsAre(Field(&ConsoleUse::path, HasSubstr("serial8250")),
                                   Field(&ConsoleUse::path, card), Field(&ConsoleUse::path, usb)));
}

// Any of them may be the one that shows it.
TEST_F(ConsoleUseTest, FindsEveryScreenAndEveryVirtioConsole) {
  const auto first_buffer = Add("graphics", "graphics/", "fb0");
  const auto second_buffer = Add("graphics", "graphics/", "fb1");
  const auto first_port = Add("virtio-ports", "virtio1/virtio-ports/", "vport1p0");
  const auto second_port = Add("virtio-ports", "virtio2/virtio-ports/", "vport2p0");
  Consoles("tty1 -WU (EC p) 4:1\nhvc1 -W- (E p) 229:1\n");
  const auto used = Read();
  ASSERT_TRUE(used) << used.error().ToString();
  EXPECT_THAT(*used, UnorderedElementsAre(Field(&ConsoleUse::path, first_buffer),
                                          Field(&ConsoleUse::path, second_buffer),
                                          Field(&ConsoleUse::path, first_port),
                                          Field(&ConsoleUse::path, second_port)));
}

TEST_F(ConsoleUseTest, PassesOverConsolesWithoutADevice) {
  Consoles("ttynull0 -W- (EC p) 242:0\npstore-1 -W- (E p)\n");
  const auto used = Read();
  ASSERT_TRUE(used) << used.error().ToString();
  EXPECT_THAT(*used, IsEmpty());
}

// What cannot be read must not pass for "there is no console".
TEST_F(ConsoleUseTest, FailsWithoutTheTable) {
  const auto used = Read();
  ASSERT_FALSE(used);
  EXPECT_EQ(used.error().code, ENOENT);
}

// Of the machine that this test runs on.
TEST(ConsolesOfThisMachine, CanBeRead) {
  if (!std::filesystem::exists("/proc/consoles")) GTEST_SKIP() << "no /proc/consoles here";
  EXPECT_TRUE(ConsolesInUse(Sysfs()));
}

}  // namespace
}  // namespace carryover
