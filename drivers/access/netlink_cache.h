// SPDX-License-Identifier: GPL-2.0-only
// What the kernel knows of its network, read at once: libnl's caches.
#pragma once

#include <netlink/cache.h>
#include <netlink/route/link.h>

#include <memory>

#include "drivers/access/netlink_socket.h"

namespace carryover {

struct FreeNetlinkCache {
  void operator()(nl_cache* cache) const { nl_cache_free(cache); }
};
using NetlinkCache = std::unique_ptr<nl_cache, FreeNetlinkCache>;

struct PutNetlinkLink {
  void operator()(rtnl_link* link) const { rtnl_link_put(link); }
};
using NetlinkLink = std::unique_ptr<rtnl_link, PutNetlinkLink>;

// Of the NETLINK_ROUTE socket's network namespace, all address families. Error: EIO.
[[nodiscard]] Result<NetlinkCache> ReadLinks(const NetlinkSocket& socket);
[[nodiscard]] Result<NetlinkCache> ReadAddresses(const NetlinkSocket& socket);
[[nodiscard]] Result<NetlinkCache> ReadRoutes(const NetlinkSocket& socket);

// Calls `visit(Object*)` for each, which is an rtnl_link, rtnl_addr or rtnl_route, as the cache has
// them.
template <typename Object, typename Visit>
void ForEachIn(const NetlinkCache& cache, Visit visit) {
  for (nl_object* object = nl_cache_get_first(cache.get()); object != nullptr;
       object = nl_cache_get_next(object)) {
    visit(reinterpret_cast<Object*>(object));
  }
}

}  // namespace carryover
