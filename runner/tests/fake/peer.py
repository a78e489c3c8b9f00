# SPDX-License-Identifier: GPL-2.0-only
"""A traffic peer that sends nothing."""

from __future__ import annotations

from pathlib import Path

# Notes its words, says that it is ready, and writes a report when it is ended: by its rate, a peer
# that held it (40), did not (1000), cannot begin (3), found nobody (7), or dies at once (9).
_PROGRAM = """#!/usr/bin/env python3
import json, signal, sys
words = dict(zip(sys.argv[2::2], sys.argv[3::2]))
rate = float(words["--rate"])
if rate == 3:
    sys.stderr.write("eth1 is the default route: choose another interface\\n")
    sys.exit(3)
def end(signum, frame):
    report = {"rate_hz": rate, "achieved_hz": rate - 1.5, "held": rate != 1000}
    report["offered"] = 0 if rate == 7 else 100
    report["worst_second"] = {"second": 7, "offered": int(rate) - 79}
    report["words"] = words
    with open(words["--report"], "w") as file:
        json.dump(report, file)
    sys.exit(1 if rate == 1000 else 0)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
if rate == 9:
    sys.exit(9)
while True:
    signal.pause()
"""


def write_peer(folder: Path) -> str:
    """Its path."""
    path = folder / "peer"
    path.write_text(_PROGRAM)
    path.chmod(0o755)
    return str(path)
