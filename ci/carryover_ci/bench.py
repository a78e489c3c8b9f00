# SPDX-License-Identifier: GPL-2.0-only
"""ci/bench: build and fetch what is missing, then run the continuity tests on the bench.

All arguments that are not named here are pytest's (-k, -x, --lf, --junitxml, ...), or those of
`carryover run` (--json), whose exit status this command has: 0 good, 1 a kernel failed, 2 bad
input, or the bench cannot be set up, 3 the harness failed, 130 interrupted. Results go to
out/bench/.
"""

import argparse
import os
import shlex
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from carryover_ci.accel import accelerator
from carryover_ci.cache import cache_root
from carryover_ci.image import build_image, joined_images
from carryover_ci.kernel import (
    REFERENCE_HELP,
    STREAM_HELP,
    KernelChoice,
    add_kernel_options,
    kernel_choice,
)
from carryover_ci.program import ROOT, build_program, model_of, peer_of
from carryover_ci.progress import Progress
from carryover_ci.qemu import setup_qemu
from carryover_ci.repeat import repeat
from carryover_ci.run import exit_with
from carryover_ci.ssh_keys import ssh_keys
from carryover_ci.tsc import tsc_khz

# A kernel boots a fifth faster on this one than on `max`, with whose features it takes code paths
# that cost an emulator more than they save. rdrand: the SSH server waits for entropy; sha-ni: a
# kexec hashes.
_EMULATED_CPU = "Nehalem,+x2apic,+pdpe1gb,+rdrand,+sha-ni"

# As much translated code as one kernel needs (MiB). A kexec overwrites what the kernels before were
# translated from, and each block of it is then thrown away by itself; a full cache is at once.
_EMULATOR = "tcg,tb-size=48"

# Modes of VT-d: what is added to QEMU's intel-iommu, and to the kernels' command lines.
_VTD = {
    "legacy": ("", ""),
    "scalable": (",scalable-mode=on", "intel_iommu=sm_on"),
    "first-stage": (",scalable-mode=on,fsts=on", "intel_iommu=sm_on"),
}


def _claims(*claims: str) -> tuple[str, ...]:
    return tuple(f"--carryover-claim={claim}" for claim in claims)


# Of the runner: what the kernels claim, and where.
REFERENCE_OPTIONS = _claims("memory", "file")
# Not `file`: its tests are of devices that are reset at the kexec.
STREAM_OPTIONS = (
    *_claims("memory", "mapping", "stream"),
    f"--target={ROOT / 'ci' / 'streams.yaml'}",
)

_VARIANTS = ROOT / "ci" / "kernel" / "variants"

_DEBUG_CONFIG = ROOT / "ci" / "kernel" / "debug.config"
# The incoming kernel begins in KHO's scratch memory, where KASAN's shadow has to fit, too; the size
# that KHO chooses by itself does not fit into the machine.
_DEBUG_OPTIONS = ["--carryover-time-scale=5", "--carryover-boot-append=kho_scratch=64M,256M,1300M"]


@dataclass(frozen=True)
class Bench:
    """All that a run on the bench needs."""

    qemu: Path
    program: Path
    image: Path
    accelerator: str
    memory: str = "2G"  # of the target
    vtd: str = "legacy"
    versions: Path | None = None  # the boot folder of version_images()

    def environment(self) -> dict[str, str]:
        """What ci/bench.yaml refers to."""
        boot = self.image / "boot"
        keys = ssh_keys()
        versions = {"CARRYOVER_VERSIONS": str(self.versions)} if self.versions else {}
        return {
            **versions,
            "CARRYOVER_QEMU": str(self.qemu),
            "CARRYOVER_KERNEL": str(boot / "bzImage"),
            "CARRYOVER_INITRAMFS": str(boot / "initramfs"),
            "CARRYOVER_BOOT": str(boot),
            "CARRYOVER_SSH_KEY": str(keys.user_key),
            "CARRYOVER_KNOWN_HOSTS": str(keys.known_hosts),
            "CARRYOVER_ACCEL": _EMULATOR if self.accelerator == "tcg" else self.accelerator,
            "CARRYOVER_CPU": "host" if self.accelerator == "kvm" else _EMULATED_CPU,
            "CARRYOVER_MEMORY": self.memory,
            "CARRYOVER_CLOCK": self._clock(),
            "CARRYOVER_VTD": _VTD[self.vtd][0],
            "CARRYOVER_PROGRAM": str(self.program),
            "CARRYOVER_MODEL": str(model_of(self.program)),
            "CARRYOVER_PEER": str(peer_of(self.program)),
        }

    def _clock(self) -> str:
        """An emulated machine has this one's time stamp counter, which it should not measure: at a
        busy moment the result is wrong by any factor, and so is the guest's clock ever after."""
        if self.accelerator != "tcg":
            return "tsc=reliable"
        return f"tsc=reliable tsc_early_khz={tsc_khz()}"


