# SPDX-License-Identifier: GPL-2.0-only
"""The gap of kexecs, for a person."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from carryover.gap.gap import PARTS, WANTED_ERROR, Clock, Device, Figure, Gaps, Kexec

_BLOCKS = " ▁▂▃▄▅▆▇█"
_UNKNOWN = Text("not known", "yellow")
_BAR = 40  # columns


def gap_text(gaps: Gaps) -> RenderableType:
    """Of one kexec its time line, of several what each part was at the median and at worst."""
    blocks: list[RenderableType] = []
    if len(gaps.kexecs) == 1:
        blocks += _one(gaps.kexecs[0])
    else:
        blocks += [_several(gaps), Text(), _devices_of_several(gaps)]
    blocks += [Text(), *_clocks(gaps.kexecs)]
    return Group(*blocks)


def _one(kexec: Kexec) -> Iterator[RenderableType]:
    yield Text(_name(kexec), "bold")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("part", "begins", "takes"):
        table.add_column(name, justify="left" if name == "part" else "right", no_wrap=True)
    table.add_column("")
    scale = max(kexec.whole_ms, 1e-9) / _BAR
    origin = min(at for at in kexec.steps.values() if at is not None)
    for name, begin, _ in PARTS:
        at, length = kexec.steps[begin], kexec.parts[name]
        bar = ""
        if at is not None and length is not None:
            bar = " " * int((at - origin) / scale) + "█" * max(1, round(length / scale))
        table.add_row(name, _ms(at), _ms(length), bar)
    table.add_row(Text("whole", "bold"), "", _ms(kexec.whole_ms))
    table.add_row(Text("without user space", "bold"), "", _ms(kexec.no_user_space_ms))
    table.add_row(Text("without a driver", "bold"), "", _ms(kexec.no_driver_ms))
    yield table
    if not kexec.devices:
        return
    yield Text()
    devices = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("device", "longest gap", "lost", "from", "to", "during", "test"):
        devices.add_column(name, justify="right" if name in ("longest gap", "lost") else "left")
    for device in kexec.devices:
        devices.add_row(
            device.address or "",
            _ms(device.longest_ms),
            _lost(device.lost, device.entries),
            _ms(device.begin_ms),
            _ms(device.end_ms),
            _during(device),
            device.test,
        )
    yield devices


def _name(kexec: Kexec) -> str:
    return f"{kexec.run}: kexec {kexec.kexec} of power cycle {kexec.cycle}"


def _during(device: Device) -> Text | str:
    if device.begin_ms is None:
        return _UNKNOWN
    return ", ".join(device.during) or ("before it" if device.begin_ms < 0 else "after it")


def _several(gaps: Gaps) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("part", "kexecs", "median", "worst", "from", "histogram", "to"):
        left = name in ("part", "histogram")
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    for name, figure in gaps.parts().items():
        table.add_row(name, *_figure(figure))
    return table


def _devices_of_several(gaps: Gaps) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    names = ("device", "kexecs", "longest gap, median", "worst", "from", "histogram", "to")
    for name in (*names, "lost", "test"):
        left = name in ("device", "histogram", "test")
        table.add_column(name, justify="left" if left else "right")
    for (test, address), found in gaps.devices().items():
        lost = _lost(found.lost, found.entries)
        table.add_row(address, *_figure(found.longest_ms), lost, test)
    return table


def _figure(figure: Figure | None) -> list[Text | str]:
    if figure is None:
        return ["0", _UNKNOWN, _UNKNOWN, "", "", ""]
    low, high = figure.histogram[0][0], figure.histogram[-1][1]
    return [
        str(figure.count),
        _ms(figure.median),
        _ms(figure.worst),
        _ms(low),
        _bars([count for _, _, count in figure.histogram]),
        _ms(high),
    ]


def _bars(counts: list[int]) -> str:
    most = max(counts)
    steps = len(_BLOCKS) - 1
    return "".join(_BLOCKS[-(-count * steps // most)] for count in counts)


def _lost(lost: int | None, entries: int | None) -> Text | str:
    if lost is None:
        return _UNKNOWN
    of = "" if entries is None else f" of {entries:,}"
    return Text(f"{lost:,}{of}", "bold red" if lost else "")


def _ms(value: float | None) -> Text | str:
    return _UNKNOWN if value is None else f"{value:,.3f} ms"


def _clocks(kexecs: list[Kexec]) -> Iterator[RenderableType]:
    for kexec in kexecs:
        unknown = kexec.whole_ms - kexec.known_ms
        where = _name(kexec) if len(kexecs) > 1 else "clock"
        if kexec.clock.remark:
            yield Text(f"{where}: {kexec.clock.remark}", "yellow")
        if unknown > 0.01 * kexec.whole_ms:
            yield Text(f"{where}: {unknown:,.3f} ms are in parts that are not known", "yellow")
    worst = max(kexecs, key=lambda kexec: kexec.clock.error_ms or 0.0).clock
    yield from _clock(worst, several=len(kexecs) > 1)


def _clock(clock: Clock, *, several: bool) -> Iterator[RenderableType]:
    if clock.error_ms is None:
        yield Text("how far the time line is from the controller's clock is not known", "yellow")
        return
    at_worst = ", at worst" if several else ""
    style = "" if clock.error_ms <= WANTED_ERROR else "yellow"
    above = "" if clock.error_ms <= WANTED_ERROR else f": that is above {WANTED_ERROR:g} ms"
    text = f"steps lie within {clock.error_ms:.3f} ms on the controller's clock{at_worst}{above}"
    yield Text(text, style)
    if clock.step_ms:
        low, high = clock.step_ms
        yield Text(
            f"the counter that both kernels have in common stepped by {low:+.3f} to {high:+.3f} ms "
            "at the kexec, as far as the controller can tell"
        )
