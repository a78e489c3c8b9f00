# SPDX-License-Identifier: GPL-2.0-only
from pathlib import Path

import pytest

from carryover_ci.kernel_config import as_text, check, merged, read_fragment
from carryover_ci.run import Failure


def fragment(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text)
    return file


def test_values_of_each_kind(tmp_path: Path) -> None:
    text = '# why\n\nCONFIG_A=y\nCONFIG_B=n\n# CONFIG_C is not set\nCONFIG_D="a b"\nCONFIG_E=0x10\n'
    options = read_fragment(fragment(tmp_path, "f", text))
    assert [(option.name, option.value, option.line) for option in options] == [
        ("CONFIG_A", "y", 3),
        ("CONFIG_B", "n", 4),
        ("CONFIG_C", "n", 5),
        ("CONFIG_D", '"a b"', 6),
        ("CONFIG_E", "0x10", 7),
    ]


@pytest.mark.parametrize("line", ["CONFIG_A", "CONFIG_A=yes", "A=y", " CONFIG_A=y", "include x"])
def test_a_line_that_is_no_option(tmp_path: Path, line: str) -> None:
    file = fragment(tmp_path, "f", f"CONFIG_B=y\n{line}\n")
    with pytest.raises(Failure, match=f"{file}:2: "):
        read_fragment(file)


def test_no_such_fragment(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="no such configuration fragment"):
        read_fragment(tmp_path / "none")


def test_the_later_fragment_counts(tmp_path: Path) -> None:
    first = read_fragment(fragment(tmp_path, "1", "CONFIG_A=y\nCONFIG_B=y\n"))
    second = read_fragment(fragment(tmp_path, "2", "CONFIG_A=n\n"))
    assert as_text(merged([first, second])) == "CONFIG_A=n\nCONFIG_B=y\n"


def test_check_names_each_option_that_came_out_otherwise(tmp_path: Path) -> None:
    file = fragment(tmp_path, "f", "CONFIG_A=y\nCONFIG_B=y\nCONFIG_C=n\nCONFIG_D=8\nCONFIG_E=n\n")
    asked = merged([read_fragment(file)])
    check(asked, "CONFIG_A=y\nCONFIG_B=y\n# CONFIG_C is not set\nCONFIG_D=8\n")
    with pytest.raises(Failure) as raised:
        check(asked, "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=y\nCONFIG_D=64\n")
    message = str(raised.value)
    assert f"{file}:2: CONFIG_B=y came out as n" in message
    assert f"{file}:3: CONFIG_C=n came out as y" in message
    assert f"{file}:4: CONFIG_D=8 came out as 64" in message
    assert "CONFIG_A" not in message
    assert "CONFIG_E" not in message


def test_the_base_fragment_can_be_read() -> None:
    base = read_fragment(Path(__file__).parents[1] / "kernel" / "base.config")
    names = [option.name for option in base]
    assert len(names) == len(set(names)), "an option is asked for twice"
    assert "CONFIG_LIVEUPDATE" in names
