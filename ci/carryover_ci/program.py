# SPDX-License-Identifier: GPL-2.0-only
"""ci/build: the C++ side, by CMake preset, with the UAPI headers of the kernel under test.

Prints the path of carryover-selftests.
"""

import argparse
import json
import os
import re
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from carryover_ci.cache import cache_root, lock
from carryover_ci.kernel import add_kernel_options, kernel_choice
from carryover_ci.progress import Progress, Step
from carryover_ci.run import Failure, exit_with, output_of, run_logged

ROOT = Path(__file__).parents[2]
_NINJA = re.compile(r"\[(\d+)/(\d+)\]")
_BROKEN = re.compile(r"^FAILED|\berror\b|CMake Error|undefined reference", re.IGNORECASE)


def build_program(
    include: Path,
    preset: str,
    progress: Progress,
    jobs: int | None = None,
    target: str = "",
) -> Path:
    """carryover-selftests, built by CMake preset `preset` against the UAPI headers in `include`.

    In the release preset only what the bench needs is built: that, carryover-model (model_of()) and
    carryover-peer (peer_of()). In others everything is. Or `target` alone: there may be no program.
    """
    # The bench needs no unit tests, and its user should not wait for them.
    programs = ["carryover-selftests", "carryover-model", "carryover-peer"]
    targets = [target] if target else programs if preset == "release" else ["all"]
    with _configured(include, preset, progress) as (folder, step):
        parallel = ["-j", str(jobs)] if jobs else []
        command = ["cmake", "--build", "--preset", preset, *parallel, "--target", *targets]
        _run(command, folder, step)
        program = folder / "selftests" / "carryover-selftests"
        if not target and not program.is_file():
            raise Failure(f"{program}: was not built; see selftests/CMakeLists.txt")
        return program


def configure_program(include: Path, preset: str, progress: Progress) -> Path:
    """The build folder of CMake preset `preset`, in which nothing need have been built."""
    with _configured(include, preset, progress) as (folder, _):
        return folder


def model_of(program: Path) -> Path:
    """The carryover-model that was built with this carryover-selftests."""
    return program.parents[1] / "drivers" / "vfio_user" / "carryover-model"


def peer_of(program: Path) -> Path:
    """The carryover-peer that was built with this carryover-selftests."""
    return program.parents[1] / "fixtures" / "traffic_peer" / "carryover-peer"


def tests_of(program: Path) -> list[dict[str, Any]]:
    """The `test` events of `list` (docs/protocol.md), in the order in which the tests run."""
    events = [json.loads(line) for line in output_of([program, "list", "--json"]).splitlines()]
    return [event for event in events if event["event"] == "test"]


@contextmanager
def _configured(include: Path, preset: str, progress: Progress) -> Iterator[tuple[Path, Step]]:
    """The preset's build folder, which nobody else builds in until the end."""
    folder = ROOT / "build" / preset
    cache = folder / "CMakeCache.txt"
    headers = f"CARRYOVER_UAPI_HEADERS:PATH={include}"
    name = f"program ({preset})" if preset != "release" else "program"
    with lock("program"), progress.step(name) as step:
        if (
            not cache.exists()
            or headers not in cache.read_text().splitlines()
            or not (folder / "build.ninja").exists()
        ):
            step.update("configuring")
            words = [f"-D{headers}", "-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"]
            _run(["cmake", "--preset", preset, *words], folder, step)
        yield folder, step


def _run(command: list[str], folder: Path, step: Step) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "carryover-build.log"
    lines: deque[str] = deque(maxlen=400)
    environment = dict(os.environ)
    environment.setdefault("CCACHE_DIR", str(cache_root() / "ccache"))

    def on_line(line: str) -> None:
        lines.append(line)
        if match := _NINJA.match(line):
            step.update(f"{match[1]} of {match[2]} steps")

    if run_logged(command, log, on_line, folder=ROOT, environment=environment) != 0:
        said = list(lines)
        first = next((i for i, line in enumerate(said) if _BROKEN.search(line)), len(said) - 15)
        raise Failure(
            f"{' '.join(command)} failed:\n"
            f"{''.join(said[max(first, 0) :][:20]).rstrip()}\nAll of it: {log}"
        )


def _main() -> None:
    parser = argparse.ArgumentParser(prog="ci/build", description=__doc__)
    parser.add_argument("--preset", choices=("release", "debug", "sanitize"), default="release")
    add_kernel_options(parser, "kernel-")
    arguments = parser.parse_args()
    progress = Progress()
    include = kernel_choice(arguments, "kernel-").headers(progress)
    sys.stdout.write(f"{build_program(include, arguments.preset, progress)}\n")


if __name__ == "__main__":
    exit_with(_main, "ci/build")
