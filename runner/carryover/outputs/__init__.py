# SPDX-License-Identifier: GPL-2.0-only
"""What a run leaves in its output directory, and what is made of it later."""
