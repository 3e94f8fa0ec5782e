"""UDP port that answers from the address to which a datagram was sent.

They take datagrams of any size, and leave the reactor its turn under a flood.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
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
