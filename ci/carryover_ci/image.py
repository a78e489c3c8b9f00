# SPDX-License-Identifier: GPL-2.0-only
"""ci/image/build: the initramfs of the target, and the folder that is its /boot."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from carryover_ci.cache import cache_root, content_key, lock, new_folder
from carryover_ci.cpio import Archive
from carryover_ci.run import Failure, exit_with, output_of
from carryover_ci.ssh_keys import ssh_keys

_RECIPE = "3"  # to be raised when this file makes another image of the same inputs
_DISK_BYTES = 64 << 20
_ROOT = Path(__file__).parents[1] / "image" / "root"
_BUSYBOX = Path("/bin/busybox")
_DROPBEAR = Path("/usr/sbin/dropbear")


def build_image(program: Path, kernel: Path) -> Path:
    """The image of `program` on the kernel in the result folder `kernel` of ci/kernel/build.

    Returns a folder with `boot/bzImage` and `boot/initramfs`, to be shared with the target as its
    /boot. Made of the same inputs, it is the same folder, at once.
    """
    bzimage = kernel / "bzImage"
    for file in (program, bzimage, _BUSYBOX, _DROPBEAR):
        if not file.is_file():
            raise Failure(
                f"{file}: no such file. ci/setup installs what the image is made of; "
                "--program takes the built program, --kernel the folder that "
                "ci/kernel/build printed."
            )
    modules = _modules(kernel / "modules")
    keys = ssh_keys()
    inputs = sorted(file for file in _ROOT.rglob("*") if file.is_file())
    names = [str(file.relative_to(_ROOT)) for file in inputs]
    key = content_key(
        _RECIPE,
        *names,
        *inputs,
        program,
        bzimage,
        _BUSYBOX,
        _DROPBEAR,
        keys.user_key,
        keys.host_key,
        *modules,
    )
    result = cache_root() / "image" / key
    if not result.exists():
        with lock("image"):
            if not result.exists():
                with new_folder(result) as scratch:
                    boot = scratch / "boot"
                    boot.mkdir()
                    shutil.copyfile(bzimage, boot / "bzImage")
                    archive = _initramfs(program, modules)
                    (boot / "initramfs").write_bytes(_compressed(archive.whole()))
                    # What disks of the bench begin with. QEMU writes to copies of it.
                    with (boot / "disk").open("wb") as disk:
                        disk.truncate(_DISK_BYTES)
    os.utime(result)
    return result


def joined_images(main: Path, others: dict[str, Path]) -> Path:
    """One image of several: `main`, and each of `others` in a folder of its name below boot/."""
    names = sorted(others)
    result = main.with_name(content_key(main.name, *names, *(others[n].name for n in names)))
    if not result.exists():
        with lock("image"):
            if not result.exists():
                with new_folder(result) as scratch:
                    for image, boot in [(main, "boot"), *((others[n], f"boot/{n}") for n in names)]:
                        (scratch / boot).mkdir()
                        for name in ("bzImage", "initramfs", "disk"):
                            os.link(image / "boot" / name, scratch / boot / name)
    os.utime(result)
    return result


def _initramfs(program: Path, modules: list[Path]) -> Archive:
    keys = ssh_keys()
    archive = Archive()
    for folder in ("dev", "proc", "sys", "run", "tmp", "boot", "sbin"):
        archive.add_folder(folder)
    archive.add_folder("root", 0o700)
    archive.add_tree(_ROOT)
    archive.add_file("bin/busybox", _BUSYBOX.read_bytes(), 0o755)
    for applet in output_of([_BUSYBOX, "--list"]).split():
        if applet != "busybox":
            archive.add_link(f"bin/{applet}", "busybox")
    archive.add_link("sbin/init", "../bin/busybox")
    archive.add_file("usr/sbin/dropbear", _DROPBEAR.read_bytes(), 0o755)
    for library in _libraries(_DROPBEAR):
        archive.add_file(str(library).lstrip("/"), library.read_bytes(), 0o755)
    archive.add_file("etc/dropbear/host_key", keys.host_key.read_bytes(), 0o600)
    archive.add_folder("root/.ssh", 0o700)
    public = keys.user_key.with_suffix(".pub")
    archive.add_file("root/.ssh/authorized_keys", public.read_bytes(), 0o600)
    archive.add_file("usr/bin/carryover-selftests", _stripped(program), 0o755)
    archive.add_folder("lib/modules")
    for module in modules:
        archive.add_file(f"lib/modules/{module.name}", module.read_bytes())
    names = "".join(f"/lib/modules/{module.name}\n" for module in modules)
    archive.add_file("etc/modules", names.encode())
    return archive


def _modules(installed: Path) -> list[Path]:
    """All modules below `installed`, those that others need before these (modules.dep(5))."""
    ordered: list[Path] = []
    for table in sorted(installed.glob("lib/modules/*/modules.dep")):
        for line in table.read_text().splitlines():
            module, _, needed = line.partition(":")
            for name in [*reversed(needed.split()), module]:
                if (file := table.parent / name) not in ordered:
                    ordered.append(file)
    return ordered


def _libraries(program: Path) -> list[Path]:
    """The shared libraries of `program` and its loader, by the names it asks for."""
    return [Path(found) for found in re.findall(r"(/\S+) \(0x", output_of(["ldd", program]))]


def _stripped(program: Path) -> bytes:
    """Debug information is of no use on the target, and is hashed and copied at each kexec."""
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / program.name
        output_of(["strip", "-o", output, program])
        return output.read_bytes()


def _compressed(archive: bytes) -> bytes:
    """lz4 in the legacy frame, the one that the kernel reads."""
    lz4 = ["lz4", "-l", "-9", "-c"]
    return subprocess.run(lz4, input=archive, capture_output=True, check=True).stdout


def _main() -> None:
    parser = argparse.ArgumentParser(prog="ci/image/build", description=__doc__)
    parser.add_argument(
        "--program", type=Path, required=True, help="the static carryover-selftests"
    )
    parser.add_argument(
        "--kernel", type=Path, required=True, help="the folder that ci/kernel/build printed"
    )
    arguments = parser.parse_args()
    sys.stdout.write(f"{build_image(arguments.program, arguments.kernel)}\n")


if __name__ == "__main__":
    exit_with(_main, "ci/image/build")
