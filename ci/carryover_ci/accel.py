# SPDX-License-Identifier: GPL-2.0-only
"""ci/qemu/accel: whether this host's KVM really runs the kernel, found by trying.

/dev/kvm can be there and open and still not run an ordinary kernel (nested and paravirtual hosts).
"""

import argparse
import os
import select
import subprocess
import sys
import time
from pathlib import Path

from carryover_ci.cache import cache_root, content_key, lock, write_whole
from carryover_ci.progress import Progress
from carryover_ci.qemu import setup_qemu
from carryover_ci.run import Failure, exit_with

_PATIENCE_S = 5.0
_SIGN_OF_LIFE = b"Linux version"


def accelerator(qemu: Path, bzimage: Path, progress: Progress, again: bool = False) -> str:
    """`kvm` if `bzimage` prints its first line under KVM within a few seconds, else `tcg`.

    The answer is remembered for this host's kernel, this QEMU and this state of /dev/kvm, unless
    `again`.
    """
    kvm = Path("/dev/kvm")
    if not os.access(kvm, os.R_OK | os.W_OK):
        return "tcg"
    state = kvm.stat()
    key = content_key(
        os.uname().release,
        os.uname().version,
        str(qemu),
        str(qemu.stat().st_mtime_ns),
        f"{state.st_mode} {state.st_rdev}",
    )
    remembered = cache_root() / "accel" / key
    if remembered.exists() and not again:
        return remembered.read_text()
    if not bzimage.is_file():
        raise Failure(
            f"{bzimage}: no such file. Give the bzImage that is to be run, such as "
            "the one in the folder that ci/kernel/build prints."
        )
    with lock("accel"), progress.step("kvm") as step:
        step.update("does it run the kernel?")
        answer = "kvm" if _lives(qemu, bzimage) else "tcg"
        step.update(f"{answer} (remembered; ci/qemu/accel --again tries again)")
        write_whole(remembered, answer)
    return answer


def _lives(qemu: Path, bzimage: Path) -> bool:
    command = [
        str(qemu),
        "-machine",
        "q35,kernel-irqchip=split",
        "-accel",
        "kvm",
        "-cpu",
        "host",
        "-smp",
        "2",
        "-m",
        "512M",
        "-nodefaults",
        "-display",
        "none",
        "-no-reboot",
        "-kernel",
        str(bzimage),
        "-append",
        "console=ttyS0 panic=-1",
        "-serial",
        "stdio",
    ]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        deadline = time.monotonic() + _PATIENCE_S
        seen = b""
        try:
            while (left := deadline - time.monotonic()) > 0:
                if not select.select([process.stdout], [], [], left)[0]:
                    return False
                chunk = os.read(process.stdout.fileno(), 4096)
                if not chunk:
                    return False
                seen += chunk
                if _SIGN_OF_LIFE in seen:
                    return True
            return False
        finally:
            process.kill()


def _main() -> None:
    parser = argparse.ArgumentParser(prog="ci/qemu/accel", description=__doc__)
    parser.add_argument("kernel", type=Path, metavar="KERNEL", help="a bzImage")
    parser.add_argument("--qemu", metavar="BINARY", help="a QEMU of your own")
    parser.add_argument("--again", action="store_true", help="forget what was found, try again")
    arguments = parser.parse_args()
    progress = Progress()
    qemu = setup_qemu(arguments.qemu, progress)
    sys.stdout.write(f"{accelerator(qemu, arguments.kernel, progress, arguments.again)}\n")


if __name__ == "__main__":
    exit_with(_main, "ci/qemu/accel")
