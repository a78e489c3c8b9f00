# SPDX-License-Identifier: GPL-2.0-only
"""Applies a series of patches to a tree that is kept, writing only the files that it changes.

What the series does not touch keeps its time stamp, so that make rebuilds only what depends on it.
"""

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from carryover_ci.cache import write_whole
from carryover_ci.run import Failure

_OURS = Path(__file__).parents[1] / "kernel" / "patches"
# Where a tree shows that it preserves vfio-pci's device files by itself.
FEATURE_FILE = "drivers/vfio/pci/Kconfig"
_FEATURE = "VFIO_PCI_LIVEUPDATE"


def patches_for(version: str, folder: Path | None = None) -> list[Path]:
    """The series for kernel `version` ("7.3.4"), in order: ours for 7.3, or all of `folder`.

    Empty if we have none for this version.
    """
    if folder is not None:
        if not folder.is_dir():
            raise Failure(f"{folder}: no such folder of patches")
        series = sorted(folder.glob("*.patch"))
        if not series:
            raise Failure(f"{folder}: no *.patch in it")
        return series
    return sorted((_OURS / _major_minor(version)).glob("*.patch"))


@dataclass(frozen=True)
class Series:
    """The patches for a kernel, and why these."""

    patches: list[Path]
    told: str  # for a person: what is applied to what, or why nothing is


def series_for(version: str, kconfig: Path, named: Path | None, *, needs_feature: bool) -> Series:
    """The series for kernel `version`, with `kconfig` in its FEATURE_FILE; `named` is the user's.

    Ours is not applied to a tree that preserves vfio-pci's files by itself. With `needs_feature`, a
    tree that does not, and for whose version there is no series, is a Failure.
    """
    if named is not None:
        patches = patches_for(version, named)
        return Series(patches, f"{_count(patches)} of {named} on Linux {version}")
    if has_feature(kconfig):
        return Series(
            [], f"Linux {version} preserves vfio-pci's files by itself: no patches of ours"
        )
    patches = patches_for(version)
    if patches:
        return Series(
            patches, f"{_count(patches)} of series {_major_minor(version)} on Linux {version}"
        )
    if needs_feature:
        there = sorted(folder.name for folder in _OURS.iterdir() if any(folder.glob("*.patch")))
        raise Failure(
            f"no patches for Linux {version} in ci/kernel/patches; there are some for "
            f"{', '.join(there) or 'no version'}; give --kernel-patches DIR, or the source of one "
            "of these"
        )
    return Series([], f"no patches for Linux {version}")


def has_feature(kconfig: Path) -> bool:
    """Whether a kernel with this FEATURE_FILE can be asked to preserve vfio-pci's files."""
    text = kconfig.read_text(errors="replace") if kconfig.is_file() else ""
    return re.search(rf"^\s*(?:menu)?config {_FEATURE}\s*$", text, re.MULTILINE) is not None


def _major_minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _count(patches: list[Path]) -> str:
    return f"{len(patches)} patch{'' if len(patches) == 1 else 'es'}"


def touched_files(patch: str) -> set[str]:
    """The files that the text of a patch (as `git format-patch` writes it) reads or writes."""
    names = re.findall(r"^(?:--- |\+\+\+ )[^/\s]+/([^\t\n]+)", patch, re.MULTILINE)
    names += re.findall(r"^(?:rename|copy) (?:from|to) (.+)$", patch, re.MULTILINE)
    return set(names) - {"dev/null", "null"}


def touches_uapi(patch: Path) -> bool:
    """Whether the file of a patch changes what `make headers_install` gives."""
    return any("include/uapi/" in name for name in touched_files(_text(patch)))


class PatchedTree:
    """A kernel tree with a series on it.

    `tree` is the cache's own and is written to. `pristine` has every file as it is without patches:
    a user's tree, or none, in which case originals are set aside in `memory` before they change.
    """

    def __init__(self, tree: Path, memory: Path, pristine: Path | None = None) -> None:
        self._tree = tree
        self._originals = memory / "originals"
        self._changed = memory / "changed"
        self._pristine = pristine

    def pristine(self, name: str) -> Path:
        """Where the file `name` is as it is without patches; it need not exist."""
        original = self._original(name)
        return original if self._pristine or original.exists() else self._tree / name

    def changed_files(self) -> set[str]:
        """The files that may differ from the pristine ones."""
        return set(self._changed.read_text().splitlines()) if self._changed.exists() else set()

    def apply(self, series: list[Path]) -> None:
        """Make the tree what the pristine one with `series` is; Failure if that does not apply."""
        wanted = {name for patch in series for name in touched_files(_text(patch))}
        files = wanted | self.changed_files()
        for name in sorted(files):
            if name.startswith("/") or ".." in Path(name).parts:
                raise Failure(f"a patch names {name}, which is outside of the tree")
            self._set_aside(name)
        with tempfile.TemporaryDirectory() as scratch_name:
            scratch = Path(scratch_name)
            for name in files:
                original = self._original(name)
                if original.is_file():
                    (scratch / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(original, scratch / name)
            for patch in series:
                _apply(patch, scratch)
            write_whole(self._changed, "".join(f"{name}\n" for name in sorted(files)))
            for name in sorted(files):
                self._update(name, scratch / name)
        write_whole(self._changed, "".join(f"{name}\n" for name in sorted(wanted)))

    def _original(self, name: str) -> Path:
        return (self._pristine or self._originals) / name

    def _set_aside(self, name: str) -> None:
        if self._pristine or name in self.changed_files() or not (self._tree / name).is_file():
            return
        write_whole(self._originals / name, (self._tree / name).read_bytes())
        shutil.copymode(self._tree / name, self._originals / name)

    def _update(self, name: str, content: Path) -> None:
        file = self._tree / name
        if content.is_file():
            write_whole(file, content.read_bytes())
            shutil.copymode(content, file)
        else:
            file.unlink(missing_ok=True)


def _text(patch: Path) -> str:
    return patch.read_text(errors="replace")


def _apply(patch: Path, folder: Path) -> None:
    command = [
        "patch",
        "-p1",
        "-s",
        "-f",
        "-F0",
        "--no-backup-if-mismatch",
        "-r",
        "-",
        "-i",
        str(patch.resolve()),
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(
            f"{patch}: does not apply to this kernel source:\n{done.stdout.strip()}\n"
            "Refresh the patch, or give the source that it was made for."
        )
