"""Behaviours of a relay at half-close, reset and back-pressure, as its two ends see them.

Each function makes one connection through the relay, with plain sockets at both ends, and returns the cell
of a table. The bytes are random, so that any lost, added or changed byte is seen. The command is in
:mod:`benchmarks.relays`.
"""

from __future__ import annotations

import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from threading import Thread
from typing import NamedTuple

from benchmarks.loads import Usage

# Bytes that one end sends before its end of stream.
SIZE = 1_000_000

# Seconds without a byte after which nothing more is expected: HAProxy tries an upstream that refuses for 3 s.
SILENCE = 6.0

# Seconds in which a sender must have stopped, and seconds without a byte after which it has.
FILLING = 10.0
STOPPED = 1.0

# Bytes after which a sender gives up: a relay that takes everything would take all memory.
MOST_SENT = 256 << 20

# Seconds until an answer begins, and in which a stream goes on in pieces.
LATE = 1.0
PIECES = 10

# A close with this value of SO_LINGER is a reset (socket(7)).
_RESET = struct.pack("ii", 1, 0)

Address = tuple[str, int]


class Entrance(NamedTuple):
    """A started relay.

    :param address: the address that clients connect to.
    :param usage: returns the resources that the relay has used; None where there is no relay.
    """

    address: Address
    usage: Callable[[], Usage] | None


# Starts a relay in front of an upstream's address.
Relay = Callable[[Address], AbstractContextManager[Entrance]]


@contextmanager
def noRelay(upstream: Address) -> Iterator[Entrance]:
    """Connects clients to the upstream itself: the kernel's own behaviour."""
    yield Entrance(upstream, None)


class Ends(NamedTuple):
    """The two ends of a connection through a relay, which has passed a byte in each direction."""

    client: socket.socket
    upstream: socket.socket
    usage: Callable[[], Usage] | None


