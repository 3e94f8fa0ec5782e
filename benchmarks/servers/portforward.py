"""The relay of ``twisted.protocols.portforward``, with TCP_NODELAY on both connections."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import epollreactor
from twisted.protocols import portforward

from benchmarks.servers.commandline import BACKLOG, arguments


class Client(portforward.ProxyClient):
    """The connection to the upstream. Without the option a last short segment may wait for 40 ms."""

    def connectionMade(self) -> None:
        """Sets the option."""
        transport: Any = self.transport
        transport.setTcpNoDelay(True)
        super().connectionMade()


class ClientFactory(portforward.ProxyClientFactory):
    """Makes the connection to the upstream."""

    noisy = False
    protocol = Client


class Server(portforward.ProxyServer):
    """The connection of the client."""

    clientProtocolFactory = ClientFactory


def main() -> None:
    """Serves until the process is killed."""
    epollreactor.install()
    from twisted.internet import reactor as installed

    reactor: Any = installed
    wanted = arguments()
    factory = portforward.ProxyFactory(*wanted.upstream)
    factory.protocol = Server
    port = reactor.listenTCP(0, factory, BACKLOG, "127.0.0.1")
    # Connections inherit the option, without a system call each.
    port.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    reactor.callWhenRunning(wanted.tellReady, port.getHost().port)
    reactor.run()


if __name__ == "__main__":
    main()
