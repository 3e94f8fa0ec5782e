"""Preamble: a connection's first line, by which the peer chooses the connection's faults.

    preamble = "!fault" *(1*SP spec) *SP [CR] LF   ; 1024 bytes at the most

The specs (:mod:`echo_app.faults.spec`) replace the service's faults for this connection; no spec is no fault.
The line is consumed: the echo begins with the byte after it. The answer to a wrong preamble is one line,
``!fault error: `` and the reason, and then the end of the stream.

Any other beginning is data: at the first byte that no preamble has there, all bytes are handed over
unchanged. A beginning that could still become a preamble, such as ``!fau``, waits for the next byte,
3 seconds at most. After that, or at the end of the stream, it is data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from echo_app.addresses import describe
from echo_app.connections.gate import Gate, endReading
from echo_app.connections.record import Ending
from echo_app.faults.fault import NEEDS_FORWARDING, NEEDS_MESSAGES, BadSpec, Fault, Stage, StreamFault
from echo_app.faults.spec import parseFault

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from echo_app.connections.connection import Connection
    from echo_app.interfaces import Build

# Bytes of the longest preamble, its end of line included: about eight faults.
MAX_LINE = 1024

# Faults of a peer's choice: some ten microseconds of each of its bytes at the most.
MAX_FAULTS = 8

# Those of them that change bytes. Each takes 1 to 2 µs for a byte, with a probability just below 1. Bytes of
# a stream pass them by small pieces, between which others have their turn. A message passes faults of
# messages as a whole: 0.06 s for each fault and the 64 KiB of the longest answer to a line.
MAX_CHANGES = 2

# Seconds of the shortest period of a window, or silence: a timer for each takes some 20 microseconds.
MIN_PERIOD = 0.01

_NAME = b"!fault"
_BEGINNINGS = tuple(_NAME + each for each in (b" ", b"\n", b"\r\n"))

# Returns a function that makes the next protocol with the faults that the peer chose; None is no choice.
FaultyBuild: TypeAlias = "Callable[[tuple[Fault, ...] | None], Build]"


class PreambleGate(Gate):
    """Reads the preamble, if there is one, and hands the connection over with the faults that it chooses."""

    ending = Ending.PREAMBLE
    # Covers a retransmission, whose first time-out is a second (RFC 6298, 2.1).
    prefixTimeout = 3.0

    def __init__(
        self,
        faulty: FaultyBuild,
        connection: Connection,
        clock: IReactorTime,
        hasMessages: bool = False,
        hasUpstream: bool = False,
    ) -> None:
        super().__init__(faulty(None), connection, clock)
        self._faulty = faulty
        self._kinds = hasMessages, hasUpstream

    def prefixReceived(self) -> None:
        """Hands over when the beginning is known to be a preamble or data."""
        # An echo is owed that is not written yet: a drain waits for it.
        self.pending = 1
        if not self._isPreamble():
            if not self._mayBecomeOne():
                self.handOver(0)
            return
        end = self.received.find(b"\n", 0, MAX_LINE)
        if end >= 0:
            self._choose(end)
        elif len(self.received) >= MAX_LINE:
            self._refuse(f"more than {MAX_LINE} bytes without an end of line")

    def prefixEnded(self) -> None:
        """Hands over a part of ``!fault`` as data; refuses a preamble without an end of line."""
        if self._isPreamble():
            self._refuse("no end of line")
            return
        self.handOver(0)
        endReading(self.transport)

    def expired(self) -> None:
        """Decides as at the end of the stream, which goes on here."""
        if self._isPreamble():
            self._refuse(f"no end of line within {self.prefixTimeout:g} s")
        else:
            self.handOver(0)

    def _isPreamble(self) -> bool:
        return self.received.startswith(_BEGINNINGS)

    def _mayBecomeOne(self) -> bool:
        return any(each.startswith(self.received) for each in _BEGINNINGS)

    def _choose(self, end: int) -> None:
        line = self.received[len(_NAME) : end].decode("ascii", "backslashreplace")
        try:
            specs = [spec for spec in line.removesuffix("\r").split(" ") if spec]
            faults = parsePreamble(specs, *self._kinds)
        except BadSpec as error:
            self._refuse(str(error))
            return
        self.build = self._faulty(faults)
        self.handOver(end + 1)

    def _refuse(self, why: str) -> None:
        peer = describe(self.transport.getPeer())
        line = f"{peer} sent !fault: {why}"
        self.connection.refuse(self.ending, "bad-preamble", why, line)
        self.dismiss(f"!fault error: {why}\n".encode())


def parsePreamble(
    specs: Sequence[str], hasMessages: bool = False, hasUpstream: bool = False
) -> tuple[Fault, ...]:
    """Returns the faults that a peer chose for its connection.

    :param hasMessages: the protocol of the connection sends messages.
    :param hasUpstream: the stream goes on to an upstream.
    :raise BadSpec: on a wrong spec, or one that is not for a connection; the text has its number.
    """
    if len(specs) > MAX_FAULTS:
        raise BadSpec(f"{len(specs)} faults, where {MAX_FAULTS} is the most")
    faults: list[StreamFault] = []
    for number, spec in enumerate(specs, 1):
        try:
            faults.append(_own(parseFault(spec), hasMessages, hasUpstream))
            if sum(each.stage is Stage.CHANGE for each in faults) > MAX_CHANGES:
                raise BadSpec(f"more than {MAX_CHANGES} faults that change bytes cost too much")
        except BadSpec as error:
            raise BadSpec(f"spec {number}: {error}") from None
    return tuple(faults)


def _own(fault: Fault, hasMessages: bool, hasUpstream: bool) -> StreamFault:
    """Returns a fault, if a preamble may choose it."""
    if not isinstance(fault, StreamFault):
        raise BadSpec(f"{fault.name!r} is no fault of a connection")
    if fault.connections is not None:
        raise BadSpec("'connections' is not for a connection to choose")
    if fault.messageKey and fault.direction == "in":
        raise BadSpec(f"{fault.messageKey} with direction=in {NEEDS_FORWARDING}")
    if fault.messageKey and not hasMessages:
        raise BadSpec(f"{fault.messageKey} {NEEDS_MESSAGES}")
    if reason := fault.lacks(framed=True, datagrams=False, forwardsStreams=hasUpstream):
        raise BadSpec(reason)
    for key, seconds in (("every", fault.period), ("after-idle", fault.afterIdle)):
        if seconds is not None and seconds < MIN_PERIOD:
            raise BadSpec(f"'{key}' of less than {1000 * MIN_PERIOD:g} ms costs too much")
    return fault
