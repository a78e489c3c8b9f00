# SPDX-License-Identifier: GPL-2.0-only
"""What ipmi_sim calls to ask for power and to switch it: hands the words on to ipmi_bmc.py."""

import socket
import sys

with socket.socket(socket.AF_UNIX) as bmc:
    bmc.connect(sys.argv[1])
    bmc.sendall(" ".join(sys.argv[2:]).encode() + b"\n")
    answer = b"".join(iter(lambda: bmc.recv(4096), b"")).decode()
if not answer.endswith("done\n"):
    sys.exit(1)
sys.stdout.write(answer.removesuffix("done\n"))
