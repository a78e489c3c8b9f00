// SPDX-License-Identifier: GPL-2.0-only
#include <fmt/format.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>

#include <array>
#include <sstream>

#include "drivers/access/machine_use.h"
#include "drivers/access/netlink_cache.h"

namespace carryover {
namespace {

// "CLIENT PORT SERVER PORT": the third word is the address that this side is reached by.
std::string SshLocalAddress(const std::string& ssh_connection) {
  std::istringstream words(ssh_connection);
  std::string word;
  for (int i = 0; i < 3; ++i) words >> word;
  word = word.substr(0, word.find('%'));  // the zone of a link-local address
  constexpr std::string_view kMapped = "::ffff:";
  const bool ipv4 = word.starts_with(kMapped) && word.find('.') != std::string::npos;
  return ipv4 ? word.substr(kMapped.size()) : word;
}

std::string AddressText(nl_addr* address) {
  if (address == nullptr) return {};
  std::array<char, 128> text{};
  const std::string with_prefix(nl_addr2str(address, text.data(), text.size()));
  return with_prefix.substr(0, with_prefix.find('/'));
}

bool IsDefault(rtnl_route* route) {
  nl_addr* const destination = rtnl_route_get_dst(route);
  return rtnl_route_get_type(route) == RTN_UNICAST &&
         (destination == nullptr || nl_addr_get_prefixlen(destination) == 0);
}

}  // namespace

Result<std::vector<Use>> InterfacesInUse(const std::string& ssh_connection) {
  auto socket = NetlinkSocket::Connect(NETLINK_ROUTE);
  if (!socket) return std::unexpected(socket.error());
  const auto links = ReadLinks(*socket);
  if (!links) return std::unexpected(links.error());
  const auto routes = ReadRoutes(*socket);
  if (!routes) return std::unexpected(routes.error());
  const auto addresses = ReadAddresses(*socket);
  if (!addresses) return std::unexpected(addresses.error());

  std::vector<Use> used;
  const auto add = [&](int index, const std::string& what) {
    std::array<char, 64> name{};
    if (rtnl_link_i2name(links->get(), index, name.data(), name.size()) == nullptr) return false;
    used.push_back({name.data(), what});
    return true;
  };
  ForEachIn<rtnl_route>(*routes, [&](rtnl_route* route) {
    if (!IsDefault(route)) return;
    for (int i = 0; i < rtnl_route_get_nnexthops(route); ++i) {
      (void)add(rtnl_route_nh_get_ifindex(rtnl_route_nexthop_n(route, i)),
                "carries the default route");
    }
  });
  const std::string local = SshLocalAddress(ssh_connection);
  if (local.empty()) return used;
  bool found = false;
  ForEachIn<rtnl_addr>(*addresses, [&](rtnl_addr* address) {
    if (AddressText(rtnl_addr_get_local(address)) != local) return;
    found = add(rtnl_addr_get_ifindex(address), "carries the SSH connection") || found;
  });
  if (!found) {
    return Fail(
        EADDRNOTAVAIL,
        fmt::format("SSH_CONNECTION says that this machine is reached at {}, which is on no "
                    "interface: unset it if it is stale",
                    local));
  }
  return used;
}

}  // namespace carryover
