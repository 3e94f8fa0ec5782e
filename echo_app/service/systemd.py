"""Listening sockets that a service manager passes (sd_listen_fds(3)), as endpoints.

Twisted's ``systemd:`` descriptions need the domain of a socket, and pass over LISTEN_FDS without
LISTEN_FDNAMES, which sd_listen_fds(3) does not require. This module finds such sockets too, and takes the
short forms ``systemd:NAME`` and ``systemd:INDEX``, with the domain of the socket itself.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from twisted.internet.defer import fail
from twisted.internet.endpoints import AdoptedStreamServerEndpoint
from twisted.internet.interfaces import IProtocolFactory

# SD_LISTEN_FDS_START of sd-daemon.h.
FIRST_DESCRIPTOR = 3

# The name of a descriptor without one (sd_listen_fds_with_names(3)).
_UNNAMED = "unknown"


class PassedSocketEndpoint(AdoptedStreamServerEndpoint):
    """The endpoint of a passed socket, which listens once.

    Twisted's ``listen`` closes the descriptor, whose number another file may have next. So a second endpoint
    of the socket, by its name and by its index, would listen on that file.

    :param descriptor: is noted with the socket's inode.
    """

    def __init__(self, reactor: Any, descriptor: int, family: int) -> None:
        super().__init__(reactor, descriptor, family)
        self._inode = os.fstat(descriptor).st_ino

    def listen(self, factory: IProtocolFactory) -> Any:
        """Listens; fails with ``ValueError`` when another endpoint has taken the socket."""
        try:
            isThere = os.fstat(self.fileno).st_ino == self._inode
        except OSError:
            isThere = False
        return super().listen(factory) if isThere else fail(ValueError("another option has taken the socket"))


def passedSockets() -> list[tuple[str, int]]:
    """Returns the name and the descriptor of each socket that was passed to this process.

    Twisted has removed the variables from ``os.environ`` when it was imported; the kernel still has them.
    """
    try:
        lines = os.fsdecode(Path("/proc/self/environ").read_bytes()).split("\0")
    except OSError:
        return []
    given = dict(line.split("=", 1) for line in lines if "=" in line)
    count = given.get("LISTEN_FDS", "")
    if given.get("LISTEN_PID") != str(os.getpid()) or not count.isdecimal():
        return []
    names = [each for each in given.get("LISTEN_FDNAMES", "").split(":") if each]
    names += [_UNNAMED] * (int(count) - len(names))
    return [(names[index], FIRST_DESCRIPTOR + index) for index in range(int(count))]


def systemdEndpoint(reactor: Any, description: str) -> PassedSocketEndpoint | None:
    """Returns the endpoint of a ``systemd:`` description; None where only Twisted finds its descriptor.

    :param description: ``systemd:NAME``, ``systemd:INDEX``, or Twisted's form, such as
        ``systemd:domain=INET:index=0``.
    :raise LookupError: when the short form names no passed socket.
    :raise ValueError: when it names a socket that is no stream socket that listens, or several sockets.
    """
    passed = passedSockets()
    where = _argumentsOf(description)
    if list(where) == ["place"]:
        descriptor = _descriptorOf(where["place"], passed)
        return PassedSocketEndpoint(reactor, descriptor, _familyOf(descriptor))
    family = getattr(socket, f"AF_{where.pop('domain', '')}", None)
    index, name = where.pop("index", None), where.pop("name", None)
    found = [
        descriptor
        for each, (itsName, descriptor) in enumerate(passed)
        if name == itsName or index == str(each)
    ]
    # Twisted says what is wrong with any other description.
    if family is None or where or (index is None) == (name is None) or not found:
        return None
    return PassedSocketEndpoint(reactor, found[-1], family)


def isLocal(description: str) -> bool:
    """Says whether a ``systemd:`` description's socket is a UNIX one, whose bytes no third party reads."""
    where = _argumentsOf(description)
    if list(where) != ["place"]:
        return where.get("domain") == "UNIX"
    try:
        return _familyOf(_descriptorOf(where["place"], passedSockets())) == socket.AF_UNIX
    except (LookupError, ValueError, OSError):
        return False


def _argumentsOf(description: str) -> dict[str, str]:
    """Returns the arguments of a description by name; ``place`` is that of the short form."""
    arguments = description.removeprefix("systemd:").split(":")
    if len(arguments) == 1 and arguments[0] and "=" not in arguments[0]:
        return {"place": arguments[0]}
    found = {}
    for position, each in zip(("domain", "index", "name", "more"), arguments, strict=False):
        name, equals, value = each.partition("=")
        found[name if equals else position] = value if equals else each
    return found


def _descriptorOf(place: str, passed: list[tuple[str, int]]) -> int:
    """Returns the descriptor of a name, or of an index where no socket has that name."""
    found = [descriptor for name, descriptor in passed if name == place]
    if len(found) > 1:
        raise ValueError(f"{len(found)} sockets in LISTEN_FDS have the name {place!r}; use an index")
    if not found and place.isdecimal() and int(place) < len(passed):
        return passed[int(place)][1]
    if not found:
        raise LookupError(place)
    return found[0]


def _familyOf(descriptor: int) -> int:
    """Returns the address family of a listening stream socket."""
    with socket.socket(fileno=os.dup(descriptor)) as sock:
        listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if sock.type != socket.SOCK_STREAM or not listens:
            raise ValueError("it is no stream socket that listens")
        return sock.family
