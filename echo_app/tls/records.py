"""Parsers of unencrypted parts of TLS: the bounds of records, and the groups that a ClientHello offers.

RFC 8446, 5.1 and 4.1.2. A session feeds OpenSSL record by record, and so knows which record carried bytes for
the application. It also chooses its context by the ClientHello. The parsers do no I/O, and reject nothing:
OpenSSL answers the data that they can't read.
"""

from __future__ import annotations

from collections.abc import Iterator

# Content types; the others are change_cipher_spec, alert and application data.
FIRST_TYPE, HANDSHAKE, LAST_TYPE = 20, 22, 23

# Bytes of a record's header.
HEADER = 5

# Bytes that one record carries, and its largest size when encrypted (TLS 1.2: RFC 5246, 6.2.3).
FRAGMENT = 1 << 14
MAX_CIPHERTEXT = FRAGMENT + 2048

# Extensions of a ClientHello.
SUPPORTED_GROUPS, KEY_SHARE = 10, 51

_CLIENT_HELLO = 1


def recordEnd(data: bytes, start: int = 0) -> int:
    """Returns the offset of the end of the record at an offset; the end may be beyond the data.

    :return: the end of the data if they are no record, because more data would not help.
    """
    rest = len(data) - start
    if rest >= 1 and not FIRST_TYPE <= data[start] <= LAST_TYPE:
        return len(data)
    if rest < HEADER:
        return start + HEADER
    length = data[start + 3] << 8 | data[start + 4]
    return start + HEADER + length if length <= MAX_CIPHERTEXT else len(data)


def offeredGroups(record: bytes) -> list[int]:
    """Returns the groups for the key exchange that a ClientHello offers, those with a key share first.

    :param record: the first record of a connection. An incomplete ClientHello, or another message, gives no
        groups.
    """
    hello = record[HEADER:]
    if record[0] != HANDSHAKE or hello[:1] != bytes([_CLIENT_HELLO]):
        return []
    body = hello[4 : 4 + int.from_bytes(hello[1:4], "big")]
    if len(body) != int.from_bytes(hello[1:4], "big"):
        return []
    # The version, the random, and three lists that begin with their length.
    offset = 2 + 32
    for size in (1, 2, 1):
        offset += size + int.from_bytes(body[offset : offset + size], "big")
    extensions = dict(_typed(body[offset + 2 :]))
    shares = [group for group, _ in _typed(extensions.get(KEY_SHARE, b"")[2:])]
    groups = extensions.get(SUPPORTED_GROUPS, b"")[2:]
    return shares + [int.from_bytes(groups[i : i + 2], "big") for i in range(0, len(groups), 2)]


def _typed(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields the type and the value of each element that begins with a type and a length of two bytes."""
    offset = 0
    while offset + 4 <= len(data):
        end = offset + 4 + int.from_bytes(data[offset + 2 : offset + 4], "big")
        yield int.from_bytes(data[offset : offset + 2], "big"), data[offset + 4 : end]
        offset = end
