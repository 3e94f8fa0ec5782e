"""The echo over UDP (RFC 862), with rules against loops, reflection and floods.

UDP sources are easily forged, and an answer that goes to another answering service goes round for ever
(CERT CA-1996-01, CVE-2024-2169). So three rules decide on each datagram before it is answered: its port
and address must be a client's; its source must stay within a rate; and a source that never pauses loses
one datagram in a thousand after ten thousand, which a client hardly feels and no loop survives.

:class:`EchoDatagramProtocol` works on any UDP port; :mod:`echo_app.udp.port` has one that fits it.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from random import random
from time import monotonic
from typing import TYPE_CHECKING

from twisted.internet.error import InvalidAddressError, MessageLengthError
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger

from echo_app.addresses import InternetAddress, ipAddressOf, isGroup, peerKey
from echo_app.connections.registry import ReasonCounter

if TYPE_CHECKING:
    from twisted.internet.interfaces import IUDPTransport

    from echo_app.access.networks import Access

log = Logger()

# Answers a second to one source, unless told otherwise.
RATE = 1000

# Ports at which a server answers rather than a client asks: those below 1024 (chargen, DNS, NTP, and
# echo itself among them), and NFS.
SERVER_PORTS = frozenset({*range(1024), 2049})

# A source that has sent this many datagrams without a pause loses one in LOSS from there on.
PATIENCE = 10_000
LOSS = 1000

# Seconds of silence that make a pause. No round trip takes that long, so that no loop ever pauses.
PAUSE = 10.0

# Sources that are remembered; the one that was silent longest is forgotten. About 300 bytes each.
SOURCES = 4096

# What a port raises for a datagram that it can't send: a full queue, an unreachable network, a name for an
# address. UDP promises nothing, so that it is counted and no more.
UNSENDABLE = (OSError, MessageLengthError, InvalidAddressError)


@lru_cache(maxsize=SOURCES)
def isClientAddress(host: str) -> bool:
    """Says whether one host may be at this address: not 0/8, broadcast, multicast or unspecified."""
    address = ipAddressOf(host)
    isThisNetwork = address.version == 4 and address.packed[0] == 0
    return not (isThisNetwork or address.is_unspecified or isGroup(address))


@dataclass(slots=True)
class _Source:
    """One source's allowance, when it was last heard, and how many datagrams ago it paused."""

    tokens: float
    lastHeard: float
    streak: int = 0


class DatagramRules:
    """Decides which datagrams are answered, and counts; one object for all ports of a service.

    A source is an IPv4 address or an IPv6 /64: whoever forges ports gains nothing.

    :param rate: answers a second to one source, and as many at once; None is no limit and no loop
        breaker.
    :param seconds: returns what time it is, in seconds.
    :param chance: returns a number from 0 up to 1: whether a loop loses this datagram.
    :param access: the networks whose datagrams are answered; None is all.
    """

    def __init__(
        self,
        rate: float | None = RATE,
        seconds: Callable[[], float] = monotonic,
        chance: Callable[[], float] = random,
        access: Access | None = None,
    ) -> None:
        self.ownPorts: Counter[int] = Counter()
        self.answered = 0
        self.dropped = ReasonCounter("dropped datagrams", seconds)
        self._rate = rate
        self._seconds = seconds
        self._chance = chance
        self._access = access
        self._sources: OrderedDict[str, _Source] = OrderedDict()

    def admits(self, host: str, port: int) -> bool:
        """Says whether a datagram from there is answered; counts it as dropped if not."""
        if port in SERVER_PORTS:
            reason: str | None = "server-port"
        elif port in self.ownPorts:
            reason = "own-port"
        elif not isClientAddress(host):
            reason = "address"
        elif self._access is not None and not self._access.permitsHost(host):
            reason = "denied"
        elif self._rate is None:
            return True
        else:
            reason = self._excess(host, self._rate)
        if reason is not None:
            self.dropped.add(reason)
        return reason is None

    def _excess(self, host: str, rate: float) -> str | None:
        """Returns what a datagram is too much of; None, and takes it into account, if nothing."""
        now = self._seconds()
        burst = max(1.0, rate)
        key = peerKey(host)
        source = self._sources.get(key)
        if source is None:
            source = self._sources[key] = _Source(burst, now)
            if len(self._sources) > SOURCES:
                self._sources.popitem(last=False)
        else:
            self._sources.move_to_end(key)
        # A wall clock, which a reactor's is, may be set back.
        silence = max(0.0, now - source.lastHeard)
        source.lastHeard = now
        source.streak = 1 if silence >= PAUSE else source.streak + 1
        source.tokens = min(burst, source.tokens + silence * rate)
        if source.tokens < 1:
            return "rate"
        source.tokens -= 1
        return "loop" if source.streak > PATIENCE and self._chance() * LOSS < 1 else None


class EchoDatagramProtocol(DatagramProtocol):
    """Sends each datagram back to where it came from, once, if the rules admit it.

    :param rules: what is answered, and the counts; None is rules of its own.
    """

    transport: IUDPTransport
    noisy = False

    def __init__(self, rules: DatagramRules | None = None) -> None:
        self.rules = DatagramRules() if rules is None else rules
        self._ownPort: int | None = None

    def startProtocol(self) -> None:
        """Makes the port known as one of ours."""
        host = self.transport.getHost()
        if isinstance(host, InternetAddress):
            self._ownPort = host.port
            self.rules.ownPorts[host.port] += 1

    def stopProtocol(self) -> None:
        """Forgets the port."""
        if self._ownPort is not None:
            self.rules.ownPorts[self._ownPort] -= 1
            self.rules.ownPorts += Counter()

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Sends the datagram back."""
        host, port = addr
        rules = self.rules
        if not rules.admits(host, port):
            return
        try:
            self.transport.write(datagram, addr)
        except UNSENDABLE:
            rules.dropped.add("unsendable")
        else:
            rules.answered += 1
