"""Endpoints of ``--listen``, from Twisted's descriptions, with errors in one line.

Descriptions have the meaning that Twisted gives them, with one repair. Twisted's lock file beside a UNIX
socket names the process before daemonizing, so the next start takes the path from a live service. This module
connects to an existing socket instead, and removes the socket only if no process listens on it.

Functions import the modules for TLS, which take a quarter of a start.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
from contextlib import suppress
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from echo_app.addresses import isLoopbackHost
from echo_app.hints import didYouMean, nearest
from echo_app.service.systemd import isLocal, systemdEndpoint
from echo_app.text import escaped, reasonOf

log = Logger()

# Connections that the kernel may queue until they are accepted.
BACKLOG = 1024

# Bytes of the path of a UNIX socket: sun_path without its null byte (unix(7)).
LONGEST_PATH = 107

# Python's error for a parser of a description that lacks an argument.
_MISSING = re.compile(r"missing \d+ required positional arguments?: (.*)")

# Sockets for which there is no --port: --proxy-protocol applies to them under --listen, and --tls opens them.
SOCKETS = ("unix:", "systemd:")

# A description of each kind.
_EXAMPLES = {
    "tcp": "tcp:8080",
    "tcp6": "tcp6:8080",
    "unix": "unix:/run/echo.sock",
    "ssl": "ssl:8443:privateKey=key.pem:certKey=cert.pem",
    "tls": "tls:/etc/certificates:tcp:8443",
    "systemd": "systemd:0 or systemd:NAME",
    "haproxy": "haproxy:tcp:8080",
}


class BadDescription(ValueError):
    """A description of no usable endpoint; the text has the reason, in one line."""


@implementer(IStreamServerEndpoint)
class NamedEndpoint:
    """An endpoint whose errors have the name that the user typed.

    :param name: the option and its value.
    :param endpoint: listens: an ``IStreamServerEndpoint``, or a ``DatagramEndpoint``.
    """

    def __init__(self, name: str, endpoint: Any) -> None:
        self._name = name
        self._endpoint = endpoint

    def listen(self, protocolFactory: Any) -> Deferred[IListeningPort]:
        """Listens; fails with ``CannotListenError``, whose port is the name."""
        return maybeDeferred(self._endpoint.listen, protocolFactory).addErrback(self._failed)

    def _failed(self, failure: Failure) -> Failure:
        return Failure(CannotListenError(None, self._name, failure.value))


def endpointFromDescription(reactor: Any, description: str) -> IStreamServerEndpoint:
    """Returns the endpoint that a description names.

    :param description: as for ``twisted.internet.endpoints.serverFromString``.
    :raise BadDescription: when the endpoint can't be made, for any reason.
    """
    from OpenSSL import SSL, crypto

    from echo_app.tls.pemfiles import checkDirectory, unusableFile

    kind = description.removeprefix("haproxy:").partition(":")[0]
    if kind == "stdio":
        raise BadDescription("standard input is not a listener")
    try:
        careful = _CarefulReactor(reactor)
        isPassed = description.startswith("systemd:")
        endpoint = systemdEndpoint(careful, description) if isPassed else None
        if endpoint is None:
            endpoint = serverFromString(careful, description)
        if kind == "tls":
            checkDirectory(_argument(description, 0, "path"))
    except BadDescription:
        raise
    except (crypto.Error, SSL.Error) as error:
        reason = unusableFile(*_filesOf(description)) if kind == "ssl" else "a .pem file is not usable"
        raise BadDescription(reason) from error
    except LookupError as error:
        # Twisted's error names no descriptor.
        wanted = _argument(description, 1, "index") or _argument(description, 2, "name") or error
        raise BadDescription(f"no such descriptor in LISTEN_FDS: {wanted}") from error
    except Exception as error:
        raise BadDescription(_reasonOf(error, kind)) from error
    return endpoint


def _reasonOf(error: Exception, kind: str) -> str:
    """Returns an error's reason in one line, with an example where an argument or a kind is wrong."""
    reason = reasonOf(error)
    if found := _MISSING.match(reason):
        example = _EXAMPLES.get(kind)
        return f"it needs {found[1]}" + (f", such as {example}" if example else "")
    if reason.startswith("Unknown endpoint type"):
        return reason + didYouMean([f"tcp:{kind}"] if kind.isdecimal() else nearest(kind, _EXAMPLES))
    return reason


def isPrivate(description: str) -> bool:
    """Says whether bytes to a description's listener are safe from other readers.

    They are safe over Twisted's TLS, over a UNIX socket, and on a loopback address. Other kinds of listener
    count as unsafe.
    """
    if description.startswith("systemd:"):
        return isLocal(description)
    kind = description.removeprefix("haproxy:").partition(":")[0]
    if kind in ("tcp", "tcp6"):
        return isLoopbackHost(_argument(description, 1 if kind == "tcp" else 2, "interface"))
    return kind in ("ssl", "tls", "unix")


