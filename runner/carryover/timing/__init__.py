# SPDX-License-Identifier: GPL-2.0-only
"""When each step of a kexec was, on which clock, and how the clocks are related."""
