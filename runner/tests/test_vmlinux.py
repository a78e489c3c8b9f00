# SPDX-License-Identifier: GPL-2.0-only
"""Functions of a report get their source lines, from the kernel's own vmlinux."""

from __future__ import annotations

import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import FakeBench

from carryover.errors import BadInput
from carryover.kernel.fingerprint import functions
from carryover.kernel.vmlinux import Vmlinux

BANNER = "Linux version 7.3.4-fake (fake)"
MAIN = f"""
const char banner[] = "{BANNER}\\n";
int start_kernel(void) {{ return banner[0]; }}
int main(void) {{ return start_kernel(); }}
"""
LUO = """
volatile int tokens;
static __attribute__((noinline)) int twice(int a) { return a + tokens; }
int luo_file_freeze(int a)
{
  tokens = a;
  return twice(a) + 1;
}
"""
OTHER = """
static __attribute__((noinline)) int twice(int a) { for (int i = 0; i < a; i++) a *= 3; return a; }
int other(int a) { return twice(a) + 1; }
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("tree")
    for name, text in [("init/main", MAIN), ("kernel/luo", LUO), ("kernel/other", OTHER)]:
        source = tree / f"{name}.c"
        source.parent.mkdir(exist_ok=True)
        source.write_text(text)
    sources = [str(path) for path in sorted(tree.rglob("*.c"))]
    subprocess.run(["gcc", "-g", "-O1", *sources, "-o", tree / "vmlinux"], check=True)
    return tree / "vmlinux"


def sizes(built: Path) -> dict[str, list[int]]:
    """Up to the next symbol, as the kernel has them."""
    out = subprocess.run(["nm", "-n", built], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in out.splitlines() if len(line.split()) == 3]
    code = [(int(row[0], 16), row[2]) for row in rows if row[1] in "TtWw"]
    found: dict[str, list[int]] = {}
    for (start, name), (following, _) in pairwise(code):
        found.setdefault(name, []).append(following - start)
    return found


def test_a_function_gets_its_line(built: Path) -> None:
    (size,) = sizes(built)["luo_file_freeze"]
    line = f" luo_file_freeze+0x{size - 1:x}/0x{size:x}"
    (decoded,) = Vmlinux.open(built).decode([line])
    assert decoded.startswith(f"{line} (kernel/luo.c:")
    assert functions(["Call Trace:", decoded]) == ["luo_file_freeze"]


def test_of_two_functions_of_a_name_the_size_tells_which(built: Path) -> None:
    first, second = sizes(built)["twice"]
    assert first != second
    lines = [f" twice+0x1/0x{first:x}", f" twice+0x1/0x{second:x}"]
    places = [line.split("(")[-1] for line in Vmlinux.open(built).decode(lines)]
    assert {place.partition(":")[0] for place in places} == {"kernel/luo.c", "kernel/other.c"}


@pytest.mark.parametrize(
    "line",
    [
        "no function",
        " unheard_of+0x1/0x2",
        " luo_file_freeze+0x1/0x7777",
        " luo_file_freeze+0x1/0x2 [igb]",
    ],
)
def test_what_is_of_another_kernel_stays_as_it_is(built: Path, line: str) -> None:
    assert Vmlinux.open(built).decode([line]) == [line]


def test_whose_it_is(built: Path) -> None:
    vmlinux = Vmlinux.open(built)
    assert vmlinux.is_of(BANNER)
    assert not vmlinux.is_of("Linux version 7.3.5 (fake)")
    assert not vmlinux.is_of("")


def test_what_is_no_vmlinux_is_refused(built: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"):
        Vmlinux.open(tmp_path / "vmlinux")
    image = tmp_path / "bzImage"
    image.write_bytes(b"MZ" + bytes(100))
    with pytest.raises(BadInput, match=r"bzImage: this is no vmlinux.*give the vmlinux"):
        Vmlinux.open(image)
    stripped = tmp_path / "stripped"
    subprocess.run(["strip", "-g", built, "-o", stripped], check=True)
    with pytest.raises(BadInput, match="it has no source lines; build the kernel with"):
        Vmlinux.open(stripped)


def test_a_run_decodes_what_its_kernel_said(fake: FakeBench, built: Path) -> None:
    (size,) = sizes(built)["luo_file_freeze"]
    fake.variables["CARRYOVER_FAKE_BOOT_FAULT"] = (
        f"BUG: KASAN: use-after-free in luo_file_freeze+0x1/0x{size:x}"
    )
    run = fake.run("--carryover-vmlinux", str(built), "-k", "Memory and Passes")
    lines = [r["lines"][0] for r in run.records if r["event"] == "kernel-fault"]
    assert lines
    assert all(re.search(r" \(kernel/luo\.c:\d+\)$", line) for line in lines)


def test_a_run_with_what_is_no_vmlinux(fake: FakeBench) -> None:
    run = fake.run("--carryover-vmlinux", str(fake.program), "-k", "Memory and Passes")
    assert run.status == pytest.ExitCode.USAGE_ERROR
    assert "this is no vmlinux" in run.output
    assert "Traceback" not in run.output
