# SPDX-License-Identifier: GPL-2.0-only
"""Builds the kernel under test out of tree, and installs its UAPI headers."""

import os
import re
import shutil
import time
from collections import deque
from pathlib import Path

from carryover_ci import kernel_config
from carryover_ci.cache import cache_root, content_key, lock, new_folder, write_whole
from carryover_ci.kernel_source import KernelSource
from carryover_ci.progress import Progress, Step
from carryover_ci.run import Failure, output_of, run_logged

_RECIPE = "3"  # to be raised when this file makes another result of the same inputs
_HEADERS_RECIPE = "1"
_BASE = Path(__file__).parents[1] / "kernel" / "base.config"
_USUAL_OBJECTS = 1300  # what the base configuration compiles, for the first progress display
_COMPILED = re.compile(r"  (?:CC|AS|LDS|HOSTCC) ")
_ERROR = re.compile(r"\berror\b|\bError \d|undefined reference|No such file", re.IGNORECASE)


def install_headers(source: KernelSource, progress: Progress) -> Path:
    """The include folder of `make headers_install` of `source`."""
    key = content_key(_HEADERS_RECIPE, source.uapi or str(source.tree))
    result = cache_root() / "kernel" / "headers" / key
    if source.uapi and result.exists():
        return result / "include"
    with lock(f"headers-{key}"):
        if source.uapi and result.exists():
            return result / "include"
        with source.prepared(progress), progress.step("headers") as step:
            step.update("make headers_install")
            output = cache_root() / "kernel" / "output" / f"headers-{key}"
            if source.uapi is None:
                # A user's tree may have changed. Headers that did not keep their time stamps, so
                # that programs built with them are not built again.
                usr = output / "usr"
                output_of(
                    make_command(source, output, "headers_install", f"INSTALL_HDR_PATH={usr}")
                )
                result.mkdir(parents=True, exist_ok=True)
                output_of(
                    [
                        "rsync",
                        "-r",
                        "--checksum",
                        "--delete",
                        f"{usr}/include/",
                        f"{result}/include/",
                    ]
                )
            else:
                with new_folder(result) as scratch:
                    output_of(
                        make_command(
                            source, output, "headers_install", f"INSTALL_HDR_PATH={scratch}"
                        )
                    )
                shutil.rmtree(output, ignore_errors=True)
    return result / "include"


def build_kernel(
    source: KernelSource, fragments: list[Path], jobs: int, progress: Progress
) -> Path:
    """The folder with bzImage, vmlinux, config, release, modules/ and include/ of the kernel.

    The base configuration with `fragments` added; every option of them is checked.
    """
    asked = asked_options(fragments)
    result: Path | None = None
    if source.identity:
        result = result_folder(source.identity, asked)
        if result.exists():
            return result
    include = install_headers(source, progress)
    with lock(f"kernel-{source.output.name}"):
        if result is not None and result.exists():
            return result
        with source.prepared(progress), progress.step("kernel") as step:
            step.update(f"configuring {source.version}")
            configure(source, asked)
            kernel_config.check(asked, (source.output / ".config").read_text())
            _compile(source, jobs, step)
            return _collect(source, result, include)


def result_folder(identity: str, asked: dict[str, kernel_config.Option]) -> Path:
    """Where the kernel of a source of this identity is, once it is built with these options."""
    compiler = output_of(["gcc", "-dumpfullversion"]).strip()
    key = content_key(_RECIPE, identity, compiler, kernel_config.as_text(asked))
    return cache_root() / "kernel" / "result" / key


def keep_log(failure: Failure, source: KernelSource, log: Path) -> str:
    """Writes why a kernel did not build to `log`, and returns it.

    What the compiler said is copied to make.log beside it: the next build writes over it.
    """
    text = str(failure)
    whole = source.output / "build.log"
    if str(whole) in text:
        text = text.replace(str(whole), str(shutil.copyfile(whole, log.with_name("make.log"))))
    log.write_text(f"{text}\n")
    return text


def asked_options(fragments: list[Path]) -> dict[str, kernel_config.Option]:
    """The base configuration with `fragments` added."""
    return kernel_config.merged(kernel_config.read_fragment(f) for f in [_BASE, *fragments])


