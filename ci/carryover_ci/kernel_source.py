# SPDX-License-Identifier: GPL-2.0-only
"""The source of the kernel under test: Debian's newest in the cache, or a user's tree."""

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from carryover_ci.apt import PrivateApt
from carryover_ci.cache import cache_root, content_key, lock, new_folder
from carryover_ci.kernel_patches import FEATURE_FILE, PatchedTree, series_for, touches_uapi
from carryover_ci.progress import Progress, Step
from carryover_ci.run import Failure, output_of

_WANTED = "linux-source-7.3"
_ANY = "linux-source-[0-9]+.[0-9]+"


@dataclass(frozen=True)
class KernelSource:
    """A tree to be built, out of tree, while it is prepared()."""

    tree: Path
    version: str  # as the top Makefile has it, e.g. "7.3.4"
    identity: str | None  # the same for the same content; None if only make can tell (a user's)
    uapi: str | None  # likewise, for the content of its UAPI headers
    output: Path  # the O= folder that belongs to this tree
    prepare: Callable[[Progress], None] | None = None  # makes `tree` what it should be

    @contextmanager
    def prepared(self, progress: Progress) -> Iterator[None]:
        """The tree has its patches, and nobody gives it others, until the end."""
        if self.prepare is None:
            yield
            return
        with lock("kernel-source"):
            self.prepare(progress)
            yield


def kernel_source(
    given: Path | None,
    patches: Path | None,
    more: list[Path],
    progress: Progress,
    *,
    reference: bool = False,
) -> KernelSource:
    """The user's tree `given`, else Debian's, with its series of patches applied, then `more`.

    A user's tree is never written to, and gets patches only if they are named, or with `reference`:
    that is a kernel which preserves vfio-pci's files, by our patches if not by itself.
    """
    if given is None:
        return _debian_source(patches, more, progress, reference=reference)
    tree = given.resolve()
    version = version_of(tree)
    _check_clean(tree)
    key = content_key("user", str(tree))
    output = cache_root() / "kernel" / "output" / key
    ours: list[Path] = []
    if patches is not None or reference:
        chosen = series_for(version, tree / FEATURE_FILE, patches, needs_feature=reference)
        progress.tell("patches", chosen.told)
        ours = chosen.patches
    series = [*ours, *more]
    if not series:
        return KernelSource(tree, version, None, None, output)
    folder = cache_root() / "kernel" / "source" / f"user-{key}"
    copy = partial(_patched_copy, tree, folder, series)
    patched = output.with_name(f"{key}-patched")
    return KernelSource(folder / "tree", version, None, None, patched, copy)


def _patched_copy(tree: Path, folder: Path, series: list[Path], progress: Progress) -> None:
    with progress.step("source") as step:
        step.update(f"copying what is new in {tree}")
        patched = PatchedTree(folder / "tree", folder, pristine=tree)
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / "kept-by-rsync"
        kept.write_text("".join(f"/{name}\n" for name in patched.changed_files()))
        output_of(
            [
                "rsync",
                "-a",
                "--delete",
                "--exclude=/.git",
                f"--exclude-from={kept}",
                f"{tree}/",
                f"{folder / 'tree'}/",
            ]
        )
        patched.apply(series)


def _debian_source(
    patches: Path | None, more: list[Path], progress: Progress, *, reference: bool
) -> KernelSource:
    folder = _unpacked()
    if folder is None:
        with lock("kernel-source"):
            folder = _unpacked()
            if folder is None:
                with progress.step("source") as step:
                    folder = _fetch(step)
    tree = folder / "tree"
    version = version_of(tree)
    kconfig = PatchedTree(tree, folder).pristine(FEATURE_FILE)
    chosen = series_for(version, kconfig, patches, needs_feature=reference)
    progress.tell("patches", chosen.told)
    series = [*chosen.patches, *more]
    for patch in series:
        if not patch.is_file():
            raise Failure(f"{patch}: no such patch")
    output = cache_root() / "kernel" / "output" / folder.name
    uapi = content_key(folder.name, *filter(touches_uapi, series))
    identity = content_key(folder.name, *series)

    def prepare(_: Progress) -> None:
        PatchedTree(tree, folder).apply(series)

    return KernelSource(tree, version, identity, uapi, output, prepare)


def _unpacked() -> Path | None:
    found = sorted(
        (cache_root() / "kernel" / "source").glob("linux-source-*"),
        key=lambda folder: (folder.name.startswith(_WANTED), folder.name),
    )
    return found[-1] if found else None


def _fetch(step: Step) -> Path:
    step.update("reading the package lists of trixie-backports")
    with lock("apt"):
        apt = PrivateApt()
        apt.update()
        try:
            package, version = apt.newest(re.escape(_WANTED))
        except Failure:
            package, version = apt.newest(_ANY)
        note = "" if package == _WANTED else f" ({_WANTED} is gone; this is the newest there is)"
        result = cache_root() / "kernel" / "source" / f"{package}_{version}"
        with tempfile.TemporaryDirectory(dir=cache_root()) as scratch_name:
            scratch = Path(scratch_name)
            step.update(f"downloading {package} {version}{note}")
            deb = apt.download(package, version, scratch)
            step.update(f"unpacking {package} {version}{note}")
            output_of(["dpkg-deb", "-x", deb, scratch / "package"])
            deb.unlink()
            archive = next((scratch / "package/usr/src").glob("linux-source-*.tar.*"))
            with new_folder(result) as folder:
                (folder / "tree").mkdir()
                output_of(
                    [
                        "tar",
                        "-x",
                        "-f",
                        archive,
                        "-C",
                        folder / "tree",
                        "--strip-components=1",
                        "-I",
                        "xz -d -T0",
                    ]
                )
            shutil.rmtree(scratch / "package")
    step.update(f"{package} {version}{note}")
    return result


def version_of(tree: Path) -> str:
    """The version in the top Makefile, "7.3.4"; Failure if `tree` is no kernel source."""
    makefile = tree / "Makefile"
    text = makefile.read_text(errors="replace") if makefile.is_file() else ""
    fields = dict(re.findall(r"^(VERSION|PATCHLEVEL|SUBLEVEL) *= *(\d+) *$", text, re.MULTILINE))
    if len(fields) != 3 or not (tree / "Kbuild").is_file() or not (tree / "Kconfig").is_file():
        raise Failure(
            f"{tree}: not the top folder of a Linux kernel source (no Makefile with "
            "VERSION, PATCHLEVEL and SUBLEVEL, Kbuild and Kconfig)"
        )
    return f"{fields['VERSION']}.{fields['PATCHLEVEL']}.{fields['SUBLEVEL']}"


def _check_clean(tree: Path) -> None:
    for name in (".config", "include/config", "arch/x86/include/generated"):
        if (tree / name).exists():
            raise Failure(
                f"{tree}: holds the output of a build ({name}), with which no kernel can "
                f"be built outside of it. Clean it with: make -C {tree} mrproper"
            )
