# SPDX-License-Identifier: GPL-2.0-only
"""The one table of messages that the runner knows, and what each means."""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from carryover.kernel.literals import literals


class Meaning(enum.Enum):
    """What a line says about the machine."""

    PANIC = "panic"  # the kernel has stopped for good
    PANIC_END = "panic-end"  # ... and has said all about it
    ABI = "abi"  # the incoming kernel does not understand what was handed over
    ABI_PANIC = "abi-panic"  # ... and has stopped for that
    FAULT = "fault"  # oops, lockup, warning, what a debug kernel finds; the kernel goes on
    DEVICE = "device"  # a device has done what it must not, by the IOMMU or the bus
    HANDOVER = "handover"  # something could not be handed over, or taken over
    NOTICE = "notice"  # good to know
    FIRMWARE = "firmware"  # the machine went through a reset
    KERNEL = "kernel"  # a kernel begins
    INIT = "init"  # ... and starts user space
    KHO_COUNT = "kho-count"
    LUO_NUMBER = "luo-number"
    FREEZE_FAILED = "freeze-failed"
    TARGET_READY = "target-ready"


class Severity(enum.IntEnum):
    """How bad it is, worst first. A run with anything but notices is not a good one."""

    FATAL = 0  # the kernel has stopped, or has killed what it was running
    FAULT = 1  # the kernel or a device has done what it must not
    HANDOVER = 2  # something could not be handed over, or taken over
    NOTICE = 3  # good to know

    @property
    def word(self) -> str:
        """As outputs have it."""
        return self.name.lower()


class Ending(enum.Enum):
    """Where a report ends that begins with a line of the table."""

    LINE = "with that line"
    DEVICE = "with the device's indented lines"
    TRACE = "with its call traces"
    BACKTRACE = "with the trace after `stack backtrace:`"
    END_TRACE = "with `---[ end trace`"
    RULE = "with a line of `=`"
    END_PANIC = "with `---[ end Kernel panic`"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of report that the kernel makes.

    Attributes:
        name: In the words of the field.
        severity: How bad it is.
        ending: Where it ends.
    """

    name: str
    severity: Severity
    ending: Ending


@dataclass(frozen=True, slots=True)
class KernelMessage:
    """A line that the table knows.

    Attributes:
        meaning: What it says about the machine.
        text: The line without its time stamp.
        values: Named parts of it, e.g. ``count``.
        kind: The kind of report that begins with it; None if none does.
    """

    meaning: Meaning
    text: str
    values: dict[str, str]
    kind: Kind | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table.

    Attributes:
        meaning: What lines of this form say.
        pattern: Their form, without time stamp.
        source: Where they are printed: in Linux's tree, unless it says otherwise.
        example: A line of this form, as it is printed.
        kind: The kind of report that begins so; None if none does.
    """

    meaning: Meaning
    pattern: str
    source: str
    example: str
    kind: Kind | None = None
    compiled: re.Pattern[str] = field(init=False)
    literals: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "compiled", re.compile(self.pattern))
        object.__setattr__(self, "literals", literals(self.pattern))

    def may_match(self, text: str) -> bool:
        """False if no line of the text can be of this form; quickly."""
        return any(literal in text for literal in self.literals)


def _fault(name: str, ending: Ending, pattern: str, source: str, example: str) -> Row:
    return Row(Meaning.FAULT, pattern, source, example, Kind(name, Severity.FAULT, ending))


def _device(name: str, ending: Ending, pattern: str, source: str, example: str) -> Row:
    return Row(Meaning.DEVICE, pattern, source, example, Kind(name, Severity.FAULT, ending))


def _fatal(name: str, ending: Ending, pattern: str, source: str, example: str) -> Row:
    return Row(Meaning.FAULT, pattern, source, example, Kind(name, Severity.FATAL, ending))


def _handover(name: str, pattern: str, source: str, example: str) -> Row:
    kind = Kind(name, Severity.HANDOVER, Ending.LINE)
    return Row(Meaning.HANDOVER, pattern, source, example, kind)


def _notice(name: str, ending: Ending, pattern: str, source: str, example: str) -> Row:
    return Row(Meaning.NOTICE, pattern, source, example, Kind(name, Severity.NOTICE, ending))


