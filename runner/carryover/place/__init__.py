# SPDX-License-Identifier: GPL-2.0-only
"""Places of labgrid's coordinator: chosen, leased, sick or well."""
