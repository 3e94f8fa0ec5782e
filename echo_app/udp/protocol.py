"""The echo over UDP (RFC 862), with rules against loops, reflection and floods.

UDP sources are easily forged, and an answer to another answering service starts an endless loop (CERT
CA-1996-01, CVE-2024-2169). So each datagram must pass three rules before it is answered:

- Its source has the port and the address of a client.
- Its source stays within a rate.
- A source that never pauses loses one datagram in a thousand, after ten thousand. A client hardly notices
  this loss, and no loop survives it.

:class:`EchoDatagramProtocol` works on any UDP port. :mod:`echo_app.udp.port` has one with more features.
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

# Default of the answers a second to one source.
RATE = 1000

# Ports of servers, which a client does not use: those below 1024 (chargen, DNS, NTP, echo itself), and NFS.
SERVER_PORTS = frozenset({*range(1024), 2049})

# A source that has sent this many datagrams without a pause loses one in LOSS from there on.
MAX_STREAK = 10_000
LOSS = 1000

# Seconds of silence that make a pause. No round trip takes that long, so that no loop ever pauses.
PAUSE = 10.0

# Sources with an allowance; the one that was silent longest is dropped. About 300 bytes each.
SOURCES = 4096

# Errors of a port that can't send a datagram: a full queue, an unreachable network, a name in place of an
# address. UDP promises no delivery, so they are only counted.
UNSENDABLE = (OSError, MessageLengthError, InvalidAddressError)


@lru_cache(maxsize=SOURCES)
def isClientAddress(host: str) -> bool:
    """Says whether one host may be at this address: not 0/8, broadcast, multicast or unspecified."""
    address = ipAddressOf(host)
    isThisNetwork = address.version == 4 and address.packed[0] == 0
    return not (isThisNetwork or address.is_unspecified or isGroup(address))


@dataclass(slots=True)
class _Source:
    """The state of one source.

    :param tokens: answers that the rate allows now.
    :param lastHeard: the time of the last datagram, in seconds.
    :param streak: datagrams since the last pause.
    """

    tokens: float
    lastHeard: float
    streak: int = 0


class DatagramRules:
    """Decides which datagrams are answered, and counts them; one object for all ports of a service.

    A source is an IPv4 address or an IPv6 /64, so an attacker who forges ports gains nothing.

    :param rate: answers a second to one source, and as many at once; None is no limit and no loop
        breaker.
    :param seconds: returns the time, in seconds.
    :param chance: returns a random number from 0 up to 1, for the loss of the loop breaker.
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
        """Says whether a datagram from a host and port is answered; counts it as dropped if not."""
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
        """Counts a datagram of a source; returns the rule that it breaks, ``rate`` or ``loop``, or None."""
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
        # A reactor's clock is a wall clock, which may be set back.
        silence = max(0.0, now - source.lastHeard)
        source.lastHeard = now
        source.streak = 1 if silence >= PAUSE else source.streak + 1
        source.tokens = min(burst, source.tokens + silence * rate)
        if source.tokens < 1:
            return "rate"
        source.tokens -= 1
        return "loop" if source.streak > MAX_STREAK and self._chance() * LOSS < 1 else None


class EchoDatagramProtocol(DatagramProtocol):
    """Sends each datagram that the rules admit back to its source.

    :param rules: the rules and their counts; None is new default rules.
    """

    transport: IUDPTransport
    noisy = False

    def __init__(self, rules: DatagramRules | None = None) -> None:
        self.rules = DatagramRules() if rules is None else rules
        self._ownPort: int | None = None

    def startProtocol(self) -> None:
        """Adds the port to the service's own ports, whose datagrams are not answered."""
        host = self.transport.getHost()
        if isinstance(host, InternetAddress):
            self._ownPort = host.port
            self.rules.ownPorts[host.port] += 1

    def stopProtocol(self) -> None:
        """Removes the port from the service's own ports."""
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
