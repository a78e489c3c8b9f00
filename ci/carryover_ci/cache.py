# SPDX-License-Identifier: GPL-2.0-only
"""The cache folder: content keys, locks between processes, results either whole or absent."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_root() -> Path:
    """The folder of all that can be made again: ${XDG_CACHE_HOME:-~/.cache}/carryover."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "carryover"


def content_key(*parts: str | bytes | Path) -> str:
    """A name for what is made from `parts`: 16 hex digits.

    A string or bytes stands for itself, a Path for the content of that file (its name does not
    count). The order of the parts counts, and no two lists of parts share their bytes by chance.
    """
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            with part.open("rb") as file:
                value = hashlib.file_digest(file, "sha256").digest()
        else:
            data = part.encode() if isinstance(part, str) else part
            value = hashlib.sha256(data).digest()
        digest.update(value)
    return digest.hexdigest()[:16]


@contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold the cache's lock `name`; waits as long as another process holds it."""
    folder = cache_root() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def new_folder(result: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `result` in one step if the block ends without an exception.

    The caller holds a lock that keeps others from making the same result.
    """
    result.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{result.name}.", dir=result.parent))
    scratch.chmod(0o755)
    try:
        yield scratch
        scratch.rename(result)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def write_whole(file: Path, content: str | bytes) -> None:
    """Replace `file` in one step, and only if its content changes (its time stamp then stays)."""
    data = content.encode() if isinstance(content, str) else content
    if file.exists() and file.read_bytes() == data:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_name(f".{file.name}.{os.getpid()}")
    scratch.write_bytes(data)
    scratch.rename(file)
