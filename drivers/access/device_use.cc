// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/device_use.h"

#include <fmt/format.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>

namespace carryover {
namespace {

namespace fs = std::filesystem;

struct FreeSocket {
  void operator()(nl_sock* socket) const { nl_socket_free(socket); }
};
struct FreeCache {
  void operator()(nl_cache* cache) const { nl_cache_free(cache); }
};
using Cache = std::unique_ptr<nl_cache, FreeCache>;

std::unexpected<Error> FailNetlink(int error, std::string_view what) {
  return Fail(EIO, fmt::format("rtnetlink: {}: {}", what, nl_geterror(error)));
}

template <typename Visit>
void ForEach(const Cache& cache, Visit visit) {
  for (nl_object* object = nl_cache_get_first(cache.get()); object != nullptr;
       object = nl_cache_get_next(object)) {
    visit(object);
  }
}

// "CLIENT PORT SERVER PORT": the third word is the address this side is reached by.
std::string SshLocalAddress(const std::string& ssh_connection) {
  std::istringstream words(ssh_connection);
  std::string word;
  for (int i = 0; i < 3; ++i) words >> word;
  return word;
}

std::string AddressText(nl_addr* address) {
  std::array<char, 128> text{};
  nl_addr2str(address, text.data(), text.size());
  const std::string with_prefix(text.data());
  return with_prefix.substr(0, with_prefix.find('/'));
}

Result<void> ReadInterfaces(const std::string& ssh_connection, MachineUse& use) {
  const std::unique_ptr<nl_sock, FreeSocket> socket(nl_socket_alloc());
  if (!socket) return Fail(ENOMEM, "rtnetlink socket");
  if (const int error = nl_connect(socket.get(), NETLINK_ROUTE); error < 0) {
    return FailNetlink(error, "connect");
  }
  nl_cache* raw = nullptr;
  if (const int error = rtnl_link_alloc_cache(socket.get(), AF_UNSPEC, &raw); error < 0) {
    return FailNetlink(error, "links");
  }
  const Cache links(raw);
  if (const int error = rtnl_route_alloc_cache(socket.get(), AF_UNSPEC, 0, &raw); error < 0) {
    return FailNetlink(error, "routes");
  }
  const Cache routes(raw);
  if (const int error = rtnl_addr_alloc_cache(socket.get(), &raw); error < 0) {
    return FailNetlink(error, "addresses");
  }
  const Cache addresses(raw);

  const auto add = [&](int index, const std::string& what) {
    std::array<char, 64> name{};
    if (rtnl_link_i2name(links.get(), index, name.data(), name.size()) != nullptr) {
      use.interfaces.emplace_back(name.data(), what);
    }
  };
  ForEach(routes, [&](nl_object* object) {
    auto* const route = reinterpret_cast<rtnl_route*>(object);
    nl_addr* const destination = rtnl_route_get_dst(route);
    if (rtnl_route_get_type(route) != RTN_UNICAST) return;
    if (destination != nullptr && nl_addr_get_prefixlen(destination) != 0) return;
    for (int i = 0; i < rtnl_route_get_nnexthops(route); ++i) {
      add(rtnl_route_nh_get_ifindex(rtnl_route_nexthop_n(route, i)), "the default route");
    }
  });
  const std::string local = SshLocalAddress(ssh_connection);
  ForEach(addresses, [&](nl_object* object) {
    auto* const address = reinterpret_cast<rtnl_addr*>(object);
    if (!local.empty() && AddressText(rtnl_addr_get_local(address)) == local) {
      add(rtnl_addr_get_ifindex(address), "the SSH connection");
    }
  });
  return {};
}

// proc(5): field 3 is the device number, field 5 the mount point, the source stands after " - type ".
void ReadBlockDevices(MachineUse& use) {
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream fields(line);
    std::array<std::string, 5> head;
    for (std::string& field : head) fields >> field;
    std::error_code error;
    const fs::path device = fs::read_symlink("/sys/dev/block/" + head[2], error);
    if (!error) use.block_devices.emplace_back(device.filename().string(), "mounted on " + head[4]);
  }
  std::ifstream swaps("/proc/swaps");
  std::string line;
  std::getline(swaps, line);  // heading
  while (std::getline(swaps, line)) {
    const fs::path device = line.substr(0, line.find_first_of(" \t"));
    std::error_code error;
    use.block_devices.emplace_back(fs::weakly_canonical(device, error).filename().string(),
                                   "used as swap");
  }
}

// The interface itself and the real ones below it (bond, bridge, VLAN): sysfs links them as lower_*.
std::set<std::string> WithLower(const fs::path& folder, const std::string& name,
                                std::string_view prefix) {
  std::set<std::string> names{name};
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder / name, error)) {
    const std::string file = entry.path().filename().string();
    if (file.starts_with(prefix)) names.merge(WithLower(folder, file.substr(prefix.size()), prefix));
  }
  return names;
}

