"""Acceptor: accepts connections of a TCP port with fewer system calls than Twisted's.

The rules of an :class:`Acceptor`: it does what ``tcp.Port.doRead`` does, in the same order, for as many
connections at once. What goes wrong with accepting, descriptors that ran out above all, is found again by
the port's own ``doRead``, where Twisted's rules for it are.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import tcp
from twisted.logger import Logger

from echo_app.addresses import internetAddress

log = Logger()


class Acceptor:
    """Accepts a TCP port's connections.

    :param port: a listening port of Twisted's own class.
    """

    def __init__(self, port: Any) -> None:
        self._port = port

    def doRead(self) -> None:
        """Accepts what is there, as many as the port would."""
        port = self._port
        most, accepted = port.numberAccepts, 0
        try:
            while accepted < most:
                try:
                    sock, address = port.socket.accept()
                except BlockingIOError:
                    break
                except OSError:
                    tcp.Port.doRead(port)
                    return
                accepted += 1
                self._serve(sock, address)
            # What the port does: a full batch may be followed by a larger one, and any other one is
            # not begun with an accept that finds nothing.
            port.numberAccepts = most + 20 if accepted == most else max(1, accepted)
        except BaseException:
            log.failure("{port} could not serve a connection", port=port)

    def _serve(self, sock: socket.socket, address: Any) -> None:
        port = self._port
        if len(address) > 2 and address[3]:
            # With its scope (RFC 4007), which accept() leaves out of the literal.
            host, _ = socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
            address = (host, *address[1:])
        protocol = port.factory.buildProtocol(internetAddress("TCP", *address))
        if protocol is None:
            sock.close()
            return
        number = port.sessionno
        port.sessionno = number + 1
        protocol.makeConnection(port.transport(sock, protocol, address, port, number, port.reactor))
