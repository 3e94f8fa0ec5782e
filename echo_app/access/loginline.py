"""Parser of the login line: ``login USER PASSWORD``.

- One space stands between the words. The line ends with LF or CR LF, has 512 bytes at the most with that
  end, and is UTF-8 without control characters.
- A user has no space in it, and is not empty. A password is all that follows the second space, spaces
  included, and is not empty.

Bytes are compared as they come: of an accented letter that can be encoded in two ways, only one is right.
The parser does no I/O.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hmac import compare_digest

from twisted.cred.credentials import IUsernamePassword
from zope.interface import implementer

COMMAND = b"login "

# Bytes of a line with its end: what SMTP gives a command (RFC 5321, 4.5.3.1.4).
LONGEST = 512

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


@implementer(IUsernamePassword)
@dataclass(frozen=True, slots=True)
class Login:
    """What a line says: a user, and a password, which is in no text that is made of this."""

    username: bytes
    password: bytes = field(repr=False)

    def checkPassword(self, password: bytes) -> bool:
        """Compares in constant time, for checkers that leave it to the credentials, as Twisted's do."""
        return compare_digest(self.password, password)


class BadLogin(ValueError):
    """A stream that does not begin with a login line. What it does begin with may be a password."""


def parseLogin(data: bytes | bytearray) -> tuple[Login, int] | None:
    """Reads a login line.

    :return: what it says, and its size; None while it is not complete.
    :raise BadLogin: when it is none, or can't become one.
    """
    line, newline, _ = bytes(data[:LONGEST]).partition(b"\n")
    if not newline and len(data) < LONGEST and COMMAND.startswith(line[: len(COMMAND)]):
        return None
    size = len(line) + 1
    line = line.removesuffix(b"\r")
    user, _, password = line[len(COMMAND) :].partition(b" ")
    isText = not _CONTROL.search(line) and line.decode(errors="ignore").encode() == line
    if not (newline and line.startswith(COMMAND) and user and password and isText):
        raise BadLogin
    return Login(user, password), size
