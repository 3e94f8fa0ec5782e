"""Accepts connections of a TCP port with fewer system calls than Twisted's.

The rules of :func:`acceptWaiting`: it does the same as ``tcp.Port.doRead``, in the same order, for as many
connections at once, but begins with none after ``TURN`` seconds. After an error of accept(), such as a lack
of descriptors, it calls the port's own ``doRead``, which finds the error again and has Twisted's rules for
it.
"""

from __future__ import annotations

import socket
from functools import partial
from time import monotonic
from typing import Any

from twisted.internet import tcp
from twisted.logger import Logger

from echo_app.addresses import internetAddress, scoped

log = Logger()

# Seconds after which no further connection is accepted in one turn. With its layers, one takes 55 to 200
# microseconds, and all open connections wait for the batch. Twisted's batches have no bound.
TURN = 0.002

# Pieces of work of a listener's connections from which on it accepts no more of them, until what waits is
# done: a quarter of a second of handshakes. Further peers wait in the kernel's queue.
MAX_WAITING = 256


def acceptWaiting(port: Any) -> None:
    """Accepts the waiting connections of a listening port of Twisted's own class, as many as it would."""
    most, accepted = port.numberAccepts, 0
    until = monotonic() + TURN
    try:
        while accepted < most and (not accepted or monotonic() < until):
            try:
                # The method below socket.accept(), whose conversions to enums take two microseconds.
                fd, address = port.socket._accept()
            except BlockingIOError:
                break
            except OSError:
                tcp.Port.doRead(port)
                return
            accepted += 1
            family = socket.AF_INET if len(address) == 2 else socket.AF_INET6
            sock = socket.socket(family, socket.SOCK_STREAM, 0, fd)
            _serve(port, sock, address)
        # As the port does: after a full batch the next may be larger. After another batch, the next is as
        # large as this one was, to save the accept() that finds nothing.
        port.numberAccepts = most + 20 if accepted == most else max(1, accepted)
        # A factory of ours may have a work queue for its connections.
        queue = getattr(port.factory, "workQueue", None)
        if queue is not None and len(queue) >= MAX_WAITING:
            port.stopReading()
            queue.add(partial(_resume, port))
    except BaseException:
        log.failure("{port} could not serve a connection", port=port)


def _resume(port: Any) -> None:
    """Accepts again, unless the port has stopped listening meanwhile."""
    isOpen = port.connected and not port.disconnecting
    if isOpen and port.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        port.startReading()


def _serve(port: Any, sock: socket.socket, address: Any) -> None:
    address = scoped(address)
    protocol = port.factory.buildProtocol(internetAddress("TCP", *address))
    if protocol is None:
        sock.close()
        return
    number = port.sessionno
    port.sessionno = number + 1
    protocol.makeConnection(port.transport(sock, protocol, address, port, number, port.reactor))
