"""Server's session of one TLS connection, without I/O.

The rules of :class:`Session`: a record is given to OpenSSL when it is there as a whole, and makes at most
one piece of plain text, so that nothing waits in OpenSSL between two calls, and its buffers, which never
shrink, hold one long record at most. After the peer's end nothing more is decrypted, after ours nothing more
is encrypted; the two ends are independent of each other (RFC 8446, 6.1).

The standard library's ``ssl.MemoryBIO`` carries it, because it costs least. For 1 KiB decrypted and
encrypted again it takes 4.1 µs, where ``OpenSSL.SSL.Connection``, which Twisted builds upon, takes 9.8 to
12.3: its calls go through cffi, and an empty buffer is an exception. A connection that has done its
handshake takes 17 KiB where that one takes 25. A subclass of Twisted's own protocol has those costs, and
has to override private methods; this has no private name. The price is that Python 3.11 sets one group
for the key exchange or all of them (:mod:`echo_app.tls.certificates`); pyOpenSSL can set no list either.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress

from echo_app.tls.records import FRAGMENT, HANDSHAKE, LONGEST, offeredGroups, recordEnd

# Records without a byte for the application (key updates, above all: 13 to 27 µs each) that a peer may
# send until data come again. tlsfuzzer's tests send fewer, and a client of good will one in millions of
# records.
IDLE_RECORDS = 256


class BrokenSession(Exception):
    """The peer does not speak TLS, or not as it must; the text is the reason, of a bounded number."""


class Session:
    """What OpenSSL knows of a connection.

    :param contextFor: returns the context for a client that offers these groups for the key exchange.

    :ivar tls: None until the first record came.
    :ivar outgoing: records that are to be sent now, if its ``pending`` says so.
    :ivar isShaking: until the handshake is complete.
    :ivar isPeerEnded: the peer's ``close_notify`` has come.
    """

    __slots__ = (
        "_contextFor",
        "_idle",
        "_incoming",
        "_rest",
        "isPeerEnded",
        "isShaking",
        "outgoing",
        "tls",
    )

    def __init__(self, contextFor: Callable[[list[int]], ssl.SSLContext]) -> None:
        self.tls: ssl.SSLObject | None = None
        self.outgoing = ssl.MemoryBIO()
        self.isShaking = True
        self.isPeerEnded = False
        self._contextFor = contextFor
        self._incoming = ssl.MemoryBIO()
        self._rest = b""
        self._idle = 0

    @property
    def isUntouched(self) -> bool:
        """Whether not one byte has come."""
        return self.tls is None and not self._rest

    def receive(self, data: bytes) -> bytes:
        """Returns the plain text of the records that are complete with this.

        :raise BrokenSession: when there is nothing more to expect; there may be an alert to send.
        """
        if self._rest:
            data = self._rest + data
        end = recordEnd(data)
        if end == len(data):
            # What comes one at a time, as pings do, comes this way.
            self._rest = b""
            plain = b"".join(self._open(data, 1))
        else:
            start = 0
            pieces: list[bytes] = []
            while end <= len(data) and not self.isPeerEnded:
                end, count = self._run(data, start, end)
                pieces += self._open(data[start:end], count)
                start, end = end, recordEnd(data, end)
            self._rest = data[start:]
            plain = b"".join(pieces)
        if plain:
            self._idle = 0
        return plain

    def encrypt(self, data: bytes) -> bytes:
        """Returns the records that carry this.

        :raise ssl.SSLError: when OpenSSL has given the connection up.
        """
        assert self.tls is not None
        if len(data) <= FRAGMENT:
            self.tls.write(data)
            return self.outgoing.read()
        return b"".join(self._records(data, self.tls))

    def end(self) -> bytes:
        """Returns our ``close_notify``."""
        assert self.tls is not None
        # It looks for the peer's as well, and complains that there is none: that will come, or not.
        with suppress(ssl.SSLError):
            self.tls.unwrap()
        return self.outgoing.read()

    def _run(self, data: bytes, start: int, end: int) -> tuple[int, int]:
        """Returns the end of a run of records that begins with this one, and how many they are.

        Thousands of small ones may come at once, and cost half as much in runs. A run is no longer than
        the longest record, and of one type; while the handshake goes on a record is alone.
        """
        count = 1
        if not self.isShaking:
            most = min(len(data), start + LONGEST)
            while (further := recordEnd(data, end)) <= most and data[end] == data[start]:
                end = further
                count += 1
        return end, count

    def _open(self, records: bytes, count: int) -> list[bytes]:
        """Returns what so many records have for the application."""
        if self.tls is None:
            context = self._contextFor(offeredGroups(records))
            self.tls = context.wrap_bio(self._incoming, self.outgoing, server_side=True)
        self._incoming.write(records)
        pieces: list[bytes] = []
        try:
            if self.isShaking:
                self.tls.do_handshake()
                self.isShaking = False
                return pieces
            while piece := self.tls.read(FRAGMENT):
                pieces.append(piece)
                if not self._incoming.pending:
                    break
            else:
                self.isPeerEnded = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.isPeerEnded = True
        except ssl.SSLError as error:
            reason = error.reason or "protocol error"
            raise BrokenSession(reason.lower().replace("_", "-").replace(" ", "-")) from error
        if len(pieces) < count and not (self.isShaking or self.isPeerEnded):
            self._countIdle(records[0], count - len(pieces))
        return pieces

    def _countIdle(self, kind: int, count: int) -> None:
        """Counts records that had nothing for the application."""
        # Over TLS 1.3 that type is encrypted; over 1.2 it is the wish to renegotiate.
        if kind == HANDSHAKE:
            raise BrokenSession("renegotiation")
        self._idle += count
        if self._idle > IDLE_RECORDS:
            raise BrokenSession("records-without-data")

    def _records(self, data: bytes, tls: ssl.SSLObject) -> Iterator[bytes]:
        with memoryview(data) as view:
            for start in range(0, len(data), FRAGMENT):
                tls.write(view[start : start + FRAGMENT])
                yield self.outgoing.read()


class CountingSession(Session):
    """The same, with the plain text counted, for a connection that is recorded.

    :ivar received: bytes from the peer.
    :ivar sent: bytes to the peer.
    """

    __slots__ = ("received", "sent")

    def __init__(self, contextFor: Callable[[list[int]], ssl.SSLContext]) -> None:
        super().__init__(contextFor)
        self.received = 0
        self.sent = 0

    def receive(self, data: bytes) -> bytes:
        """Returns the plain text of the records that are complete with this, and counts it."""
        plain = super().receive(data)
        self.received += len(plain)
        return plain

    def encrypt(self, data: bytes) -> bytes:
        """Returns the records that carry this, and counts it."""
        self.sent += len(data)
        return super().encrypt(data)
