# SPDX-License-Identifier: GPL-2.0-only
from pathlib import Path

import pytest

from carryover_ci.image import joined_images


def image(folder: Path, name: str) -> Path:
    boot = folder / "cache" / name / "boot"
    boot.mkdir(parents=True)
    for file in ("bzImage", "initramfs", "disk"):
        (boot / file).write_text(f"{file} of {name}")
    return boot.parent


def test_joined_images_hold_each_image_below_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    main, other = image(tmp_path, "a"), image(tmp_path, "b")
    joined = joined_images(main, {"incoming": other})
    assert (joined / "boot/bzImage").read_text() == "bzImage of a"
    assert (joined / "boot/incoming/bzImage").read_text() == "bzImage of b"
    assert (joined / "boot/incoming/initramfs").read_text() == "initramfs of b"
    assert joined_images(main, {"incoming": other}) == joined
    assert joined_images(main, {"other": other}) != joined
    assert joined_images(other, {"incoming": main}) != joined
