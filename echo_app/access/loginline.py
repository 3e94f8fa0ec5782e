"""Parser of the login line: ``login USER PASSWORD``.

- One space separates the words. The line ends with LF or CR LF, has at most 512 bytes with that end, and is
  UTF-8 without control characters.
- The user has no space. The password is the rest of the line after the second space, spaces included. Neither
  may be empty.

Bytes are compared without Unicode normalization: of the two encodings of an accented letter, only one is
right. The parser does no I/O.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hmac import compare_digest

from twisted.cred.credentials import IUsernamePassword
from zope.interface import implementer

COMMAND = b"login "

# Bytes of a login line with its end: SMTP's limit for a command (RFC 5321, 4.5.3.1.4).
MAX_LINE = 512

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


@implementer(IUsernamePassword)
@dataclass(frozen=True, slots=True)
class Login:
    """The credentials of a login line. The password is left out of ``repr``."""

    username: bytes
    password: bytes = field(repr=False)

    def checkPassword(self, password: bytes) -> bool:
        """Compares the password in constant time, for checkers that leave this to the credentials."""
        return compare_digest(self.password, password)


class BadLogin(ValueError):
    """A stream that does not begin with a login line. It has no text, which might quote a password."""


def parseLogin(data: bytes | bytearray) -> tuple[Login, int] | None:
    """Parses a login line.

    :return: the credentials, and the line's size in bytes; None while the line is incomplete.
    :raise BadLogin: when the data are no login line, or can't become one.
    """
    line, newline, _ = bytes(data[:MAX_LINE]).partition(b"\n")
    if not newline and len(data) < MAX_LINE and COMMAND.startswith(line[: len(COMMAND)]):
        return None
    size = len(line) + 1
    line = line.removesuffix(b"\r")
    user, _, password = line[len(COMMAND) :].partition(b" ")
    isText = not _CONTROL.search(line) and line.decode(errors="ignore").encode() == line
    if not (newline and line.startswith(COMMAND) and user and password and isText):
        raise BadLogin
    return Login(user, password), size
