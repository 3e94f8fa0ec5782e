"""Connections with a largest segment that is set before they are made (``TCP_MAXSEG``, tcp(7)).

The option caps what both ends send: the SYN has it, so that the far end's segments are no larger either.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IWriteDescriptor
from twisted.internet.protocol import ServerFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from echo_app.probe.net.errors import ErrorKind, NetworkError, Reason, reasonOf, reasonOfNumber
from echo_app.probe.net.stream import CONNECT_TIMEOUT, Stream
from echo_app.probe.net.waits import NothingCame, pause, within
from echo_app.probe.net.wire import WireProtocol

# The kernel's own search for a smaller segment after time-outs (ip-sysctl: 0 is never).
_PROBING = Path("/proc/sys/net/ipv4/tcp_mtu_probing")


def doesKernelProbe() -> bool:
    """Says whether this kernel looks for a smaller segment by itself when large ones get lost."""
    try:
        return _PROBING.read_text().strip() != "0"
    except OSError:
        return False


@implementer(IWriteDescriptor)
class _Connecting:
    """Waits until a socket is connected, or is not.

    :ivar done: fires with the number of the error; 0 is none.
    """

    def __init__(self, reactor: Any, sock: socket.socket) -> None:
        self._reactor = reactor
        self._sock = sock
        self.done: Deferred[int] = Deferred(lambda waiting: reactor.removeWriter(self))
        reactor.addWriter(self)

    def fileno(self) -> int:
        """Returns the descriptor."""
        return self._sock.fileno()

    def logPrefix(self) -> str:
        """Returns the prefix of log lines."""
        return "probe"

    def doWrite(self) -> None:
        """Ends the wait. The reactor calls it."""
        self._reactor.removeWriter(self)
        if not self.done.called:
            self.done.callback(self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def connectionLost(self, reason: Failure) -> None:
        """Ends the wait: the reactor has seen an error."""
        self.doWrite()


async def connectWithSegments(
    reactor: Any, host: str, port: int, size: int, timeout: float = CONNECT_TIMEOUT
) -> Stream:
    """Connects over TCP with a largest segment.

    :param host: an IP literal.
    :param size: payload bytes of the largest segment.
    :param timeout: seconds for the connection.
    :raise NetworkError: when there is no connection.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, size)
        try:
            sock.connect((host, port))
        except BlockingIOError:
            pass
        except OSError as error:
            raise NetworkError(reasonOf(error).whileConnecting) from error
        try:
            number = await within(reactor, timeout, _Connecting(reactor, sock).done)
        except NothingCame as error:
            raise NetworkError(reasonOf(error).whileConnecting) from error
        if number:
            raise NetworkError(reasonOfNumber(number).whileConnecting)
        protocol = WireProtocol(reactor)
        # The reactor keeps a duplicate of the descriptor.
        reactor.adoptStreamConnection(sock.fileno(), family, ServerFactory.forProtocol(lambda: protocol))
    await pause(reactor, 0)
    if protocol.wire is None or protocol.gone.called:
        raise NetworkError(Reason(ErrorKind.RESET))
    return Stream(reactor, protocol.wire)
