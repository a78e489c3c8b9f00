# SPDX-License-Identifier: GPL-2.0-only
"""The runner's errors, by who has to act on them."""


class BadInput(Exception):
    """What the user gave cannot work: says what, where, and what to do. Ends the run."""


class Infrastructure(Exception):
    """The harness, the controller or the connection failed: INFRA, never a test's verdict."""


class OutputFailed(Infrastructure):
    """A result could not be written (no space, no permission)."""


class ProtocolError(Infrastructure):
    """The program said something that docs/protocol.md does not know."""