_PANIC = Kind("panic", Severity.FATAL, Ending.END_PANIC)
# No fault of a kernel: the verdict is ABI_MISMATCH.
INCOMPATIBLE = "incompatible handover"
_ABI = Kind(INCOMPATIBLE, Severity.NOTICE, Ending.LINE)
_ABI_PANIC = Kind(INCOMPATIBLE, Severity.NOTICE, Ending.END_PANIC)
_OF_LUO = "kernel/liveupdate/luo_*.c"
_OF_KHO = "kernel/liveupdate/kexec_handover.c"

# First match counts. As in Linux 7.3, with forms of older kernels where they differ.
TABLE: tuple[Row, ...] = (
    Row(
        Meaning.TARGET_READY,
        r"carryover: target ready boot_id=(?P<boot_id>\S*) nonce=(?P<nonce>\S*)",
        "the target's own image",
        "carryover: target ready boot_id=5d1c0d5e nonce=0badcafe",
    ),
    Row(
        Meaning.PANIC_END,
        r"---\[ end Kernel panic",
        "kernel/panic.c",
        "---[ end Kernel panic - not syncing: Fatal exception ]---",
    ),
    Row(
        Meaning.ABI,
        r"LUO state is incompatible|handover FDT \(\S+\) is incompatible",
        "kernel/liveupdate/luo_core.c, kexec_handover.c",
        "luo: LUO state is incompatible with 'luo-v5'",
        _ABI,
    ),
    Row(
        Meaning.ABI,
        r"No registered handler for compatible '(?P<handler>[^']*)'",
        "kernel/liveupdate/luo_file.c",
        "luo: No registered handler for compatible 'vfio-pci-v1'",
        _ABI,
    ),
    Row(
        Meaning.ABI_PANIC,
        r"Kernel panic - not syncing: The incoming tree failed to initialize properly "
        r"\[-(22|EINVAL)\]",
        "kernel/liveupdate/luo_core.c",
        "Kernel panic - not syncing: The incoming tree failed to initialize properly [-EINVAL], "
        "disabling live update",
        _ABI_PANIC,
    ),
    Row(
        Meaning.PANIC,
        r"Kernel panic - not syncing",
        "kernel/panic.c",
        "Kernel panic - not syncing: sysrq triggered crash",
        _PANIC,
    ),
    _fatal(
        "oops",
        Ending.END_TRACE,
        r"BUG: unable to handle|BUG: kernel NULL|BUG: TASK stack guard page was hit",
        "arch/x86/mm/fault.c",
        "BUG: kernel NULL pointer dereference, address: 0000000000000010",
    ),
    _fatal(
        "oops",
        Ending.END_TRACE,
        r"Oops: |^general protection fault",
        "arch/x86/kernel/dumpstack.c",
        "Oops: general protection fault, probably for non-canonical address 0xdead000000000100: "
        "0000 [#1] SMP",
    ),
    _fatal(
        "BUG",
        Ending.END_TRACE,
        r"kernel BUG at ",
        "lib/bug.c",
        "kernel BUG at mm/memfd_luo.c:104!",
    ),
    _fault(
        "KASAN",
        Ending.RULE,
        r"BUG: KASAN",
        "mm/kasan/report.c",
        "BUG: KASAN: slab-use-after-free in luo_file_freeze+0x1b2/0x2f0",
    ),
    _fault(
        "KFENCE",
        Ending.RULE,
        r"BUG: KFENCE",
        "mm/kfence/report.c",
        "BUG: KFENCE: use-after-free read in luo_file_freeze+0x1b2/0x2f0",
    ),
    _fault(
        "KCSAN",
        Ending.RULE,
        r"BUG: KCSAN",
        "kernel/kcsan/report.c",
        "BUG: KCSAN: data-race in luo_file_freeze / luo_file_unpreserve",
    ),
    _fault(
        "UBSAN",
        Ending.END_TRACE,
        r"UBSAN: ",
        "lib/ubsan.c",
        "UBSAN: shift-out-of-bounds in drivers/iommu/intel/dmar.c:1290:31",
    ),
    _fault(
        "soft lockup",
        Ending.TRACE,
        r"BUG: soft lockup",
        "kernel/watchdog.c",
        "watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [carryover-selft:412]",
    ),
    _fatal(
        "hard lockup",
        Ending.TRACE,
        r"detected hard LOCKUP|BUG: hard lockup",
        "kernel/watchdog.c",
        "watchdog: CPU0: Watchdog detected hard LOCKUP on cpu 1",
    ),
    _fault(
        "RCU stall",
        Ending.TRACE,
        r"detected (expedited )?stalls? on|detected (expedited )?stalls?, but",
        "kernel/rcu/tree_stall.h, tree_exp.h, tasks.h",
        "rcu: INFO: rcu_preempt self-detected stall on CPU",
    ),
    _fault(
        "hung task",
        Ending.TRACE,
        r"INFO: task \S.* blocked( in I/O wait)? for more than",
        "kernel/hung_task.c",
        "INFO: task carryover-selft:412 blocked for more than 122 seconds.",
    ),
    _fault(
        "workqueue lockup",
        Ending.TRACE,
        r"BUG: workqueue lockup",
        "kernel/workqueue.c",
        "BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 31s!",
    ),
    _fault(
        "lockdep",
        Ending.TRACE,
        r"^WARNING: lock held when returning to user space",
        "kernel/locking/lockdep.c",
        "WARNING: lock held when returning to user space!",
    ),
    _fault(
        "lockdep",
        Ending.BACKTRACE,
        r"^WARNING: (possible (circular|recursive|irq lock inversion)|\S+-safe -> \S+-unsafe lock"
        r"|inconsistent lock state|chain_key collision|Nested lock was not taken"
        r"|bad unlock balance|bad contention|held lock freed|.* still has locks held"
        r"|suspicious RCU usage)|BUG: Invalid wait context",
        "kernel/locking/lockdep.c",
        "WARNING: possible circular locking dependency detected",
    ),
    _fault(
        "lockdep",
        Ending.TRACE,
        r"INFO: trying to register non-static key|^BUG: MAX_(LOCK|STACK)\w+ too low",
        "kernel/locking/lockdep.c",
        "INFO: trying to register non-static key.",
    ),
    _fault(
        "list corruption",
        Ending.END_TRACE,
        r"list_(add|del)(_valid)?( double add|[ ,.]+corruption|[ ,].*is (NULL|LIST_POISON))",
        "lib/list_debug.c",
        "list_del corruption. prev->next should be ffff888004a1c3d8, but was dead000000000122. "
        "(prev=ffff888004a1c7d8)",
    ),
    _fault(
        "refcount",
        Ending.END_TRACE,
        r"refcount_t: ",
        "lib/refcount.c",
        "refcount_t: underflow; use-after-free.",
    ),
    _fault(
        "debug objects",
        Ending.END_TRACE,
        r"ODEBUG: (?!Out of memory)",
        "lib/debugobjects.c",
        "ODEBUG: free active (active state 0) object: ffff888004a1c3d8 object type: work_struct",
    ),
    _fault(
        "atomic context",
        Ending.TRACE,
        r"BUG: (sleeping function called from invalid|scheduling (while atomic|in a non-blocking)"
        r"|assuming (atomic|non migratable) context)",
        "kernel/sched/core.c",
        "BUG: sleeping function called from invalid context at kernel/locking/mutex.c:591",
    ),
    _fault(
        "bad page",
        Ending.TRACE,
        r"BUG: (Bad page|Bad rss-counter|non-zero pgtables_bytes)",
        "mm/page_alloc.c, mm/memory.c, mm/filemap.c, kernel/fork.c",
        "BUG: Bad page state in process carryover-selft  pfn:04a1c",
    ),
    _fault(
        "page poison",
        Ending.TRACE,
        r"pagealloc: (single bit error|memory corruption)",
        "mm/page_poison.c",
        "pagealloc: memory corruption",
    ),
    _fault(
        "WARNING",
        Ending.END_TRACE,
        r"^WARNING: (.* at \S+|at )",
        "kernel/panic.c",
        "WARNING: kernel/liveupdate/luo_file.c:412 at luo_file_freeze+0x1b2/0x2f0, CPU#1: "
        "carryover-selft/412",
    ),
    _fault(
        "BUG",
        Ending.TRACE,
        r"^WARNING: |^BUG:? ",
        "anywhere",
        "BUG: mempool element poison mismatch",
    ),
    _device(
        "DMAR fault",
        Ending.LINE,
        r"DMAR: \[(DMA (Read|Write)|INTR-REMAP)[^]]*\] Request device",
        "drivers/iommu/intel/dmar.c",
        "DMAR: [DMA Read NO_PASID] Request device [0000:01:00.0] fault addr 0x7f00000000 "
        "[fault reason 0x06] PTE Read access is not set",
    ),
    _device(
        "DMAR error",
        Ending.LINE,
        r"DMAR: VT-d detected Invalidation",
        "drivers/iommu/intel/dmar.c",
        "DMAR: VT-d detected Invalidation Time-out Error: SID 100",
    ),
    _device(
        "AMD-Vi event",
        Ending.LINE,
        r"AMD-Vi: (Event logged \[|Completion-Wait loop timed out|Command buffer timeout)",
        "drivers/iommu/amd/iommu.c",
        "igb 0000:01:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000d "
        "address=0x7f00000000 flags=0x0000]",
    ),
    _notice(
        "AER",
        Ending.DEVICE,
        r"AER: (Multiple )?Correct(ed|able) [Ee]rror|PCIe Bus Error: severity=Correct",
        "drivers/pci/pcie/aer.c",
        "pcieport 0000:00:02.0: AER: Correctable error message received from 0000:01:00.0",
    ),
    _device(
        "AER",
        Ending.DEVICE,
        r"AER: (Multiple )?Uncorrect|(PCIe|CXL) Bus Error: ",
        "drivers/pci/pcie/aer.c",
        "pcieport 0000:00:02.0: AER: Uncorrectable (Non-Fatal) error message received from "
        "0000:01:00.0",
    ),
    _device(
        "AER",
        Ending.LINE,
        r"AER: device recovery failed|DPC: containment event",
        "drivers/pci/pcie/err.c, dpc.c",
        "pcieport 0000:00:02.0: DPC: containment event, status:0x1f01 source:0x0000: unmasked "
        "uncorrectable error detected",
    ),
    _device(
        "machine check",
        Ending.LINE,
        r"\[Hardware Error\]: (CPU \d+: Machine Check|Machine check: )",
        "arch/x86/kernel/cpu/mce/core.c",
        "mce: [Hardware Error]: CPU 1: Machine Check Exception: 5 Bank 4: b200000000070f0f",
    ),
    _fault(
        "out of memory",
        Ending.LINE,
        r"Out of memory: Killed process",
        "mm/oom_kill.c",
        "Out of memory: Killed process 412 (carryover-selft) total-vm:1050104kB",
    ),
    _notice(
        "allocation failure",
        Ending.TRACE,
        r"page allocation failure: order:\d+",
        "mm/page_alloc.c",
        "carryover-selft: page allocation failure: order:9, mode:0xcc0(GFP_KERNEL)",
    ),
    _notice(
        "segfault",
        Ending.LINE,
        r"^\S+\[\d+\]: segfault at ",
        "arch/x86/mm/fault.c",
        "carryover-selft[412]: segfault at 0 ip 0000000000401136 sp 00007ffe1d8a3c60 error 6",
    ),
    _notice(
        "lockdep is off",
        Ending.LINE,
        r"turning off the locking correctness validator|^INFO: lockdep is turned off",
        "kernel/locking/lockdep.c",
        "INFO: lockdep is turned off.",
    ),
    # Before firmware: SeaBIOS's last words and the kernel's first share a line.
    Row(
        Meaning.KERNEL,
        r"Linux version (?P<release>\S+)",
        "init/version.c",
        "Linux version 7.3.4 (carryover@bench)",
    ),
    Row(
        Meaning.INIT,
        r"Run (?P<path>/\S+) as init process",
        "init/main.c",
        "Run /init as init process",
    ),
    Row(
        Meaning.FIRMWARE,
        r"SeaBIOS \(version|^UEFI firmware|Booting from (ROM|Hard Disk|DVD)",
        "SeaBIOS, OVMF",
        "SeaBIOS (version 1.17.0)",
    ),
    Row(
        Meaning.KHO_COUNT,
        r"KHO: exec from: (?P<release>\S+) \(count (?P<count>\d+)\)",
        _OF_KHO,
        "KHO: exec from: 7.3.4 (count 1)",
    ),
    Row(
        Meaning.LUO_NUMBER,
        r"luo: Retrieved live update data, liveupdate number: (?P<number>-?\d+)",
        "kernel/liveupdate/luo_core.c",
        "luo: Retrieved live update data, liveupdate number: 1",
    ),
    Row(
        Meaning.FREEZE_FAILED,
        r"luo: Freeze failed for token\[(?P<token>\S+)\] handler\[(?P<handler>.*)\]",
        "kernel/liveupdate/luo_file.c",
        "luo: Freeze failed for token[0x1] handler[vfio-pci-v1] err[-EBUSY]",
        Kind("freeze failed", Severity.HANDOVER, Ending.LINE),
    ),
    _handover(
        "KHO",
        r"KHO: (setup: |[Ff]ailed |disabling KHO|broken KHO|kexec-metadata (blob|version)"
        r"|node \S+ (prop|missing))",
        _OF_KHO,
        "KHO: setup: failed to memremap FDT (0x7fe00000)",
    ),
    _handover(
        "LUO",
        r"^luo: ([Ff]ailed |Unable to finish|LUO state is|Disabling"
        r"|The file was success|File (count mismatch|handler registration))",
        _OF_LUO,
        "luo: Failed to deserialize files for session [note] -EINVAL",
    ),
    _handover(
        "LUO",
        r"^kho_block: ([Ff]ailed |Block (set|contains))",
        "kernel/liveupdate/kho_block.c",
        "kho_block: Block set is corrupted",
    ),
    _handover(
        "device",
        r"is not among the preserved devices|removed before its live update"
        r"|cannot tell whether the device is preserved|account of preserved devices is damaged",
        "drivers/pci/liveupdate.c of ci/kernel/patches",
        "pci 0000:00:02.0: is not among the preserved devices",
    ),
    _handover(
        "device",
        r": (cannot )?freeze: (the device|interrupts are|transactions are|a BAR is)",
        "drivers/vfio/pci/vfio_pci_liveupdate.c of ci/kernel/patches",
        "vfio-pci 0000:01:00.0: cannot freeze: interrupts are enabled",
    ),
)
# The program's lines in the kernel's log: where each half begins and ends.
MARK = "carryover: "
# What makes a line part of a report before the line by which that is known.
_BEFORE_REPORTS = (MARK, "[ cut here ]", "==========", "DMAR: DRHD:")
_PREFIX = re.compile(
    r"^(?P<level><\d+>)?\[\s*(?P<stamp>\d+\.\d+)\](?:\[\s*(?P<caller>[TC]\d+)\])? ?"
)
# What terminals get besides text: firmware clears the screen on the serial line.
_CONTROL = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|c|[()][A-Z0-9])|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Stamped:
    """A line of the kernel's log, taken apart.

    Attributes:
        stamp: Its time as it is printed, in seconds since the kernel began; "" if there is none.
        caller: Who printed it (CONFIG_PRINTK_CALLER): ``T412``, a task, or ``C1``, a processor;
            "" if that is not told.
        text: The message.
    """

    stamp: str
    caller: str
    text: str


