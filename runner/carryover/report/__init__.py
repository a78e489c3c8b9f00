# SPDX-License-Identifier: GPL-2.0-only
"""report.html: one self-contained page of a run, for people (docs/report.md)."""

from carryover.report.page import NAME, render, write

__all__ = ["NAME", "render", "write"]
