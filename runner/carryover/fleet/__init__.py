# SPDX-License-Identifier: GPL-2.0-only
"""`carryover fleet`: the same tests on many places at once, and one report of all."""
