# SPDX-License-Identifier: GPL-2.0-only
"""What kernels say: their messages, reports and taint, and what each means."""
