// SPDX-License-Identifier: GPL-2.0-only
#include <gmock/gmock.h>
#include <net/if.h>
#include <netlink/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <unistd.h>

#include "drivers/access/fake/own_network.h"
#include "drivers/access/machine_use.h"
#include "drivers/access/netlink_socket.h"

namespace carryover {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

const Use kLoopbackIsSsh{"lo", "carries the SSH connection"};

// The loopback address stands for the address of a management interface.
TEST(NetworkUseTest, FindsTheInterfaceOfTheSshConnection) {
  for (const std::string connection :
       {"127.0.0.1 40000 127.0.0.1 22", "::ffff:127.0.0.1 40000 ::ffff:127.0.0.1 22",
        "127.0.0.1%lo 40000 127.0.0.1%lo 22"}) {
    const auto used = InterfacesInUse(connection);
    ASSERT_TRUE(used) << used.error().ToString();
    EXPECT_THAT(*used, Contains(kLoopbackIsSsh)) << connection;
  }
}

TEST(NetworkUseTest, NeedsNoSshConnection) {
  const auto used = InterfacesInUse("");
  ASSERT_TRUE(used) << used.error().ToString();
  EXPECT_THAT(*used, Not(Contains(kLoopbackIsSsh)));
}

// It cannot be told which interface carries the connection: that must not pass for none.
TEST(NetworkUseTest, FailsForAnAddressThatIsNotHere) {
  const auto used = InterfacesInUse("198.51.100.1 40000 198.51.100.2 22");
  ASSERT_FALSE(used);
  EXPECT_EQ(used.error().code, EADDRNOTAVAIL);
  EXPECT_THAT(used.error().message, HasSubstr("198.51.100.2"));
}

// Routes are the kernel's own, in a network namespace that ends with a child process. The
// interfaces there are lo, and pair0 with pair1.
class DefaultRouteTest : public testing::Test {
 protected:
  struct Route {
    int family = AF_INET;
    std::string destination = "default";
    std::vector<std::string> interfaces;
    std::uint32_t table = RT_TABLE_MAIN;
  };

  // "lo carries the default route" and the like, a line each; none without such a namespace.
  static std::optional<std::string> InUse(const std::vector<Route>& routes) {
    return InOwnNetwork([&routes] { return InChild(routes); });
  }

  static constexpr const char* kNone = "no network namespace with veth(4)";

 private:
  static std::string InChild(const std::vector<Route>& routes) {
    const auto socket = NetlinkSocket::Connect(NETLINK_ROUTE);
    if (!socket || rtnl_link_veth_add(socket->get(), "pair0", "pair1", getpid()) < 0) return "";
    for (const std::string name : {"lo", "pair0", "pair1"}) {
      if (const int error = SetUp(socket->get(), name); error < 0) return nl_geterror(error);
    }
    for (const Route& route : routes) {
      if (const int error = Add(socket->get(), route); error < 0) return nl_geterror(error);
    }
    const auto used = InterfacesInUse("");
    if (!used) return used.error().ToString();
    std::string text = "\n";  // something, though nothing is in use
    for (const Use& use : *used) text += use.name + " " + use.what + "\n";
    return text;
  }

  static int SetUp(nl_sock* socket, const std::string& name) {
    rtnl_link* link = nullptr;
    if (const int error = rtnl_link_get_kernel(socket, 0, name.c_str(), &link); error < 0) {
      return error;
    }
    rtnl_link* const up = rtnl_link_alloc();
    rtnl_link_set_flags(up, IFF_UP);
    const int error = rtnl_link_change(socket, link, up, 0);
    rtnl_link_put(up);
    rtnl_link_put(link);
    return error;
  }

  static int Add(nl_sock* socket, const Route& wanted) {
    nl_addr* destination = nullptr;
    const int parsed = nl_addr_parse(wanted.destination.c_str(), wanted.family, &destination);
    if (parsed < 0) return parsed;
    rtnl_route* const route = rtnl_route_alloc();
    (void)rtnl_route_set_family(route, static_cast<std::uint8_t>(wanted.family));
    (void)rtnl_route_set_dst(route, destination);
    rtnl_route_set_table(route, wanted.table);
    rtnl_route_set_scope(route, RT_SCOPE_LINK);
    for (const std::string& interface : wanted.interfaces) {
      rtnl_nexthop* const hop = rtnl_route_nh_alloc();
      rtnl_route_nh_set_ifindex(hop, static_cast<int>(if_nametoindex(interface.c_str())));
      rtnl_route_add_nexthop(route, hop);
    }
    const int error = rtnl_route_add(socket, route, NLM_F_CREATE);
    rtnl_route_put(route);
    nl_addr_put(destination);
    return error;
  }
};

TEST_F(DefaultRouteTest, IsFoundInEveryTable) {
  constexpr std::uint32_t kOther = 7;
  const auto used = InUse({{.interfaces = {"lo"}},
                           {.interfaces = {"pair0"}, .table = kOther},
                           {.destination = "198.51.100.0/24", .interfaces = {"pair1"}}});
  if (used.value_or("").empty()) GTEST_SKIP() << kNone;
  EXPECT_THAT(*used, HasSubstr("lo carries the default route\n"));
  EXPECT_THAT(*used, HasSubstr("pair0 carries the default route\n"));
  EXPECT_THAT(*used, Not(HasSubstr("pair1")));
}

TEST_F(DefaultRouteTest, IsFoundWhereverItsWaysGo) {
  const auto used = InUse({{.interfaces = {"pair0", "pair1"}}});
  if (used.value_or("").empty()) GTEST_SKIP() << kNone;
  EXPECT_EQ(used, "\npair0 carries the default route\npair1 carries the default route\n");
}

TEST_F(DefaultRouteTest, IsFoundOfIpv6) {
  if (access("/proc/net/if_inet6", F_OK) != 0) GTEST_SKIP() << "no IPv6";
  const auto used = InUse({{.family = AF_INET6, .interfaces = {"pair1"}}});
  if (used.value_or("").empty()) GTEST_SKIP() << kNone;
  EXPECT_EQ(used, "\npair1 carries the default route\n");
}

}  // namespace
}  // namespace carryover