def configure(source: KernelSource, asked: dict[str, kernel_config.Option]) -> None:
    """Writes .config into the output folder: what was asked for, as far as this kernel has it."""
    output = source.output
    output.mkdir(parents=True, exist_ok=True)
    write_whole(output / "asked.config", kernel_config.as_text(asked))
    output_of(
        make_command(
            source, output, "-s", "allnoconfig", f"KCONFIG_ALLCONFIG={output}/asked.config"
        )
    )


def _compile(source: KernelSource, jobs: int, step: Step) -> None:
    log = source.output / "build.log"
    count_file = source.output / "objects"
    usual = int(count_file.read_text()) if count_file.exists() else _USUAL_OBJECTS
    compiled = 0
    errors: deque[str] = deque(maxlen=12)
    last: deque[str] = deque(maxlen=12)
    command = make_command(source, source.output, f"-j{jobs}")
    started = time.monotonic()

    def on_line(line: str) -> None:
        nonlocal compiled
        last.append(line)
        if _ERROR.search(line):
            errors.append(line)
        if _COMPILED.match(line):
            compiled += 1
            step.update(f"compiled {compiled} of about {max(usual, compiled)} objects")

    if run_logged(command, log, on_line) != 0:
        raise Failure(
            f"the kernel did not build:\n{''.join(errors or last).rstrip()}\nAll of it: {log}"
        )
    if compiled > usual or not count_file.exists():
        write_whole(count_file, str(compiled))
    step.update(f"{compiled} objects compiled in {time.monotonic() - started:.0f} s")


def _collect(source: KernelSource, result: Path | None, include: Path) -> Path:
    output = source.output
    bzimage = output / "arch/x86/boot/bzImage"
    if result is None:
        key = content_key(_RECIPE, bzimage, output / ".config", str(include))
        result = cache_root() / "kernel" / "result" / f"user-{key}"
        if result.exists():
            return result
    with new_folder(result) as scratch:
        shutil.copyfile(bzimage, scratch / "bzImage")
        shutil.copyfile(output / "vmlinux", scratch / "vmlinux")
        shutil.copyfile(output / ".config", scratch / "config")
        shutil.copyfile(output / "include/config/kernel.release", scratch / "release")
        _install_modules(source, scratch)
        (scratch / "include").symlink_to(include)
    return result


def _install_modules(source: KernelSource, result: Path) -> None:
    """modules/lib/modules/RELEASE, stripped, with what modprobe reads; empty without modules."""
    (result / "modules").mkdir()
    if "CONFIG_MODULES=y" in (source.output / ".config").read_text().splitlines():
        where = [f"INSTALL_MOD_PATH={result / 'modules'}", "INSTALL_MOD_STRIP=1"]
        output_of(make_command(source, source.output, "-s", "modules_install", *where))
        for link in (result / "modules").rglob("build"):
            link.unlink()


def make_command(source: KernelSource, output: Path, *arguments: str) -> list[str]:
    """make, in an environment in which the same source gives the same kernel, whoever builds it."""
    built = time.gmtime((source.tree / "Makefile").stat().st_mtime)
    environment = {
        "KBUILD_BUILD_USER": "carryover",
        "KBUILD_BUILD_HOST": "bench",
        "KBUILD_BUILD_TIMESTAMP": time.strftime("%Y-%m-%d", built),
        "CCACHE_DIR": os.environ.get("CCACHE_DIR", str(cache_root() / "ccache")),
        # Not CCACHE_DEPEND: it does not see .incbin, by which the kernel is put into bzImage, and
        # serves the kernel of before when the two have the same size compressed. The namespace
        # leaves behind what was cached that way.
        "CCACHE_NAMESPACE": "kernel",
        "LC_ALL": "C",
    }
    compiler = ["CC=ccache gcc", "HOSTCC=ccache gcc"] if shutil.which("ccache") else []
    return [
        "env",
        "-u",
        "ARCH",
        "-u",
        "KBUILD_OUTPUT",
        "-u",
        "MAKEFLAGS",
        *(f"{name}={value}" for name, value in environment.items()),
        "make",
        "-C",
        str(source.tree),
        f"O={output}",
        "ARCH=x86_64",
        "LOCALVERSION=",
        *compiler,
        *arguments,
    ]
