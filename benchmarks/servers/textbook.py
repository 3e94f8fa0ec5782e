"""The echo of Twisted's own documentation, which only writes the data that it receives."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from twisted.internet import epollreactor
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol
from twisted.internet.ssl import PrivateCertificate

from benchmarks.servers.commandline import BACKLOG, arguments


class Echo(Protocol):
    """Echoes a stream."""

    def dataReceived(self, data: bytes) -> None:
        """Sends the bytes back."""
        assert self.transport is not None
        self.transport.write(data)


class EchoDatagrams(DatagramProtocol):
    """Echoes datagrams."""

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Sends the datagram back."""
        assert self.transport is not None
        self.transport.write(datagram, addr)


def main() -> None:
    """Serves until the process is killed."""
    epollreactor.install()
    from twisted.internet import reactor as installed

    reactor: Any = installed
    wanted = arguments()
    factory = Factory.forProtocol(Echo)
    if wanted.transport == "udp":
        port = reactor.listenUDP(0, EchoDatagrams(), "127.0.0.1")
    elif wanted.transport == "tls":
        tls = PrivateCertificate.loadPEM(Path(wanted.certificate).read_bytes()).options()
        port = reactor.listenSSL(0, factory, tls, BACKLOG, "127.0.0.1")
    else:
        port = reactor.listenTCP(0, factory, BACKLOG, "127.0.0.1")
    if wanted.transport != "udp":
        # Connections inherit the option, without a system call each.
        port.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    reactor.callWhenRunning(wanted.tellReady, port.getHost().port)
    reactor.run()


if __name__ == "__main__":
    main()
