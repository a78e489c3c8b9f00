# SPDX-License-Identifier: GPL-2.0-only
"""What ci/ builds and fetches: kernel, QEMU, image, program. All of it is kept in one cache."""
