"""Datagrams, echoed (RFC 862), by a service that can't be made a weapon.

UDP sources are easily forged, and an answer that goes to another answering service goes round for ever
(CERT CA-1996-01, CVE-2024-2169). So three rules decide on each datagram before it is answered: its port
and address must be a client's; its source must stay within a rate; and a source that never pauses loses
one datagram in a thousand after ten thousand, which a client hardly feels and no loop survives.

:class:`EchoDatagramProtocol` works on any UDP port. :class:`DatagramEndpoint` opens one that answers
from the very address that was asked, takes datagrams of any size, and leaves the reactor its turn under
a flood.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from random import random
from time import monotonic
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import InvalidAddressError, MessageLengthError
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.udp import Port
from twisted.logger import Logger

from echo_app.addresses import isWildcardHost, peerKey, unmapped
from echo_app.limits import Tally

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorUDP, IUDPTransport

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

# Datagrams that are answered before the reactor has its turn: some 3 ms of small ones.
BATCH = 200

# The largest UDP payload is 65,507 bytes over IPv4 and 65,527 over IPv6 (RFC 768, RFC 8200).
LARGEST = 65_535

# What the kernel may hold for us between two turns; it grants at most net.core.rmem_max.
RECEIVE_BUFFER = 4 * 1024 * 1024

# ip(7); Python 3.11 does not name it.
IP_PKTINFO = 8
_IN_PKTINFO = struct.Struct("=i4s4s")
_CONTROL_SIZE = socket.CMSG_SPACE(_IN_PKTINFO.size) + socket.CMSG_SPACE(20)


BROADCAST = ipaddress.IPv4Address("255.255.255.255")


@lru_cache(maxsize=SOURCES)
def isClientAddress(host: str) -> bool:
    """Says whether one host may be at this address: not 0/8, broadcast, multicast or unspecified."""
    address = ipaddress.ip_address(unmapped(host))
    return not (
        address.is_multicast
        or address.is_unspecified
        or address == BROADCAST
        or (address.version == 4 and address.packed[0] == 0)
    )


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
        self.dropped = Tally("dropped datagrams", seconds)
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
        if isinstance(host, (IPv4Address, IPv6Address)):
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
        except (OSError, MessageLengthError, InvalidAddressError):
            # A full queue, an unreachable network: UDP promises nothing.
            rules.dropped.add("unsendable")
        else:
            rules.answered += 1


class DatagramPort(Port):
    """A UDP port that takes datagrams of any size, and answers from the address that was asked.

    While a datagram is with the protocol, what is written to its source leaves from the address that
    it was sent to. A datagram to a broadcast or multicast address never reaches the protocol.

    :param dropped: counts what is not passed on.
    """

    def __init__(
        self,
        port: int,
        protocol: DatagramProtocol,
        interface: str,
        reactor: object,
        dropped: Tally,
    ) -> None:
        super().__init__(port, protocol, interface, LARGEST, reactor)
        self._dropped = dropped
        self._wildcard = interface == "" or isWildcardHost(interface)
        self._scope = interface.partition("%")[2]
        self._reading = False
        self._made: socket.socket | None = None
        self._source: tuple[Any, ...] = ()
        self._asking: tuple[Any, ...] = ()
        self._control: list[tuple[int, int, bytes]] | None = []

    def createInternetSocket(self) -> socket.socket:
        """Makes the socket, told to say where datagrams were sent to if it is bound everywhere."""
        sock: socket.socket = super().createInternetSocket()
        self._made = sock
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        if self._scope:
            # What bind() would do with the scope that its two-tuple lacks.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._scope.encode())
        if self._wildcard:
            sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
            if sock.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        return sock

    def doRead(self) -> None:
        """Passes on what has come, a batch at the most."""
        for _ in range(BATCH):
            try:
                if self._wildcard:
                    data, ancillary, _flags, source = self.socket.recvmsg(LARGEST, _CONTROL_SIZE)
                    self._control = replyControl(ancillary)
                    if self._control is None:
                        self._dropped.add("broadcast")
                        continue
                else:
                    data, source = self.socket.recvfrom(LARGEST)
            except BlockingIOError:
                return
            except OSError:
                # An error that the network reported for an earlier answer.
                self._dropped.add("unreceivable")
                return
            self._source, self._asking = source, source[:2]
            try:
                self.protocol.datagramReceived(data, self._asking)
            except Exception:
                log.failure("a datagram's protocol failed")
            if not self._reading:
                return

    def startListening(self) -> None:
        """Binds.

        :raise CannotListenError: when it can't; the socket is closed.
        """
        try:
            super().startListening()
        except Exception:
            if self._made is not None:
                self._made.close()
            raise

    def startReading(self) -> None:
        """Takes datagrams."""
        self._reading = True
        super().startReading()

    def stopReading(self) -> None:
        """Takes no more datagrams, from the next one on."""
        self._reading = False
        super().stopReading()

    def replying(self) -> Callable[[bytes], None]:
        """Returns what answers the datagram that is with the protocol now, as ``write`` does, also later."""
        source, control = self._source, self._control or []

        def reply(datagram: bytes) -> None:
            self.socket.sendmsg([datagram], control, 0, source)

        return reply

    def write(self, datagram: bytes, addr: tuple[str, int] | None = None) -> None:
        """Sends a datagram.

        :raise OSError: when it can't be sent.
        """
        if addr != self._asking:
            super().write(datagram, addr)
        elif self._control:
            # With its scope, which the two-tuple lacks (RFC 4007).
            self.socket.sendmsg([datagram], self._control, 0, self._source)
        else:
            self.socket.sendto(datagram, self._source)


def replyControl(ancillary: list[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]] | None:
    """Returns the control messages that make an answer leave from where the question was sent to.

    :param ancillary: what came with the question (ip(7), RFC 3542, section 6).
    :return: None if it was sent to a broadcast or multicast address.
    """
    reply: list[tuple[int, int, bytes]] = []
    for level, kind, value in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
            _interface, local, destination = _IN_PKTINFO.unpack(value)
            if local != destination:
                return None
            reply = [(level, kind, _IN_PKTINFO.pack(0, local, b""))]
        elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            if value[0] == 0xFF:
                return None
            reply = reply or [(level, kind, value)]
    return reply


class DatagramEndpoint:
    """Where datagrams are taken: what a stream server endpoint is to streams.

    :param reactor: what the port will run in.
    :param port: 0 is any free one.
    :param interface: an IPv4 or IPv6 literal.
    """

    def __init__(self, reactor: IReactorUDP, port: int, interface: str = "127.0.0.1") -> None:
        self._reactor = reactor
        self._port = port
        self._interface = interface

    def listen(self, protocol: EchoDatagramProtocol) -> DatagramPort:
        """Opens the port.

        :raise CannotListenError: when it can't be bound.
        """
        port = DatagramPort(self._port, protocol, self._interface, self._reactor, protocol.rules.dropped)
        port.startListening()
        return port
