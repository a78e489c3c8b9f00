# SPDX-License-Identifier: GPL-2.0-only
"""Carryover's runner: continuity tests across a kexec, as a pytest plugin on labgrid."""

__version__ = "0.1.0"
