# SPDX-License-Identifier: GPL-2.0-only
"""ci/qemu/setup: a QEMU that has what the bench needs, whatever the distribution's own lacks.

It lies with its libraries in the cache and is started by a wrapper script through its own loader,
so that nothing of the system is touched and one path is enough to name it.
"""

import argparse
import shutil
import stat
import sys
from pathlib import Path

from carryover_ci.apt import PrivateApt
from carryover_ci.cache import cache_root, content_key, lock, new_folder
from carryover_ci.progress import Progress
from carryover_ci.run import Failure, exit_with, output_of

_RECIPE = "1"
_BACKPORTS = ("qemu-system-x86", "qemu-system-common", "qemu-system-data", "seabios")
_DEVICES = ("igb", "intel-iommu", "virtio-9p-pci", "virtio-net-pci", "pcie-root-port")

_WRAPPER = """#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
root={root}
exec "$root/usr/lib64/ld-linux-x86-64.so.2" --library-path "$root/usr/lib/x86_64-linux-gnu" \\
    "$root/usr/bin/qemu-system-x86_64" -L "$root/usr/share/qemu" -L "$root/usr/share/seabios" "$@"
"""


def setup_qemu(binary: str | None, progress: Progress) -> Path:
    """A QEMU that is known to have the bench's devices: the user's `binary`, else the cache's."""
    if binary:
        return _users_own(binary)
    result = cache_root() / "qemu" / content_key(_RECIPE, *_BACKPORTS, _WRAPPER)
    wrapper = result / "qemu-system-x86_64"
    if not result.exists():
        with lock("qemu"):
            if not result.exists():
                with progress.step("qemu") as step, new_folder(result) as scratch:
                    step.update("downloading")
                    with lock("apt"):
                        apt = PrivateApt()
                        apt.update()
                        backports = [f"{name}/trixie-backports" for name in _BACKPORTS]
                        packages = apt.download_with_dependencies([*backports, "ipxe-qemu"])
                    for package in packages:
                        step.update(f"unpacking {package.name}")
                        output_of(["dpkg-deb", "-x", package, scratch / "root"])
                        package.unlink()
                    for file in ("usr/share/doc", "usr/share/man", "usr/share/locale"):
                        shutil.rmtree(scratch / "root" / file, ignore_errors=True)
                    _write_wrapper(scratch, scratch)
                    _check_devices(scratch / wrapper.name)
                    _write_wrapper(scratch, result)
    return wrapper


def _write_wrapper(folder: Path, final: Path) -> None:
    script = folder / "qemu-system-x86_64"
    quoted = "'" + str(final / "root").replace("'", "'\\''") + "'"
    script.write_text(_WRAPPER.format(root=quoted))
    script.chmod(0o755)


def _users_own(binary: str) -> Path:
    found = shutil.which(binary)
    if not found or not Path(found).stat().st_mode & stat.S_IXUSR:
        raise Failure(
            f"{binary}: no such program. --qemu takes a qemu-system-x86_64 of your own; "
            "leave it out for the one that ci/qemu/setup fetches."
        )
    path = Path(found).resolve()
    key = content_key(str(path), str(path.stat().st_mtime_ns))
    checked = cache_root() / "qemu" / f"checked-{key}"
    if not checked.exists():
        _check_devices(path)
        checked.parent.mkdir(parents=True, exist_ok=True)
        checked.touch()
    return path


def _check_devices(qemu: Path) -> None:
    known = output_of([qemu, "-machine", "q35", "-device", "help"])
    missing = [name for name in _DEVICES if f'name "{name}"' not in known]
    if missing:
        raise Failure(
            f"{qemu}: this QEMU has no device {', '.join(missing)}. The bench needs "
            "QEMU 8.0 or newer, built with virtfs; ci/qemu/setup fetches one."
        )


def _main() -> None:
    parser = argparse.ArgumentParser(prog="ci/qemu/setup", description=__doc__)
    parser.add_argument("--qemu", metavar="BINARY", help="use this QEMU, after checking it")
    arguments = parser.parse_args()
    sys.stdout.write(f"{setup_qemu(arguments.qemu, Progress())}\n")


if __name__ == "__main__":
    exit_with(_main, "ci/qemu/setup")
