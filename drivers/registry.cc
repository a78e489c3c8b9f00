// SPDX-License-Identifier: GPL-2.0-only
#include "drivers/registry.h"

#include <algorithm>
#include <array>

#include "drivers/dmac/dmac.h"
#include "drivers/dsa/dsa.h"
#include "drivers/e1000e/e1000e.h"
#include "drivers/edu/edu.h"
#include "drivers/igb/igb.h"
#include "drivers/ioat/ioat.h"
#include "drivers/nvme/nvme.h"
#include "drivers/virtio/virtio.h"

namespace carryover {
namespace {

template <typename Matches>
const DriverEntry* First(Matches matches) {
  const auto drivers = Drivers();
  const auto found = std::ranges::find_if(drivers, matches);
  return found == drivers.end() ? nullptr : *found;
}

}  // namespace

std::span<const DriverEntry* const> Drivers() {
  static const std::array kDrivers{&dmac::Entry(), &dsa::Entry(),   &e1000e::Entry(),
                                   &edu::Entry(),  &igb::Entry(),   &ioat::Entry(),
                                   &nvme::Entry(), &virtio::Entry()};
  return kDrivers;
}

std::string DriverNames() {
  std::string names;
  for (const DriverEntry* entry : Drivers()) {
    if (!names.empty()) names += ", ";
    names += entry->name;
  }
  return names;
}

const DriverEntry* FindDriver(std::string_view name) {
  return First([name](const DriverEntry* entry) { return entry->name == name; });
}

const DriverEntry* DriverFor(const PciKind& kind) {
  return First([&kind](const DriverEntry* entry) { return entry->probe(kind); });
}

}  // namespace carryover