def prepare(
    kernel: KernelChoice, qemu: str | None, progress: Progress, incoming: Path | None = None
) -> Bench:
    """Everything built and fetched, as much of it at once as can be.

    `incoming` is the result folder of another kernel, to kexec into; it is /boot/incoming then. The
    first failure is raised when the steps that had begun have ended.
    """
    with ThreadPoolExecutor() as pool:
        qemu_ready = pool.submit(setup_qemu, qemu, progress)
        program_ready: Future[Path] = pool.submit(
            lambda: build_program(kernel.headers(progress), "release", progress, kernel.jobs)
        )
        kernel_ready = pool.submit(kernel.build, progress)
        built = kernel_ready.result()
        accel_ready = pool.submit(accelerator, qemu_ready.result(), built / "bzImage", progress)
        program = program_ready.result()
        image = build_image(program, built)
        if incoming is not None:
            image = joined_images(image, {"incoming": build_image(program, incoming)})
        return Bench(qemu_ready.result(), program, image, accel_ready.result())


def with_versions(bench: Bench, kernel: KernelChoice, progress: Progress) -> Bench:
    """The bench, and the kernels that differ in what they carry over, for the runner's tests."""
    reference, streaming = kernel.as_reference(), kernel.as_streaming()
    kernels = {
        "plain": kernel,
        "poisoning": kernel.with_fragment(_VARIANTS / "page-poisoning.config"),
        "reference": reference,
        "another-abi": reference.with_patch(_VARIANTS / "luo-another-version.patch"),
        "stream": streaming,
        **{
            name: streaming.with_patch(_VARIANTS / f"{name}.patch")
            for name in (
                "bridge-loses-master",
                "others-keep-master",
                "others-keep-translation",
                "stopped-too-late",
                "tables-stay-preserved",
            )
        },
    }
    images = {
        name: build_image(bench.program, choice.build(progress)) for name, choice in kernels.items()
    }
    return replace(bench, versions=joined_images(bench.image, images) / "boot")


def runner_command(bench: Bench, arguments: list[str]) -> list[str]:
    """`carryover run` on the bench."""
    return [
        sys.executable,
        "-m",
        "carryover",
        "run",
        "--target",
        str(ROOT / "ci" / "bench.yaml"),
        "--program",
        str(bench.program),
        f"--rootdir={ROOT}",
        "-c",
        str(ROOT / "runner" / "pyproject.toml"),
        "-o",
        f"cache_dir={cache_root() / 'pytest'}",
        "--carryover-out",
        str(ROOT / "out" / "bench"),
        *arguments,
    ]


def exports(environment: dict[str, str]) -> str:
    """Lines for a shell that set these variables."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())


def runner_tests_command(_: Bench, arguments: list[str]) -> list[str]:
    """pytest on those of the runner's own tests that need the bench."""
    runner = ROOT / "runner"
    settings = ["-c", str(runner / "pyproject.toml"), f"--rootdir={runner}"]
    options = ["-m", "bench", "-p", "no:cacheprovider", *settings]
    return [sys.executable, "-m", "pytest", *options, str(runner / "tests"), *arguments]


