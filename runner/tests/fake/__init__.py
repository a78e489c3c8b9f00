# SPDX-License-Identifier: GPL-2.0-only
"""A target that exists only in files: the program, its console, its machine."""
