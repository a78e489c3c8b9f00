// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/access/driver_watch.h"

#include <fmt/format.h>
#include <netlink/errno.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>

#include <cstdlib>
#include <memory>
#include <string_view>

#include "drivers/access/await_readable.h"

namespace carryover {
namespace {

constexpr unsigned kKernelGroup = 1;  // udev's own messages are group 2
constexpr int kReceiveBytes = 1 << 20;

struct FreeBuffer {
  // libnl allocates it by malloc(3).
  void operator()(unsigned char* buffer) const {
    std::free(buffer);  // NOLINT(cppcoreguidelines-no-malloc,cppcoreguidelines-owning-memory)
  }
};

}  // namespace

std::optional<DriverEvent> ParseDriverEvent(std::span<const char> uevent) {
  DriverEvent event;
  bool pci = false;
  bool action = false;
  bool address = false;
  std::string_view rest(uevent.data(), uevent.size());
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\0'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    const std::size_t equals = line.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view key = line.substr(0, equals);
    const std::string_view value = line.substr(equals + 1);
    if (key == "SUBSYSTEM") pci = value == "pci";
    if (key == "DRIVER") event.driver = value;
    if (key == "ACTION") {
      event.bound = value == "bind";
      action = event.bound || value == "unbind";
    }
    if (key == "PCI_SLOT_NAME") {
      const auto parsed = PciAddress::Parse(value);
      address = parsed.has_value();
      if (parsed) event.address = *parsed;
    }
  }
  if (!pci || !action || !address) return std::nullopt;
  return event;
}

Result<DriverWatch> DriverWatch::Open() {
  auto socket = NetlinkSocket::Connect(NETLINK_KOBJECT_UEVENT, kKernelGroup);
  if (!socket) return std::unexpected(socket.error());
  if (const int error = nl_socket_set_buffer_size(socket->get(), kReceiveBytes, 0); error < 0) {
    return FailNetlink(error, "enlarge the receive buffer");
  }
  if (const int error = nl_socket_set_nonblocking(socket->get()); error < 0) {
    return FailNetlink(error, "make the socket not block");
  }
  return DriverWatch(std::move(*socket));
}

Result<DriverEvent> DriverWatch::Next(const PciAddress& address, Deadline deadline) {
  for (;;) {
    if (auto ready = AwaitReadable(socket_.fd(), deadline); !ready) {
      return Fail(ready.error().code,
                  fmt::format("await a driver's event of {}", address.ToString()));
    }
    sockaddr_nl sender{};
    unsigned char* raw = nullptr;
    const int size = nl_recv(socket_.get(), &sender, &raw, nullptr);
    const std::unique_ptr<unsigned char, FreeBuffer> buffer(raw);
    if (size == 0 || size == -NLE_AGAIN) continue;
    if (size == -NLE_NOMEM) return Fail(ENOBUFS, "uevents were lost");
    if (size < 0) return FailNetlink(size, "receive a uevent");
    if (sender.nl_pid != 0) continue;  // another process may send to the group
    const auto event = ParseDriverEvent(
        {reinterpret_cast<const char*>(buffer.get()), static_cast<std::size_t>(size)});
    if (event && event->address == address) return *event;
  }
}

}  // namespace carryover
