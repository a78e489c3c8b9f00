# SPDX-License-Identifier: GPL-2.0-only
"""Leads a machine across kexecs: arm, kexec, verify; each test gets its own result."""
