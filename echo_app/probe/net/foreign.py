"""Names of protocols that are no echo, by the first bytes that come."""

from __future__ import annotations

import re

# Names that rules compare.
ALERT, HEADER = "a TLS alert", "a PROXY header"

# Printable ASCII, twice: each line of a character generator is 72 of them in a row, from another one on.
_ASCII = bytes(range(32, 127)) * 2

# Bytes by which such a row is told.
_ROW = 16

_KNOWN = (
    (re.compile(rb"HTTP/\d|\s*<(!doctype )?html", re.IGNORECASE), "HTTP"),
    (re.compile(rb"SSH-\d"), "SSH"),
    # An alert of TLS: its type, and the major version of all records (RFC 8446, 5.1).
    (re.compile(rb"\x15\x03"), ALERT),
    (re.compile(rb"PROXY |\r\n\r\n\0\r\nQUIT\n"), HEADER),
)

# The first bytes of a TLS record (RFC 8446, 5.1), and of a record with a ClientHello.
_RECORD = re.compile(rb"[\x14-\x17](\x03|\Z)|\Z")
_HELLO = re.compile(rb"\x16\x03...\x01", re.DOTALL)


def protocolOf(data: bytes) -> str:
    """Returns the protocol that bytes begin with, such as ``HTTP``; empty where it is not known."""
    if len(data) >= _ROW and data[:_ROW] in _ASCII:
        return "a character generator (RFC 864)"
    return next((name for pattern, name in _KNOWN if pattern.match(data)), "")


def notTLS(data: bytes) -> str:
    """Returns why the first bytes of a server are no TLS; empty if they are, as far as they say."""
    if _HELLO.match(data):
        return "our own handshake came back"
    if _RECORD.match(data):
        return ""
    name = protocolOf(data)
    return f"{name} came" if name else "other bytes came"
