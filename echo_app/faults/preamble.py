"""A peer's first line that chooses the faults of its own connection.

    preamble = "!fault" *(1*SP spec) *SP [CR] LF   ; 1024 bytes at the most

With it, the specs (:mod:`echo_app.faults.spec`) are the connection's faults instead of the service's; without
any spec it has none. The line is consumed: the echo begins with the byte after it. A wrong one is answered
by one line, ``!fault error: `` and the reason, and the connection is closed.

A connection that begins otherwise is no less exact than any other: at the first byte that no preamble has
there, everything is handed over as it came. A beginning that could still become one, such as ``!fau``,
waits for the next byte, 3 seconds at most, and is then, or at the end of the stream, data like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from echo_app.addresses import describe
from echo_app.connections.gate import Gate, endReading
from echo_app.connections.record import Ending
from echo_app.faults.fault import BadSpec, Fault, StreamFault
from echo_app.faults.plan import MAX_FAULTS
from echo_app.faults.spec import parseFault

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from echo_app.connections.connection import Connection
    from echo_app.interfaces import Build

# Bytes of a preamble, its end of line included: some eight faults.
MAX_LINE = 1024

_NAME = b"!fault"
_BEGINNINGS = tuple(_NAME + each for each in (b" ", b"\n", b"\r\n"))

# Returns a function that makes the next protocol with the faults that the peer chose; None is no choice.
FaultyBuild: TypeAlias = "Callable[[tuple[Fault, ...] | None], Build]"


class PreambleGate(Gate):
    """Reads the preamble, if there is one, and hands the connection over with the faults that it chooses."""

    ending = Ending.PREAMBLE
    # To cover a retransmission (RFC 6298, 2.1: a second at first).
    prefixTimeout = 3.0

    def __init__(self, faulty: FaultyBuild, connection: Connection, clock: IReactorTime) -> None:
        super().__init__(faulty(None), connection, clock)
        self._faulty = faulty

    def prefixReceived(self) -> None:
        """Hands over when the beginning is known to be a preamble or data."""
        # An echo is owed, though not written yet: a drain waits for it.
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
        """A beginning of a preamble, alone, is data; a preamble without its end is none."""
        if self._isPreamble():
            self._refuse("no end of line")
            return
        self.handOver(0)
        endReading(self.transport)

    def expired(self) -> None:
        """The same as at the end of the stream, only that it goes on."""
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
            faults = parseFaults([spec for spec in line.removesuffix("\r").split(" ") if spec])
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


def parseFaults(specs: Sequence[str]) -> tuple[Fault, ...]:
    """Returns the faults that a connection chose for itself.

    :raise BadSpec: when one of them is none, or not a connection's; it says which.
    """
    if len(specs) > MAX_FAULTS:
        raise BadSpec(f"{len(specs)} faults, where {MAX_FAULTS} is the most")
    faults = []
    for number, spec in enumerate(specs, 1):
        try:
            faults.append(_own(parseFault(spec)))
        except BadSpec as error:
            raise BadSpec(f"spec {number}: {error}") from None
    return tuple(faults)


def _own(fault: Fault) -> Fault:
    """Returns a fault that one connection may have for itself."""
    if not isinstance(fault, StreamFault):
        raise BadSpec(f"{fault.name!r} is no fault of a connection")
    if fault.connections is not None:
        raise BadSpec("'connections' is not for a connection to choose")
    return fault
