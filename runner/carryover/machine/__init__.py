# SPDX-License-Identifier: GPL-2.0-only
"""Machines: the bench's and a lab's, how they are reached, and what runs beside them."""
