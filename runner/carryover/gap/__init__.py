# SPDX-License-Identifier: GPL-2.0-only
"""The gap of a kexec: read, as text, and as pictures."""
