# SPDX-License-Identifier: GPL-2.0-only
"""What stays the same of a report when the same thing goes wrong again, in any build."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

_FIRST = 5
_RIP = re.compile(r"RIP: [0-9a-f]+:(?P<name>[A-Za-z_][\w.]*)\+0x")
_FRAME = re.compile(r"\s+(?P<guess>\? )?(?P<name>[A-Za-z_][\w.]*)\+0x[0-9a-f]+/0x[0-9a-f]+")
# What compilers append to the clones of a function.
_CLONE = re.compile(r"\.(isra|constprop|part|cold|llvm|lto_priv)\b.*")
_NUMBER = re.compile(r"0x[0-9a-f]+|\b(?=[0-9a-f:.]*\d)[0-9a-f:.]+\b")
# Functions that report, and those through which all come that do: they tell nothing apart.
_GENERIC = re.compile(
    "|".join(
        f"(?:{pattern})$"
        for pattern in (
            r"(__)?dump_stack\w*|show_(stack|regs|trace_log_lvl)\w*|sched_show_task",
            r"__warn\w*|__WARN_trap|warn_slowpath\w*|(__)?report_bug\w*|handle_bug|ud_trap|v?panic|nmi_panic",
            r"die|die_addr|__die\w*|oops_(begin|end)|page_fault_oops|(__)?bad_area\w*",
            r"kernelmode_fixup_or_oops|do_user_addr_fault|do_kern_addr_fault|(asm_)?exc_\w+",
            r"print_(report|address_description|memory_metadata)\w*|end_report|(__)?kasan_\w+",
            r"__asan_\w+|check_memory_region|kfence_\w+|__kfence_\w+|(__)?kcsan_\w+|__tsan_\w+",
            r"__ubsan_\w+|ubsan_\w+|refcount_warn_saturate|__list_(add|del)_\w+valid\w*",
            r"debug_(print_object|check_no_obj_freed|object_\w+)|__might_\w+|__schedule_bug",
            r"(__)?schedule\w*|print_\w*(bug|inversion|dependency)\w*|check_(noncircular|prev\w*)",
            r"check_(irq_usage|deadlock|wait_context|flags\S*)|validate_chain|mark_\w*lock\w*",
            r"(__)?lock(dep)?_(acquire|release|rcu_suspicious|stats)\w*|lockdep_\w+",
            r"_raw_\w+lock\w*|_raw_\w+unlock\w*|do_raw_spin_\w+|native_queued_spin_\w+",
            r"(asm_|__)?sysvec_\w+|watchdog_\w+|softlockup_\w+|(__)?hrtimer_\w+|__run_timers",
            r"tick_\w+|update_process_times|rcu_(sched_clock_irq|check_\w+|dump_\w+)|print_cpu_\w+",
            r"nmi_\w+|(asm_|default_)?do_nmi|trigger_\w+backtrace\w*|arch_trigger_\w+",
            r"do_syscall_64|x64_sys_call|entry_SYSCALL_64\w*|ret_from_fork\w*|kthread",
        )
    )
)


def functions(lines: Sequence[str]) -> list[str]:
    """The first functions of the report's first call trace, innermost first; at most five.

    Without offsets, without what compilers append to names, without what reports in general. What
    has no "Call Trace:" (KFENCE) has a stack of indented lines.
    """
    starts = [n for n, line in enumerate(lines) if line.startswith("Call Trace:")]
    traces = [lines[begin:end] for begin, end in pairwise([*starts, len(lines)])]
    rip = [line for line in lines[: starts[0] if starts else 0] if _RIP.match(line)]
    for trace in traces or _stacks(lines):
        if found := _named([*rip[:1], *trace]):
            return found
    return _named(rip or [line for line in lines if _RIP.match(line)])


def _stacks(lines: Sequence[str]) -> list[list[str]]:
    blocks: list[list[str]] = [[]]
    for line in lines:
        if _FRAME.match(line):
            blocks[-1].append(line)
        elif blocks[-1]:
            blocks.append([])
    return blocks


def _named(lines: Iterable[str]) -> list[str]:
    found: list[str] = []
    for line in lines:
        match = _RIP.match(line) or _FRAME.match(line)
        if match is None or match.groupdict().get("guess"):
            continue
        name = _CLONE.sub("", match["name"])
        if not _GENERIC.match(name) and name not in found[-1:]:
            found.append(name)
    return found[:_FIRST]


def fingerprint(kind: str, title: str, lines: Sequence[str]) -> str:
    """``KIND: FUNCTION FUNCTION ...``; of a report without trace, its title without numbers."""
    return f"{kind}: {' '.join(functions(lines)) or _NUMBER.sub('N', title)}"
