// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/driver_watch.h"

#include <gmock/gmock.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>

#include <string>
#include <vector>

#include "drivers/access/fake/own_network.h"
#include "drivers/access/netlink_socket.h"

namespace carryover {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Optional;

constexpr PciAddress kAddress{.domain = 0, .bus = 1, .device = 0, .function = 0};

std::string Uevent(std::initializer_list<std::string_view> lines) {
  std::string text;
  for (const std::string_view line : lines) {
    text += line;
    text += '\0';
  }
  return text;
}

TEST(DriverWatchTest, ReadsABind) {
  const std::string text = Uevent(
      {"bind@/devices/pci0000:00/0000:00:1c.0/0000:01:00.0", "ACTION=bind",
       "DEVPATH=/devices/pci0000:00/0000:00:1c.0/0000:01:00.0", "SUBSYSTEM=pci", "DRIVER=igb",
       "PCI_CLASS=20000", "PCI_ID=8086:10C9", "PCI_SLOT_NAME=0000:01:00.0", "SEQNUM=1412"});
  EXPECT_THAT(ParseDriverEvent(text), Optional(DriverEvent{kAddress, "igb", true}));
}

TEST(DriverWatchTest, ReadsAnUnbind) {
  const std::string text = Uevent({"unbind@/devices/x", "ACTION=unbind", "SUBSYSTEM=pci",
                                   "PCI_SLOT_NAME=0000:01:00.0", "SEQNUM=7"});
  EXPECT_THAT(ParseDriverEvent(text), Optional(DriverEvent{kAddress, "", false}));
}

TEST(DriverWatchTest, DropsWhatIsNoDriverEvent) {
  const std::string added =
      Uevent({"add@/devices/x", "ACTION=add", "SUBSYSTEM=pci", "PCI_SLOT_NAME=0000:01:00.0"});
  const std::string other = Uevent(
      {"bind@/devices/x", "ACTION=bind", "SUBSYSTEM=pci_express", "PCI_SLOT_NAME=0000:01:00.0"});
  using std::string_literals::operator""s;
  const std::string garbage = "libudev\0\xfe\xed\xca\xfe"s;
  const std::string bad_address =
      Uevent({"bind@/x", "ACTION=bind", "SUBSYSTEM=pci", "PCI_SLOT_NAME=nowhere"});
  for (const std::string& text : {added, other, garbage, bad_address, std::string()}) {
    EXPECT_EQ(ParseDriverEvent(text), std::nullopt) << text;
  }
}

// A message cut off in its middle is read as far as it goes.
TEST(DriverWatchTest, ReadsWithoutAFinalZero) {
  const std::string text = Uevent({"bind@/x", "ACTION=bind", "SUBSYSTEM=pci", "DRIVER=igb"}) +
                           "PCI_SLOT_NAME=0000:01:00.0";
  EXPECT_THAT(ParseDriverEvent(text), Optional(DriverEvent{kAddress, "igb", true}));
}

// Events are sent in a network namespace: there the kernel hands on what it is sent
// (uevent_net_rcv() in lib/kobject_uevent.c), as its own.
std::string Binds(const std::string& address) {
  return Uevent({"bind@/x", "ACTION=bind", "SUBSYSTEM=pci", "DRIVER=igb"}) +
         "PCI_SLOT_NAME=" + address;
}

// What is heard of kAddress, "" for nothing, after these events, from the kernel or by somebody.
std::optional<std::string> Heard(const std::vector<std::string>& events, bool from_kernel) {
  return InOwnNetwork([&] -> std::string {
    auto watch = DriverWatch::Open();
    const auto socket = NetlinkSocket::Connect(NETLINK_KOBJECT_UEVENT);
    if (!watch || !socket) return "no sockets";
    for (std::string event : events) {
      if (from_kernel) {
        (void)nl_send_simple(socket->get(), NLMSG_MIN_TYPE, 0, event.data(), event.size());
      } else {
        nl_socket_set_peer_groups(socket->get(), 1);
        (void)nl_sendto(socket->get(), event.data(), event.size());
      }
    }
    const auto event = watch->Next(kAddress, Deadline::After(milliseconds(50)));
    return event ? event->address.ToString() : "";
  });
}

TEST(DriverWatchTest, HearsOfItsFunctionAlone) {
  const auto other = Heard({Binds("0000:02:00.0")}, true);
  if (!other) GTEST_SKIP() << "no network namespace";
  EXPECT_EQ(other, "");
  EXPECT_EQ(Heard({Binds("0000:02:00.0"), Binds("0000:01:00.0")}, true), "0000:01:00.0");
}

TEST(DriverWatchTest, DoesNotBelieveOtherProcesses) {
  const auto heard = Heard({Binds("0000:01:00.0")}, false);
  if (!heard) GTEST_SKIP() << "no network namespace";
  EXPECT_EQ(heard, "");
}

TEST(DriverWatchTest, GivesUpAtTheDeadline) {
  auto watch = DriverWatch::Open();
  ASSERT_TRUE(watch) << watch.error().ToString();
  const auto start = Deadline::Clock::now();
  const auto event = watch->Next(kAddress, Deadline::After(milliseconds(30)));
  ASSERT_FALSE(event);
  EXPECT_EQ(event.error().code, ETIMEDOUT);
  EXPECT_LT(Deadline::Clock::now() - start, seconds(5));
}

}  // namespace
}  // namespace carryover
