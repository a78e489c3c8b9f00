# SPDX-License-Identifier: GPL-2.0-only
"""Simulated BMCs, which switch a machine by real requests."""
