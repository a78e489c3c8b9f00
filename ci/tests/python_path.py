# SPDX-License-Identifier: GPL-2.0-only
"""Where a Python program of ours finds our modules, as ci/environment.sh has it."""

import os

from carryover_ci.program import ROOT

PYTHON_PATH = os.pathsep.join([str(ROOT / "ci"), str(ROOT / "runner")])