def plain(line: str) -> str:
    """The line without terminal control sequences."""
    return _CONTROL.sub("", line)


def stamped(line: str) -> Stamped:
    """Takes a line of the console apart."""
    line = plain(line)
    if match := _PREFIX.match(line):
        return Stamped(match["stamp"], match["caller"] or "", line[match.end() :])
    return Stamped("", "", line)


def recognise(line: str) -> KernelMessage | None:
    """What the table knows about a line; None for most lines."""
    return look_up(stamped(line).text)


def recognise_all(lines: Sequence[str]) -> dict[int, KernelMessage | None]:
    """By their numbers, those lines that need a closer look: what the table knows of each.

    All others are unknown to the table, begin no report (kernel_report.py), and are no mark of the
    program. A console may be flooded: this takes a tenth of the time of recognise() for each.
    """
    text = "\n".join(lines)
    rows = [row for row in TABLE if row.may_match(text)]
    others = [one for one in _BEFORE_REPORTS if one in text]
    found: dict[int, KernelMessage | None] = {}
    for number, line in enumerate(lines if rows or others else ()):
        message = None
        if likely := [row for row in rows if row.may_match(line)]:
            message = look_up(stamped(line).text, likely)
        if message is not None or any(one in line for one in others):
            found[number] = message
    return found


def look_up(text: str, rows: Sequence[Row] = ()) -> KernelMessage | None:
    """The same of a line without stamp and control sequences; `rows` are those that may fit."""
    for row in rows or TABLE:
        if match := row.compiled.search(text):
            values = {key: value for key, value in match.groupdict().items() if value is not None}
            return KernelMessage(row.meaning, text.strip(), values, row.kind)
    return None
