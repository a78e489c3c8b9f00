# SPDX-License-Identifier: GPL-2.0-only
"""Consoles of machines: recorded from before power-on to the end."""
