"""Dialling: makes the connections of a load, from a target to a channel."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

from echo_app.probe.load.channel import Channel, Encrypted, Plain
from echo_app.probe.load.loop import IN, OUT, Loop
from echo_app.probe.net.errors import ErrorKind, Reason, reasonOf, reasonOfNumber
from echo_app.probe.net.tls import contextOf
from echo_app.targets import BadTarget, Target

# Answers that come in a pause of this process are kept, as are those of a burst (socket(7)).
_RECEIVE_BUFFER = 1 << 20


class Address:
    """Addresses of a target: the first address of its name at first.

    :raise BadTarget: when it is nowhere that a load knows.
    :raise OSError: when its name does not resolve, or a file for its TLS can't be used.
    """

    def __init__(self, target: Target) -> None:
        if target.kind == "endpoint":
            raise BadTarget("a load needs HOST:PORT, or tcp://, tls://, udp:// or unix://")
        self.target = target
        self.context = contextOf(target.tls) if target.kind == "tls" else None
        self._kind = socket.SOCK_STREAM if target.isStream else socket.SOCK_DGRAM
        self._found: list[tuple[int, object]] = [(socket.AF_UNIX, target.path)]
        if target.kind != "unix":
            found = socket.getaddrinfo(target.host, target.port, type=self._kind)
            self._found = [(family, address) for family, _, _, _, address in found]

    @property
    def isLast(self) -> bool:
        """Says whether there is no other address."""
        return len(self._found) == 1

    def next(self) -> None:
        """Turns to the next address."""
        del self._found[0]

    def dial(self, loop: Loop) -> Dial:
        """Begins to connect, with a socket that does not block.

        :raise OSError: when that fails at once.
        """
        family, address = self._found[0]
        sock = socket.socket(family, self._kind)
        try:
            sock.setblocking(False)
            if not self.target.isStream:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            elif family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            number = sock.connect_ex(address)  # type: ignore[arg-type]
            if number not in (0, errno.EINPROGRESS):
                raise OSError(number, "")
        except OSError:
            sock.close()
            raise
        return Dial(loop, sock, self)


class Dial:
    """One attempt to connect.

    :param sock: has begun to.
    """

    def __init__(self, loop: Loop, sock: socket.socket, address: Address) -> None:
        self._loop = loop
        self._sock = sock
        self._address = address
        self._isShaking = False

    def start(self, connected: Callable[[Channel], object], failed: Callable[[Reason], object]) -> None:
        """Waits for the end of the attempt.

        :param connected: is called with a channel.
        :param failed: is called with the reason.
        """
        self._connected = connected
        self._failed = failed
        self._loop.watch(self._sock.fileno(), OUT, self._ready)

    def giveUp(self) -> None:
        """Ends the attempt as one that was not answered."""
        self._fail(Reason(ErrorKind.TIMED_OUT))

    def close(self) -> None:
        """Ends the attempt without a call."""
        self._loop.forget(self._sock.fileno())
        self._sock.close()

    def _ready(self, event: int) -> None:
        number = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._fail(reasonOfNumber(number))
            return
        try:
            self._sock.getpeername()
        except OSError:
            # Not yet: the event was that of another socket, which had the same descriptor.
            return
        if self._address.context is None:
            self._succeed(Plain(self._sock))
            return
        self._tls = Encrypted(self._sock, self._address.context, self._address.target.serverName)
        self._isShaking = True
        self._loop.change(self._sock.fileno(), IN, self._shake)
        self._shake(event)

    def _shake(self, event: int) -> None:
        try:
            self._tls.shake()
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(reasonOf(error))
        else:
            self._succeed(self._tls)

    def _succeed(self, channel: Channel) -> None:
        self._loop.forget(self._sock.fileno())
        self._connected(channel)

    def _fail(self, reason: Reason) -> None:
        self.close()
        self._failed(reason.inHandshake if self._isShaking else reason.whileConnecting)
