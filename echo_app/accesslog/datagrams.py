"""Counts datagrams, and writes an entry of the access log for each source and minute.

UDP has no connection whose end could write an entry. Therefore each source has sums. All sums are written a
minute after the first datagram of any source. A source address is easily forged, so the number of sources
with sums of their own is bounded. All other sources share one.
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

# Seconds from the first datagram to the entries.
PERIOD = 60.0

# Sources with sums of their own, on one port and in one period: half a megabyte of memory, and of entries.
SOURCES = 1024

# The ``peer`` of the sums that all other sources share.
OTHERS = "others"


@dataclass(slots=True)
class _Sums:
    """Has the counts of one source in one period."""

    record: ConnectionRecord
    datagramsIn: int = 0
    datagramsOut: int = 0
    bytesIn: int = 0
    bytesOut: int = 0
    faults: Counter[str] = field(default_factory=Counter)


class RecordedDatagrams(EchoDatagramProtocol):
    """Counts the datagrams between a port and its protocol, in both directions.

    :param protocol: answers the datagrams; this object is its transport.
    :param recorder: writes the entries.
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
        """Starts the protocol."""
        host: Any = self.transport.getHost()
        self._listener = hostPort(host.host, host.port)
        self._protocol.makeConnection(cast(Any, self))

    def stopProtocol(self) -> None:
        """Stops the protocol, and writes the entries."""
        self._protocol.doStop()
        self._write()

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Counts a datagram, and passes it to the protocol."""
        sums = self._of(addr)
        sums.datagramsIn += 1
        sums.bytesIn += len(datagram)
        self._asking = addr
        self._protocol.datagramReceived(datagram, addr)

    def write(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Sends an answer, and counts it.

        :raise OSError: when the kernel does not take the answer.
        """
        self.transport.write(datagram, addr)
        self._sent(datagram, addr)

    def replying(self) -> Callable[[bytes], None]:
        """Returns a function that answers the current datagram, now or later, and counts the answer."""
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
        """Returns an attribute of the port, for the protocol whose transport this is."""
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
