"""Session of one TLS connection, a server's or a client's, without I/O.

The rules of :class:`Session`, a server's, and :class:`ClientSession`:

- OpenSSL gets only complete records. Each makes at most one piece of plain text, so nothing waits in OpenSSL
  between two calls. Its buffers never shrink, and so hold one long record at most.
- After the peer's end nothing more is decrypted, after ours nothing more is encrypted. The two ends are
  independent of each other (RFC 8446, 6.1).

The session uses the standard library's ``ssl.MemoryBIO``, which costs least. To decrypt and encrypt 1 KiB, it
takes 4.1 µs. ``OpenSSL.SSL.Connection``, which Twisted uses, takes 9.8 to 12.3 µs: its calls go through cffi,
and an empty buffer is an exception. After the handshake a connection takes 17 KiB here, and 25 KiB there. A
subclass of Twisted's protocol has the costs of pyOpenSSL, and must override private methods. A disadvantage:
Python 3.11 sets either one group for the key exchange or all (:mod:`echo_app.tls.certificates`). pyOpenSSL
can't set a list either.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress

from echo_app.tls.records import FRAGMENT, HANDSHAKE, MAX_CIPHERTEXT, offeredGroups, recordEnd

# Records without application data that a peer may send in a row, mostly key updates (13 to 27 µs each).
# tlsfuzzer's tests send fewer, and an honest client sends one in millions of records.
IDLE_RECORDS = 256


class BrokenSession(Exception):
    """An error of the peer in TLS; the text is the reason, one of a bounded number."""


class Session:
    """The server's TLS state of one connection: handshake, decryption and encryption.

    :param contextFor: returns the context for a client that offers these groups for the key exchange.

    :ivar tls: None until a client's first record has come.
    :ivar outgoing: records to send now, if its ``pending`` is not 0.
    :ivar isShaking: the handshake is incomplete.
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
        """Returns whether no byte has come or gone yet."""
        return self.tls is None and not self._rest

    def receive(self, data: bytes) -> bytes:
        """Adds received data, and returns the plain text of the records that are complete now.

        :raise BrokenSession: when the session can't go on; ``outgoing`` may have an alert to send.
        """
        if self._rest:
            data = self._rest + data
        end = recordEnd(data)
        if end == len(data):
            # The common case of single records, such as pings.
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
        """Returns the records that carry the data.

        :raise ssl.SSLError: after an error that ended OpenSSL's connection.
        """
        assert self.tls is not None
        if len(data) <= FRAGMENT:
            self.tls.write(data)
            return self.outgoing.read()
        return b"".join(self._records(data, self.tls))

    def end(self) -> bytes:
        """Returns our ``close_notify``."""
        assert self.tls is not None
        # unwrap() also reads the peer's close_notify, and raises while there is none.
        with suppress(ssl.SSLError):
            self.tls.unwrap()
        return self.outgoing.read()

    def _run(self, data: bytes, start: int, end: int) -> tuple[int, int]:
        """Returns the end of a run of records from the one at ``start``, and the number of its records.

        Thousands of small records may come at once, and cost half as much in runs. A run has at most the size
        of the longest record, and one type. During the handshake, a run is one record.
        """
        count = 1
        if not self.isShaking:
            most = min(len(data), start + MAX_CIPHERTEXT)
            while (further := recordEnd(data, end)) <= most and data[end] == data[start]:
                end = further
                count += 1
        return end, count

    def _open(self, records: bytes, count: int) -> list[bytes]:
        """Returns the pieces of plain text of so many records."""
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
        """Counts records without application data."""
        # TLS 1.3 encrypts this type. In TLS 1.2 it is a request to renegotiate.
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


class ClientSession(Session):
    """The client's TLS state of one connection; ``outgoing`` has its first message from the beginning.

    :param context: the client's context.
    :param name: the name or IP address that the server's certificate must have, and the name to ask for
        (SNI); None asks for none.
    :raise ValueError: when OpenSSL does not take the name.
    """

    __slots__ = ()

    def __init__(self, context: ssl.SSLContext, name: str | None) -> None:
        super().__init__(lambda _: context)
        self.tls = context.wrap_bio(self._incoming, self.outgoing, server_hostname=name)
        with suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()


class CountingSession(Session):
    """A session that counts the plain text, for the access log.

    :ivar received: bytes from the peer.
    :ivar sent: bytes to the peer.
    """

    __slots__ = ("received", "sent")

    def __init__(self, contextFor: Callable[[list[int]], ssl.SSLContext]) -> None:
        super().__init__(contextFor)
        self.received = 0
        self.sent = 0

    def receive(self, data: bytes) -> bytes:
        """Adds received data; returns and counts the plain text of the records that are complete now."""
        plain = super().receive(data)
        self.received += len(plain)
        return plain

    def encrypt(self, data: bytes) -> bytes:
        """Returns the records that carry the data, and counts the data."""
        self.sent += len(data)
        return super().encrypt(data)
