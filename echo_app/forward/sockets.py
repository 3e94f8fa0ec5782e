"""Sockets for datagrams to an upstream."""

from __future__ import annotations

import errno
import socket

from twisted.internet.error import DNSLookupError
from twisted.python.failure import Failure

from echo_app.connections.registry import RESERVED_DESCRIPTORS
from echo_app.forward.names import SocketName
from echo_app.targets import Target

# Errors of a socket that can't be made because the process, or the system, has no room for it.
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC)


def connected(name: SocketName, descriptorLimit: int | None) -> socket.socket:
    """Returns a socket for datagrams that is connected to an address, and does not block.

    :param descriptorLimit: the number that the process's descriptors stay below; None is no such limit.
    :raise OSError: when there is none; :func:`isNoRoom` says whether another address may have one.
    """
    family, address = name
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if descriptorLimit is not None and sock.fileno() >= descriptorLimit - RESERVED_DESCRIPTORS:
            raise OSError(errno.EMFILE, "one of the last descriptors")
        sock.setblocking(False)
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock


def isNoRoom(error: OSError) -> bool:
    """Says whether a socket could not be made because there is no room for another one."""
    return error.errno in _NO_ROOM


def literal(target: Target) -> list[SocketName] | Failure:
    """Returns the address that a target names, with its scope (RFC 4007); nothing is looked up for it."""
    try:
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_DGRAM, flags=flags)
    except OSError as error:
        # A scope that is no interface.
        return Failure(DNSLookupError(f"{target.host}: {error.strerror}"))
    return [(int(family), name) for family, *_, name in found]
