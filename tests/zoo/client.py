"""A plain client, which shares no code with the probe, to measure the faults of the zoo."""

from __future__ import annotations

import random
import select
import socket
import ssl
import time
from urllib.parse import urlsplit

from tests.zoo.path import NotAsPlanted, Place

# Bytes of one read.
_PIECE = 1 << 16


def expect(isTrue: object, observation: str) -> None:
    """Checks a measurement.

    :raise NotAsPlanted: with the observation.
    """
    if not isTrue:
        raise NotAsPlanted(observation)


def some(hits: list[bool], least: int = 1) -> str:
    """Expects some, and not all, of the tries to be hit; returns their number in words."""
    count = sum(hits)
    expect(least <= count < len(hits), f"{count} of {len(hits)}")
    return f"{count} of {len(hits)}"


def pattern(size: int, seed: int = 8862) -> bytes:
    """Returns random bytes, the same ones each time."""
    return random.Random(seed).randbytes(size)


def addressOf(place: Place) -> tuple[str, int]:
    """Returns host and port of a target."""
    _, _, rest = place.target.rpartition("://")
    host, _, port = rest.rpartition(":")
    return host, int(port)


def trusting(place: Place) -> ssl.SSLContext:
    """Returns the context of a client that trusts the path's authority."""
    return ssl.create_default_context(cafile=place.options[place.options.index("--ca") + 1])


def isConnected(sock: socket.socket) -> bool:
    """Says whether a socket that does not block is connected by now."""
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


class Line:
    """A blocking connection to a place, over TCP, TLS or a UNIX socket.

    :param timeout: seconds of the connect and of the handshake.
    :param context: the TLS context; None is none.
    :param name: the server's name for TLS.
    :param session: the TLS session to resume.
    :param buffer: bytes of the kernel's buffers; None is the kernel's choice.
    :ivar ended: ``fin``, ``reset``, or empty while there was no end.
    :ivar connectTime: seconds until the connection was there, without TLS.
    """

    def __init__(
        self,
        place: Place,
        timeout: float = 5.0,
        context: ssl.SSLContext | None = None,
        name: str = "localhost",
        session: ssl.SSLSession | None = None,
        buffer: int | None = None,
    ) -> None:
        url = urlsplit(place.target)
        start = time.monotonic()
        self.ended = ""
        self.sock: socket.socket = socket.socket(socket.AF_UNIX if url.scheme == "unix" else socket.AF_INET)
        self.sock.settimeout(timeout)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF) if buffer else ():
            self.sock.setsockopt(socket.SOL_SOCKET, option, buffer or 0)
        try:
            self.sock.connect(url.path if url.scheme == "unix" else addressOf(place))
            self.connectTime = time.monotonic() - start
            if url.scheme != "unix":
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is not None:
                self.sock = context.wrap_socket(self.sock, server_hostname=name, session=session)
        except ConnectionResetError:
            # A refusal by a reset may come before connect() returns.
            self.ended, self.connectTime = "reset", time.monotonic() - start
        except BaseException:
            self.sock.close()
            raise

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *error: object) -> None:
        self.sock.close()

    def send(self, data: bytes, timeout: float = 10.0) -> None:
        """Sends bytes; a reset becomes the end of the connection."""
        self.sock.settimeout(timeout)
        try:
            self.sock.sendall(data)
        except (ConnectionError, ssl.SSLError):
            self.ended = "reset"

    def finish(self) -> None:
        """Ends the client's stream."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.ended = self.ended or "reset"

    def take(self, size: int = 1 << 40, timeout: float = 3.0) -> bytes:
        """Reads bytes, until there are enough, the connection ends, or nothing comes for some seconds."""
        found = bytearray()
        self.sock.settimeout(timeout)
        while len(found) < size and not self.ended:
            try:
                data = self.sock.recv(min(_PIECE, size - len(found)))
            except TimeoutError:
                break
            except (ConnectionError, ssl.SSLError):
                self.ended = "reset"
                break
            if not data:
                self.ended = "fin"
            found += data
        return bytes(found)

    def ask(self, data: bytes, timeout: float = 3.0) -> tuple[bytes, float]:
        """Sends bytes, and reads as many; returns them, and the seconds of the round trip."""
        start = time.monotonic()
        self.send(data)
        answer = self.take(len(data), timeout)
        return answer, time.monotonic() - start

    def trip(self, size: int = 64, timeout: float = 3.0) -> float:
        """Returns the seconds of an exact round trip.

        :raise NotAsPlanted: when the answer is not the echo.
        """
        data = pattern(size, size)
        answer, seconds = self.ask(data, timeout)
        expect(answer == data, f"{len(answer)} of {size} B came back, then {self.ended or 'silence'}")
        return seconds

    def exchange(self, data: bytes, timeout: float = 3.0) -> list[tuple[float, bytes]]:
        """Sends bytes and the end, and reads meanwhile; returns the pieces that came, each with its second.

        :param timeout: seconds of silence after which it stops.
        :ivar sentAfter: the seconds after which the last byte was sent, set on this object.
        """
        view, pieces, start = memoryview(data), [], time.monotonic()
        self.sock.setblocking(False)
        self.sentAfter, wasReset = 0.0, False
        while not self.ended:
            can, may, _ = select.select([self.sock], [self.sock] if view else [], [], timeout)
            if not can and not may:
                break
            try:
                if may:
                    view = view[self.sock.send(view) :]
                    if not view:
                        self.sentAfter = time.monotonic() - start
                        self.finish()
                if can:
                    piece = self.sock.recv(_PIECE)
                    pieces.append((time.monotonic() - start, piece))
                    if not piece:
                        self.ended = "reset" if wasReset else "fin"
            except BlockingIOError:
                continue
            except ConnectionError:
                # What has come before a reset can still be read.
                self.ended, wasReset, view = "" if may and view else "reset", True, memoryview(b"")
        return pieces


def untrusted(place: Place, *words: str, count: int = 24, size: int = 50_000) -> list[bool]:
    """Makes handshakes, with a round trip each; returns which of them failed for the certificate.

    :param words: of which one is in the error of each failure.
    """
    hits = []
    for _ in range(count):
        try:
            with Line(place, context=trusting(place)) as line:
                line.trip(size)
            hits.append(False)
        except ssl.SSLCertVerificationError as error:
            expect(any(word in str(error) for word in words), str(error))
            hits.append(True)
    return hits


def whole(place: Place, data: bytes, timeout: float = 3.0) -> tuple[bytes, str]:
    """Sends bytes and the end on a connection of their own; returns the answer, and how it ended."""
    with Line(place) as line:
        pieces = line.exchange(data, timeout)
        return b"".join(piece for _, piece in pieces), line.ended
