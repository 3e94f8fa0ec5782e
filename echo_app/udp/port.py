"""UDP port that answers from the address to which a datagram was sent.

The port takes datagrams of any size, and leaves the reactor its turn under a flood.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import DatagramProtocol
from twisted.internet.udp import Port
from twisted.logger import Logger

from echo_app.addresses import isWildcardHost
from echo_app.connections.registry import ReasonCounter
from echo_app.udp.protocol import EchoDatagramProtocol

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorUDP

log = Logger()

# Datagrams of one turn of the reactor: some 3 ms with small ones.
BATCH = 200

# The largest UDP payload is 65,507 bytes over IPv4 and 65,527 over IPv6 (RFC 768, RFC 8200).
LARGEST = 65_535

# Bytes that the kernel may hold between two turns; it grants at most net.core.rmem_max.
RECEIVE_BUFFER = 4 * 1024 * 1024

# The option's number, from ip(7); Python 3.11 has no name for it.
IP_PKTINFO = 8
_IN_PKTINFO = struct.Struct("=i4s4s")
_CONTROL_SIZE = socket.CMSG_SPACE(_IN_PKTINFO.size) + socket.CMSG_SPACE(20)


class DatagramPort(Port):
    """A UDP port that takes datagrams of any size, and answers from the address of the request.

    While the protocol has a datagram, a write to its source leaves from the address to which the datagram was
    sent. A datagram to a broadcast or multicast address never reaches the protocol.

    :param dropped: counts the datagrams that do not reach the protocol.
    """

    def __init__(
        self,
        port: int,
        protocol: DatagramProtocol,
        interface: str,
        reactor: object,
        dropped: ReasonCounter,
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
        """Makes the socket. On a wildcard address, the kernel adds each datagram's destination."""
        sock: socket.socket = super().createInternetSocket()
        self._made = sock
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        if self._scope:
            # Twisted's bind() lacks the scope: its address is a two-tuple.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._scope.encode())
        if self._wildcard:
            sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
            if sock.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        return sock

    def doRead(self) -> None:
        """Passes received datagrams to the protocol, at most ``BATCH``."""
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
                # The network reported an error for an earlier answer.
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
        """Binds the socket.

        :raise CannotListenError: when that fails; the socket is closed.
        """
        try:
            super().startListening()
        except Exception:
            if self._made is not None:
                self._made.close()
            raise

    def startReading(self) -> None:
        """Starts taking datagrams."""
        self._reading = True
        super().startReading()

    def stopReading(self) -> None:
        """Stops taking datagrams, also within a batch."""
        self._reading = False
        super().stopReading()

    @property
    def ends(self) -> Hashable:
        """Returns the source of the current datagram, and the own address to which it was sent.

        Two datagrams with equal ends are of one client. The value has no other meaning.
        """
        return self._source, self._control[0][2] if self._control else b""

    def replying(self) -> Callable[[bytes], None]:
        """Returns a function that answers the current datagram, now or later, and raises as ``write``."""
        source, control = self._source, self._control or []

        def reply(datagram: bytes) -> None:
            self.socket.sendmsg([datagram], control, 0, source)

        return reply

    def write(self, datagram: bytes, addr: tuple[str, int] | None = None) -> None:
        """Sends a datagram.

        :raise OSError: when the kernel does not take the datagram.
        """
        if addr != self._asking:
            super().write(datagram, addr)
        elif self._control:
            # The source has the scope, which the two-tuple lacks (RFC 4007).
            self.socket.sendmsg([datagram], self._control, 0, self._source)
        else:
            self.socket.sendto(datagram, self._source)


def replyControl(ancillary: list[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]] | None:
    """Returns the control messages that send an answer from the destination of the request.

    :param ancillary: the control messages of the request (ip(7), RFC 3542, section 6).
    :return: None after a request to a broadcast or multicast address.
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
    """A server endpoint for datagrams: opens a UDP port.

    :param reactor: runs the port.
    :param port: the port's number; 0 is any free one.
    :param interface: an IPv4 or IPv6 literal.
    """

    def __init__(self, reactor: IReactorUDP, port: int, interface: str = "127.0.0.1") -> None:
        self._reactor = reactor
        self._port = port
        self._interface = interface

    def listen(self, protocol: EchoDatagramProtocol) -> DatagramPort:
        """Opens the port.

        :raise CannotListenError: when the port can't be bound.
        """
        port = DatagramPort(self._port, protocol, self._interface, self._reactor, protocol.rules.dropped)
        port.startListening()
        return port
