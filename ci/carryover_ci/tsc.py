# SPDX-License-Identifier: GPL-2.0-only
"""How fast the time stamp counter of this machine runs.

QEMU's emulator gives the guest the host's counter. A kernel that measures it while the host is busy
can be wrong by a factor of fifty, and its clock then is as well, for as long as it runs: so the
bench tells the kernel (tsc_early_khz).
"""

import ctypes
import mmap
import time

_WINDOW_S = 0.05
_LOOKS = 20
# rdtsc; shl rdx, 32; or rax, rdx; ret (Intel SDM, volume 2, RDTSC)
_READ_TSC = bytes.fromhex("0f31 48c1e220 4809d0 c3")


def tsc_khz() -> int:
    """The frequency of the counter in kHz, within a few millionths on an idle machine.

    Two looks at counter and clock, a twentieth of a second apart. Each is the quickest of several,
    as the process can be interrupted between the two.
    """
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(_READ_TSC)
    code = (ctypes.c_char * len(_READ_TSC)).from_buffer(page)
    try:
        read = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(code))
        first_ticks, first_ns = _look(read)
        while time.monotonic_ns() - first_ns < _WINDOW_S * 1e9:
            pass
        last_ticks, last_ns = _look(read)
        return round((last_ticks - first_ticks) * 1_000_000 / (last_ns - first_ns))
    finally:
        del code  # the mapping cannot be closed while something points into it
        page.close()


def _look(read: "ctypes._FuncPointer") -> tuple[int, int]:
    """Counter and clock (ns) at the same moment, as nearly as can be."""
    best: tuple[int, int, int] | None = None
    for _ in range(_LOOKS):
        before = time.monotonic_ns()
        ticks = read()
        after = time.monotonic_ns()
        if best is None or after - before < best[0]:
            best = (after - before, ticks, (before + after) // 2)
    assert best is not None
    return best[1], best[2]
