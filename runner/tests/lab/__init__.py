# SPDX-License-Identifier: GPL-2.0-only
"""A lab without hardware: machines that nobody started for the run that uses them."""
