"""Socket for datagrams to one target, which survives ICMP messages."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack
from enum import Enum
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from echo_app.probe.net.errors import NetworkError, reasonOf
from echo_app.targets import Target

# The largest payload of a datagram over IPv4 (RFC 768, RFC 791): 65,535 bytes less two headers.
LARGEST_DATAGRAM = 65_507

# Bytes: a pause of this machine is no loss of the path, so that the kernel keeps the answers of a second.
RECEIVE_BUFFER = 1 << 20

# ip(7), ipv6(7); Python does not name them.
_IP_MTU, _IPV6_MTU = 14, 24
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER = 10, 23


class Discovery(Enum):
    """How the kernel treats a datagram that is larger than the path's MTU (ip(7), ``IP_MTU_DISCOVER``)."""

    # Routers may fragment it.
    DONT = 0
    # Routers must not, and ICMP messages teach the kernel to fragment it here.
    WANT = 1
    # Routers must not, and nobody fragments it, whatever ICMP messages say.
    PROBE = 3


@implementer(IReadDescriptor)
class DatagramSocket:
    """A socket that sends datagrams to one target, and receives from every address.

    It does not use Twisted's UDP ports, as they end at the first ICMP message.

    :param reactor: an ``IReactorTime`` and ``IReactorFDSet``.
    :param target: at a literal address.
    :ivar refusals: ICMP messages of the target's host (RFC 792: port unreachable), to a connected socket.
    """

    def __init__(self, reactor: Any, target: Target) -> None:
        self.refusals = 0
        self._reactor = reactor
        self._target = target
        self._isConnected = False

    def open(self, isConnected: bool = False, discovery: Discovery = Discovery.WANT) -> None:
        """Opens the socket.

        :param isConnected: take answers from the target alone, and count ICMP messages.
        :param discovery: of the path's MTU.
        :raise NetworkError: where there is no way to the target.
        """
        family = socket.AF_INET6 if ":" in self._target.host else socket.AF_INET
        with ExitStack() as stack:
            try:
                sock = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
                sock.setblocking(False)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
                option = _IPV6_MTU_DISCOVER if family == socket.AF_INET6 else _IP_MTU_DISCOVER
                level = socket.IPPROTO_IPV6 if family == socket.AF_INET6 else socket.IPPROTO_IP
                sock.setsockopt(level, option, discovery.value)
                sock.bind(("", 0))
                self._address = socket.getaddrinfo(
                    self._target.host,
                    self._target.port,
                    family,
                    socket.SOCK_DGRAM,
                    flags=socket.AI_NUMERICHOST,
                )[0][4]
                if isConnected:
                    sock.connect(self._address)
            except OSError as error:
                raise NetworkError(reasonOf(error)) from error
            stack.pop_all()
        self._sock = sock
        self._isConnected = isConnected
        self._reactor.addReader(self)

    def close(self) -> None:
        """Closes the socket."""
        self._reactor.removeReader(self)
        self._sock.close()

    @property
    def port(self) -> int:
        """The source port."""
        return int(self._sock.getsockname()[1])

    @property
    def unfragmented(self) -> int:
        """Bytes of the largest datagram of a connected socket that leaves in one packet, by the kernel."""
        if self._sock.family == socket.AF_INET6:
            return self._sock.getsockopt(socket.IPPROTO_IPV6, _IPV6_MTU) - 48
        return self._sock.getsockopt(socket.IPPROTO_IP, _IP_MTU) - 28

    def received(self, data: bytes, address: str) -> None:
        """Takes a datagram.

        :param address: where it came from; empty if from the target.
        """

    def transmit(self, data: bytes) -> None:
        """Gives bytes to the kernel, which may refuse them after an ICMP message."""
        try:
            if self._isConnected:
                self._sock.send(data)
            else:
                self._sock.sendto(data, self._address)
        except OSError as error:
            self.refusals += error.errno == errno.ECONNREFUSED

    def fileno(self) -> int:
        """Returns the descriptor."""
        return self._sock.fileno()

    def logPrefix(self) -> str:
        """Returns the prefix of log lines."""
        return "probe"

    def doRead(self) -> None:
        """Reads a datagram. The reactor calls it."""
        try:
            data, address = self._sock.recvfrom(1 << 16)
        except BlockingIOError:
            return
        except OSError as error:
            self.refusals += error.errno == errno.ECONNREFUSED
        else:
            isTarget = address[:2] == self._address[:2]
            self.received(data, "" if isTarget else f"{address[0]} port {address[1]}")

    def connectionLost(self, reason: Failure) -> None:
        """Counts a refusal, and reads on: the reactor takes an ICMP message for the end of the socket."""
        error = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self.refusals += error == errno.ECONNREFUSED
        self._reactor.addReader(self)
