// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/netlink_cache.h"

#include <netlink/route/addr.h>
#include <netlink/route/route.h>
#include <sys/socket.h>

namespace carryover {
namespace {

Result<NetlinkCache> Read(int error, nl_cache* cache, std::string_view what) {
  if (error < 0) return FailNetlink(error, what);
  return NetlinkCache(cache);
}

}  // namespace

Result<NetlinkCache> ReadLinks(const NetlinkSocket& socket) {
  nl_cache* cache = nullptr;
  const int error = rtnl_link_alloc_cache(socket.get(), AF_UNSPEC, &cache);
  return Read(error, cache, "read the links");
}

Result<NetlinkCache> ReadAddresses(const NetlinkSocket& socket) {
  nl_cache* cache = nullptr;
  const int error = rtnl_addr_alloc_cache(socket.get(), &cache);
  return Read(error, cache, "read the addresses");
}

Result<NetlinkCache> ReadRoutes(const NetlinkSocket& socket) {
  nl_cache* cache = nullptr;
  const int error = rtnl_route_alloc_cache(socket.get(), AF_UNSPEC, 0, &cache);
  return Read(error, cache, "read the routes");
}

}  // namespace carryover
