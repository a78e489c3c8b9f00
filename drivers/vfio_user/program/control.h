// SPDX-License-Identifier: GPL-2.0-only
// Faults on request: a datagram of JSON to the control socket, answered by another.
//
//   {"hung": true}             nothing more is done; false: goes on
//   {"let_through": 3}         a hung device does three units of its work
//   {"reset_stuck": true}      resets do not end
//   {"fail_next_copy": true}   an error for what is done next
//
// The answer is {"ok": true}, or {"error": "..."}: then nothing was changed.
#pragma once

#include <string>
#include <string_view>

#include "drivers/vfio_user/server.h"

namespace carryover::vfio_user {

// The answer. `model` is null while no QEMU is connected, which is an error.
[[nodiscard]] std::string Request(std::string_view request, DeviceModel* model);

// Receives a request from this datagram socket, does it, and answers whoever sent it.
void ServeControl(int socket, DeviceModel* model, EventLog& log);

}  // namespace carryover::vfio_user
