"""Datagrams that are recorded: a line for each source and minute.

There is no connection that could end, so that what a source sent and got is summed up from its first datagram
on, and written a minute after the first one of any source. How many sources are told apart is bounded, since
they are easily forged; the others are one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from echo_app.accesslog.recorder import Recorder
from echo_app.addresses import hostPort
from echo_app.connections.record import ConnectionRecord
from echo_app.udp.protocol import EchoDatagramProtocol

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

# Seconds that are summed up.
PERIOD = 60.0

# Sources that are told apart in that time on one port: half a megabyte of memory, and of lines.
SOURCES = 1024

# What the others are called together.
OTHERS = "others"


@dataclass(slots=True)
class _Sums:
    record: ConnectionRecord
    datagramsIn: int = 0
    datagramsOut: int = 0
    bytesIn: int = 0
    bytesOut: int = 0
    faults: Counter[str] = field(default_factory=Counter)


class RecordedDatagrams(EchoDatagramProtocol):
    """Stands between a port and the protocol of its datagrams, and counts them both ways.

    :param protocol: what answers; this is its transport.
    :param recorder: writes down what was counted.
    """

    def __init__(self, protocol: EchoDatagramProtocol, recorder: Recorder) -> None:
        super().__init__(protocol.rules)
        self._protocol = protocol
        self._recorder = recorder
        self._sums: dict[tuple[str, int] | None, _Sums] = {}
        self._call: IDelayedCall | None = None
        self._listener = ""
        self._asking = ("", 0)

    def startProtocol(self) -> None:
        """Begins, with the protocol."""
        host: Any = self.transport.getHost()
        self._listener = hostPort(host.host, host.port)
        self._protocol.makeConnection(cast(Any, self))

    def stopProtocol(self) -> None:
        """Ends the protocol, and writes what was counted."""
        self._protocol.doStop()
        self._write()

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Counts a datagram, and passes it on."""
        sums = self._of(addr)
        sums.datagramsIn += 1
        sums.bytesIn += len(datagram)
        self._asking = addr
        self._protocol.datagramReceived(datagram, addr)

    def write(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Sends an answer, and counts it.

        :raise OSError: when it can't be sent.
        """
        self.transport.write(datagram, addr)
        self._sent(datagram, addr)

    def replying(self) -> Callable[[bytes], None]:
        """Returns what answers the datagram that is with the protocol now, also later, and counts that."""
        port: Any = self.transport
        addr, reply = self._asking, port.replying()

        def counted(datagram: bytes) -> None:
            reply(datagram)
            self._sent(datagram, addr)

        return counted

    def noteFault(self, addr: tuple[str, int], kind: str) -> None:
        """Counts a fault that took effect on an answer."""
        self._of(addr).faults[kind] += 1

    def _sent(self, datagram: bytes, addr: tuple[str, int]) -> None:
        sums = self._of(addr)
        sums.datagramsOut += 1
        sums.bytesOut += len(datagram)

    def __getattr__(self, name: str) -> Any:
        """Answers for the port, as the protocol's transport."""
        return getattr(self.transport, name)

    def _of(self, addr: tuple[str, int]) -> _Sums:
        sums = self._sums.get(addr)
        return sums or self._begun(addr if len(self._sums) < SOURCES else None)

    def _begun(self, source: tuple[str, int] | None) -> _Sums:
        if self._call is None:
            self._call = self._recorder.clock.callLater(PERIOD, self._write)
        if source not in self._sums:
            self._sums[source] = _Sums(self._recorder.begin())
        return self._sums[source]

    def _write(self) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None
        sums, self._sums = self._sums, {}
        for source, each in sums.items():
            self._recorder.write(
                each.record,
                {
                    "transport": "udp",
                    "listener": self._listener,
                    "peer": OTHERS if source is None else hostPort(*source),
                    "bytes_in": each.bytesIn,
                    "bytes_out": each.bytesOut,
                    "datagrams_in": each.datagramsIn,
                    "datagrams_out": each.datagramsOut,
                    "datagram_faults": dict(each.faults) or None,
                },
            )