def isSocket(description: str) -> bool:
    """Says whether a description is of a socket that ``--proxy-protocol`` and ``--tls`` take."""
    return description.startswith(SOCKETS)


def _argument(description: str, position: int, name: str, default: str = "") -> str:
    """Returns the argument of a description at a position, or with a name."""
    _, *parts = re.split(r"(?<!\\):", description.removeprefix("haproxy:"))
    value = default
    for index, part in enumerate(parts):
        found, equals, rest = part.partition("=")
        if (found == name) if equals else (index == position):
            value = rest if equals else part
    return value.replace("\\:", ":")


def _filesOf(description: str) -> tuple[str, str]:
    """Returns the paths of the key and the certificate in an ``ssl:`` description."""
    key = _argument(description, 1, "privateKey", "server.pem")
    return key, _argument(description, 2, "certKey", key)


class _CarefulReactor:
    """Wraps the user's reactor: UNIX sockets have no lock file, and TLS contexts are checked at once.

    The file of an adopted UNIX socket belongs to the service manager, and stays as it is.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenSSL(
        self, port: int, factory: object, contextFactory: Any, backlog: int = 50, interface: str = ""
    ) -> Any:
        """Listens if the TLS context can be made; Twisted makes it only at the first handshake."""
        from OpenSSL import SSL

        try:
            contextFactory.getContext()
        except SSL.Error as error:
            raise BadDescription("dhParameters: no usable file in PEM form") from error
        return self._reactor.listenSSL(port, factory, contextFactory, backlog, interface)

    def listenUNIX(
        self, address: str, factory: IProtocolFactory, backlog: int = 50, mode: int = 0o666, wantPID: int = 0
    ) -> Any:
        """Listens on a path, after the removal of a dead socket.

        :raise BadDescription: when the path is too long for clients.
        """
        if not address.startswith("\0"):
            _checkLength(address)
        removeDeadSocket(address)
        port = _UNIXPort(os.fsencode(address), factory, backlog, mode, self._reactor)
        port.startListening()
        return port

    def adoptStreamPort(self, descriptor: int, family: int, factory: IProtocolFactory) -> Any:
        """Listens on a copy of a passed socket."""
        if family != socket.AF_UNIX:
            return self._reactor.adoptStreamPort(descriptor, family, factory)
        port = _AdoptedUNIXPort(descriptor, factory, self._reactor)
        port.startListening()
        return port


class _UNIXPort(unix.Port):
    """A UNIX port that removes its own socket file, and not the file of another service at that path."""

    _file: os.stat_result | None = None

    def __init__(self, path: bytes, *arguments: Any) -> None:
        super().__init__(path, *arguments)
        # A daemon may change its directory.
        self._path = os.path.abspath(path)

    def startListening(self) -> None:
        """Listens, and notes which file is its own; an abstract address has none."""
        super().startListening()
        with suppress(OSError, ValueError):
            self._file = os.stat(self._path)

    def connectionLost(self, reason: Failure) -> None:
        """Removes the file, and closes the socket. A failure is logged, so that a stop goes on."""
        try:
            if self._file is not None and os.path.samestat(self._file, os.stat(self._path)):
                os.unlink(self._path)
        except FileNotFoundError:
            pass
        except OSError as error:
            log.warn(
                "{path} not removed: {reason}", path=escaped(os.fsdecode(self._path)), reason=error.strerror
            )
        # Not the method of unix.Port, which removes any file.
        tcp.Port.connectionLost(self, reason)


class _AdoptedUNIXPort(_UNIXPort):
    """A UNIX port on a copy of a passed socket, whose file it does not change.

    Twisted's own port changes the mode of the file, and removes the file at its end, unless the name that it
    is made with is abstract. ``getHost`` asks the socket.
    """

    def __init__(self, descriptor: int, factory: IProtocolFactory, reactor: Any) -> None:
        super().__init__(b"\0passed", factory, BACKLOG, 0, reactor)
        self._preexistingSocket = socket.fromfd(descriptor, socket.AF_UNIX, socket.SOCK_STREAM)


def _checkLength(path: str) -> None:
    """Refuses a path that clients can't connect to by its absolute form.

    :raise BadDescription: names the limit.
    """
    size = len(os.fsencode(os.path.abspath(path)))
    if size > LONGEST_PATH:
        raise BadDescription(f"the absolute path has {size} bytes, and clients can use {LONGEST_PATH}")


def removeDeadSocket(path: str) -> None:
    """Removes a socket file on which no process listens; anything else at the path stays.

    :param path: a file's path, or an abstract address, which has no file.
    :raise OSError: when a dead socket can't be removed.
    """
    try:
        if path.startswith("\0") or not stat.S_ISSOCK(os.stat(path).st_mode):
            return
    except OSError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        if probe.connect_ex(path) == errno.ECONNREFUSED:
            os.unlink(path)
