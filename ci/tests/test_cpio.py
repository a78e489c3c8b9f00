# SPDX-License-Identifier: GPL-2.0-only
import shutil
import subprocess
from pathlib import Path

import pytest

from carryover_ci.cpio import Archive


def sample() -> Archive:
    archive = Archive()
    archive.add_file("usr/bin/odd", b"12345", 0o755)
    archive.add_folder("root", 0o700)
    archive.add_link("bin", "usr/bin/")
    return archive


def test_same_input_same_bytes() -> None:
    assert sample().whole() == sample().whole()
    assert len(sample().whole()) % 512 == 0


def test_folders_come_once_and_first() -> None:
    archive = sample()
    archive.add_file("usr/bin/other", b"")
    data = archive.whole()
    assert data.count(b"usr/bin\0") == 1
    assert data.index(b"usr\0") < data.index(b"usr/bin\0") < data.index(b"usr/bin/odd\0")


@pytest.mark.skipif(not shutil.which("cpio"), reason="no cpio to read the archive with")
def test_cpio_reads_it(tmp_path: Path) -> None:
    command = ["cpio", "-i", "--quiet", "--no-preserve-owner"]
    subprocess.run(command, input=sample().whole(), cwd=tmp_path, check=True)
    assert (tmp_path / "usr/bin/odd").read_bytes() == b"12345"
    assert (tmp_path / "usr/bin/odd").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "root").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "bin").readlink() == Path("usr/bin")