@contextmanager
def connected(relay: Relay) -> Iterator[Ends]:
    """Starts a relay, and makes a connection through it.

    :raise OSError: when nothing comes through.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(SILENCE)
        with relay(listener.getsockname()) as entrance:
            client = socket.create_connection(entrance.address, SILENCE)
            with client:
                client.sendall(b"?")
                upstream, _ = listener.accept()
                with upstream:
                    upstream.settimeout(SILENCE)
                    upstream.recv(1)
                    upstream.sendall(b"!")
                    client.recv(1)
                    yield Ends(client, upstream, entrance.usage)


def endOf(sock: socket.socket, taken: bytearray) -> str:
    """Receives until the end of the stream, and returns how that came: ``FIN``, ``reset`` or ``nothing``.

    :param taken: gets the received bytes.
    """
    try:
        while data := sock.recv(1 << 16):
            taken += data
    except TimeoutError:
        return "nothing"
    except OSError:
        return "reset"
    return "FIN"


def arrival(sent: bytes, sock: socket.socket) -> str:
    """Returns how much of a stream arrives at a socket: ``all``, or a share and what ended it."""
    taken = bytearray()
    end = endOf(sock, taken)
    if not sent.startswith(taken):
        return f"wrong bytes, {end}"
    if len(taken) == len(sent):
        return "all" if end == "FIN" else f"all, {end}"
    return f"{100 * len(taken) / len(sent):.0f} %, {end}"


def _send(sock: socket.socket, data: bytes) -> None:
    """Sends a stream and its end, as far as the peer lets it."""
    with suppress(OSError):
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)


def _echo(sock: socket.socket) -> None:
    """Echoes until the end of the stream."""
    with suppress(OSError):
        while data := sock.recv(1 << 16):
            sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)


def _answerLate(sock: socket.socket) -> None:
    """Sends the stream back, some time after its end."""
    taken = bytearray()
    endOf(sock, taken)
    time.sleep(LATE)
    _send(sock, bytes(taken))


@contextmanager
def _meanwhile(function: Callable[[], object]) -> Iterator[None]:
    """Runs a function in a thread during the block, and waits for its end."""
    thread = Thread(target=function, daemon=True)
    thread.start()
    yield
    thread.join()


def _clientEnds(answer: Callable[[socket.socket], None], relay: Relay) -> str:
    data = random.Random(1).randbytes(SIZE)
    with (
        connected(relay) as ends,
        _meanwhile(partial(answer, ends.upstream)),
        _meanwhile(partial(_send, ends.client, data)),
    ):
        return arrival(data, ends.client)


def clientEndsEchoed(relay: Relay) -> str:
    """Returns how much of a stream with its end comes back from an echo."""
    return _clientEnds(_echo, relay)


def clientEndsLate(relay: Relay) -> str:
    """Returns how much of a stream comes back, when its answer begins only some time after its end."""
    return _clientEnds(_answerLate, relay)


def upstreamEnds(relay: Relay) -> str:
    """Returns how much of both streams arrives, when the upstream ends its own and the client goes on."""
    data = random.Random(2).randbytes(SIZE)
    with connected(relay) as ends:
        with _meanwhile(partial(_send, ends.upstream, data)):
            toClient = arrival(data, ends.client)
        with _meanwhile(partial(_goOn, ends.client, data)):
            toUpstream = arrival(data, ends.upstream)
    return toClient if toClient == toUpstream else f"{toClient} / {toUpstream}"


def _goOn(sock: socket.socket, data: bytes) -> None:
    """Sends a stream in pieces, with pauses, and its end."""
    size = len(data) // PIECES
    with suppress(OSError):
        for place in range(0, len(data), size):
            time.sleep(LATE / PIECES)
            sock.sendall(data[place : place + size])
        sock.shutdown(socket.SHUT_WR)


def _resets(first: socket.socket, other: socket.socket) -> str:
    first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    first.close()
    return endOf(other, bytearray())


def upstreamResets(relay: Relay) -> str:
    """Returns how the client sees a reset by the upstream."""
    with connected(relay) as ends:
        return _resets(ends.upstream, ends.client)


def clientResets(relay: Relay) -> str:
    """Returns how the upstream sees a reset by the client."""
    with connected(relay) as ends:
        return _resets(ends.client, ends.upstream)


def upstreamRefuses(relay: Relay) -> str:
    """Returns how a client sees an upstream on whose port no process listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with relay(bound.getsockname()) as entrance:
            try:
                client = socket.create_connection(entrance.address, SILENCE)
            except ConnectionRefusedError:
                return "refused"
            with client:
                return endOf(client, bytearray())


def _growth(sender: socket.socket, usage: Callable[[], Usage] | None) -> str:
    """Returns the growth of a relay's resident memory while one end sends, and the other does not read."""
    if usage is None:
        return "—"
    before = usage().memory
    data = bytes(1 << 16)
    sender.settimeout(STOPPED)
    until = time.monotonic() + FILLING
    isStopped, sent = False, 0
    while not isStopped and time.monotonic() < until and sent < MOST_SENT:
        try:
            sent += sender.send(data)
        except TimeoutError:
            isStopped = True
    growth = usage().memory - before
    return f"{growth / 1024:,.0f} KiB" + ("" if isStopped else ", and more")


def growthToUpstream(relay: Relay) -> str:
    """Returns the growth of memory while the client sends, and the upstream does not read."""
    with connected(relay) as ends:
        return _growth(ends.client, ends.usage)


def growthToClient(relay: Relay) -> str:
    """Returns the growth of memory while the upstream sends, and the client does not read."""
    with connected(relay) as ends:
        return _growth(ends.upstream, ends.usage)


# The lines of the table.
BEHAVIOURS: dict[str, Callable[[Relay], str]] = {
    "client sends 1 MB and FIN: echoed": clientEndsEchoed,
    "client sends 1 MB and FIN: answered 1 s later": clientEndsLate,
    "upstream sends 1 MB and FIN, client 1 MB after": upstreamEnds,
    "upstream resets: client sees": upstreamResets,
    "client resets: upstream sees": clientResets,
    "upstream refuses: client sees": upstreamRefuses,
    "memory, upstream does not read": growthToUpstream,
    "memory, client does not read": growthToClient,
}