// The disk of a partition and the devices that dm, md or bcache stand on.
std::set<std::string> BlockWithSlaves(const fs::path& sys, const std::string& name) {
  std::set<std::string> names{name};
  std::error_code error;
  const fs::path folder = fs::canonical(sys / "class/block" / name, error);
  if (error) return names;
  for (const auto& slave : fs::directory_iterator(folder / "slaves", error)) {
    names.merge(BlockWithSlaves(sys, slave.path().filename().string()));
  }
  return names;
}

// True if the real path of a sysfs object runs through the function.
bool Below(const fs::path& object, const fs::path& function) {
  std::error_code error;
  const std::string path = fs::canonical(object, error).string();
  if (error) return false;
  const std::string above = fs::canonical(function, error).string();
  return !error && path.starts_with(above + "/");
}

std::optional<std::string> WhyFunctionInUse(const Sysfs& sysfs, const PciAddress& address,
                                            const MachineUse& use) {
  const fs::path function = sysfs.FunctionPath(address);
  for (const auto& [interface, what] : use.interfaces) {
    for (const std::string& lower :
         WithLower(sysfs.root() / "class/net", interface, "lower_")) {
      if (Below(sysfs.root() / "class/net" / lower, function)) {
        return fmt::format("its interface {} carries {}", lower, what);
      }
    }
  }
  for (const auto& [device, what] : use.block_devices) {
    for (const std::string& lower : BlockWithSlaves(sysfs.root(), device)) {
      if (Below(sysfs.root() / "class/block" / lower, function)) {
        return fmt::format("its block device {} is {}", lower, what);
      }
    }
  }
  return std::nullopt;
}

}  // namespace

Result<MachineUse> ReadMachineUse(const std::string& ssh_connection) {
  MachineUse use;
  if (auto read = ReadInterfaces(ssh_connection, use); !read) return std::unexpected(read.error());
  ReadBlockDevices(use);
  return use;
}

std::optional<std::string> WhyInUse(const Sysfs& sysfs, const PciAddress& address,
                                    const MachineUse& use) {
  if (auto reason = WhyFunctionInUse(sysfs, address, use)) return reason;
  for (const PciAddress& mate : sysfs.GroupMates(address)) {
    if (auto reason = WhyFunctionInUse(sysfs, mate, use)) {
      return fmt::format("it shares its IOMMU group with {}, and {}", mate.ToString(), *reason);
    }
  }
  return std::nullopt;
}

std::optional<std::string> WhyInUse(const Sysfs& sysfs, const PciAddress& address) {
  const char* ssh = std::getenv("SSH_CONNECTION");  // NOLINT(concurrency-mt-unsafe): before threads
  const auto use = ReadMachineUse(ssh == nullptr ? "" : ssh);
  if (!use) return use.error().ToString();
  return WhyInUse(sysfs, address, *use);
}

}  // namespace carryover
