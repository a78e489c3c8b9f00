# SPDX-License-Identifier: GPL-2.0-only
"""Secrets: where they come from, and that they show nowhere."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from carryover.errors import BadInput


class Secret:
    """A password. It shows in no message, log or traceback: only reveal() gives it away."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "Secret(***)"

    def reveal(self) -> str:
        """The secret itself, for the one who needs it; do not keep it."""
        return self._text

    def hide_in(self, text: str) -> str:
        """The text of somebody who was told the secret, without it."""
        return text.replace(self._text, "***")


def read_secret(where: str, file: Path | None, variable: str) -> Secret:
    """The first line of a file, or the value of an environment variable.

    Args:
        where: Whose secret it is, for messages.
        file: The file; or None.
        variable: The variable's name; or empty. One of both has to be given.

    Raises:
        BadInput: There is no secret, or others can read it. The message does not have it.
    """
    if (file is None) == (not variable):
        raise BadInput(f"{where}: give one of password_file and password_variable")
    if file is None:
        return _checked(f"{where}: ${variable}", os.environ.get(variable, ""))
    place = f"{where}: password_file {file}"
    try:
        with file.open(encoding="utf-8") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            if stat.S_ISREG(mode) and mode & 0o077:
                raise BadInput(f"{place}: others can read it; chmod 600 {file}")
            return _checked(place, stream.readline().rstrip("\r\n"))
    except OSError as error:
        raise BadInput(f"{place}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise BadInput(f"{place}: not a line of text") from None


def _checked(place: str, text: str) -> Secret:
    if not text:
        raise BadInput(f"{place}: there is no password in it")
    if not text.isprintable():
        raise BadInput(f"{place}: the password has a character that cannot be printed")
    return Secret(text)
