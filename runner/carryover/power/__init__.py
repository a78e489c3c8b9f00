# SPDX-License-Identifier: GPL-2.0-only
"""Power by a BMC: Redfish and IPMI."""