def _main() -> None:
    parser = argparse.ArgumentParser(prog="ci/bench", description=__doc__, allow_abbrev=False)
    parser.add_argument("--qemu", metavar="BINARY", help="a QEMU of your own")
    add_kernel_options(parser, "kernel-")
    series = parser.add_mutually_exclusive_group()
    series.add_argument(
        "--reference",
        action="store_true",
        help=f"{REFERENCE_HELP}; its claims are tested",
    )
    series.add_argument(
        "--stream",
        action="store_true",
        help=f"{STREAM_HELP}; its claims are tested, on the devices of ci/streams.yaml",
    )
    parser.add_argument(
        "--memory", metavar="SIZE", help="of the target (default: 2G, with --debug 6G)"
    )
    parser.add_argument(
        "--vtd",
        choices=_VTD,
        default="legacy",
        help="mode of the IOMMU: legacy (default), scalable with second-stage page tables, or with "
        "first-stage ones",
    )
    parser.add_argument(
        "--debug",
        action="store_true",
        help="a kernel that looks for faults of its own (ci/kernel/debug.config); several times "
        "slower",
    )
    parser.add_argument(
        "--incoming",
        type=Path,
        metavar="DIR",
        help="kexec into another kernel than the machine boots: what ci/kernel/build printed",
    )
    parser.add_argument(
        "--runner-tests",
        action="store_true",
        help="run the runner's own tests that cause each verdict for real, instead",
    )
    parser.add_argument(
        "--repeat",
        type=int,
        metavar="N",
        help="run it all N times, to find what fails now and then; results go to out/repeat/",
    )
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="J", help="of these, J at once (default: 1)"
    )
    parser.add_argument(
        "--setup-only", action="store_true", help="build and fetch what is missing, run nothing"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run in --carryover-out that was cut short; all other arguments as it "
        "had them",
    )
    arguments, for_pytest = parser.parse_known_args()
    if arguments.repeat is not None and arguments.runner_tests:
        parser.error("--repeat is not for --runner-tests")
    if arguments.resume:
        if arguments.repeat is not None or arguments.runner_tests:
            parser.error("--resume is not for --repeat and --runner-tests")
        for_pytest += ["--resume"]
    if arguments.jobs < 1 or (arguments.repeat is not None and arguments.repeat < 1):
        parser.error("--repeat and --jobs take a number of 1 or more")
    kernel = kernel_choice(arguments, "kernel-")
    if arguments.reference:
        kernel = kernel.as_reference()
        for_pytest += REFERENCE_OPTIONS
    if arguments.stream:
        kernel = kernel.as_streaming()
        for_pytest = [*STREAM_OPTIONS, *for_pytest]  # another target comes later, and counts
    if arguments.debug:
        kernel = kernel.with_fragment(_DEBUG_CONFIG)
        for_pytest += _DEBUG_OPTIONS
    if words := _VTD[arguments.vtd][1]:
        for_pytest += [f"--carryover-boot-append={words}"]
    if arguments.incoming:
        for_pytest += ["--carryover-kernel=/boot/incoming/bzImage"]
        for_pytest += ["--carryover-initrd=/boot/incoming/initramfs"]
    os.environ.setdefault("CARRYOVER_STARTED", str(time.time()))
    progress = Progress()
    bench = prepare(kernel, arguments.qemu, progress, arguments.incoming)
    memory = arguments.memory or ("6G" if arguments.debug else "2G")
    bench = replace(bench, memory=memory, vtd=arguments.vtd)
    if arguments.runner_tests:
        bench = with_versions(bench, kernel_choice(arguments, "kernel-"), progress)
    environment = bench.environment()
    os.environ.update(environment)
    if arguments.setup_only:
        sys.stdout.write(exports(environment))
        return
    if arguments.repeat:
        good = repeat(
            lambda out: runner_command(bench, [*for_pytest, "--carryover-out", str(out)]),
            arguments.repeat,
            arguments.jobs,
            progress,
            selected=any(word.startswith("-k") for word in for_pytest),
        )
        sys.exit(0 if good else 1)
    command_of = runner_tests_command if arguments.runner_tests else runner_command
    command = command_of(bench, for_pytest)
    sys.stdout.flush()
    os.execv(command[0], command)


if __name__ == "__main__":
    exit_with(_main, "ci/bench", failure=2, broken=3)
