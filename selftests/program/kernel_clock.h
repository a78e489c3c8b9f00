// SPDX-License-Identifier: GPL-2.0-only
// What the kernel stamps its messages with, held against the counter that runs through a kexec.
#pragma once

#include "selftests/program/event_writer.h"

namespace carryover {

// Writes a record into the kernel's log, at the level of debugging, between two readings of
// ReadTsc(), and says all three as the event `kernel-clock`; so many times. Says nothing if it
// cannot.
void SayKernelClock(EventWriter& events, unsigned times);

}  // namespace carryover
