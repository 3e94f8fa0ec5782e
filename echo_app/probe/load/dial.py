"""Dialling: makes the connections of a load, from a target to a channel."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections import Counter
from collections.abc import Callable

from echo_app.probe.load.channel import Channel, Encrypted, Plain
from echo_app.probe.load.loop import IN, OUT, Loop
from echo_app.probe.net.errors import ErrorKind, Reason, reasonOf, reasonOfNumber
from echo_app.probe.net.proxyheader import ProxyHeader
from echo_app.probe.net.tls import contextOf
from echo_app.targets import BadTarget, Target

# Answers that come in a pause of this process are kept, as are those of a burst (socket(7)).
_RECEIVE_BUFFER = 1 << 20


class Address:
    """Addresses of a target, which connections take in turn.

    :param isOne: connections take the first address alone, until :meth:`next`.
    :param turn: number of the address that the first connection takes.
    :param proxy: PROXY header that each connection sends first.
    :ivar made: connections by address; empty where there is one address.
    :raise BadTarget: when it is nowhere that a load knows.
    :raise OSError: when its name does not resolve, or a file for its TLS can't be used.
    """

    def __init__(
        self, target: Target, isOne: bool = False, turn: int = 0, proxy: ProxyHeader | None = None
    ) -> None:
        if target.kind == "endpoint":
            raise BadTarget("a load needs HOST:PORT, or tcp://, tls://, udp:// or unix://")
        self.target = target
        self.proxy = proxy
        self.context = contextOf(target.tls) if target.kind == "tls" else None
        self._kind = socket.SOCK_STREAM if target.isStream else socket.SOCK_DGRAM
        self._found: list[tuple[int, object]] = [(socket.AF_UNIX, target.path)]
        if target.kind != "unix":
            found = socket.getaddrinfo(target.host, target.port, type=self._kind)
            self._found = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
        self._isOne = isOne
        self._turn = turn - 1
        self.made: Counter[str] = Counter()
        self._excused: Counter[Reason] = Counter()
        if len(self._found) > 1:
            self.made.update({_nameOf(address): 0 for _, address in self._found})

    @property
    def isLast(self) -> bool:
        """Says whether there is no other address."""
        return len(self._found) == 1

    def next(self) -> None:
        """Turns to the next address."""
        del self._found[0]

    def settle(self) -> Counter[Reason]:
        """Leaves out the addresses to which no connection was made; returns the errors that are no finding.

        Those are a family without a route from this machine, and a loopback address that refuses: localhost
        has two addresses, and servers often listen on one.
        """
        if self.made and not self._isOne:
            working = [each for each in self._found if self.made[_nameOf(each[1])]]
            self._found = working or self._found
        excused, self._excused = self._excused, Counter()
        return excused if self.made and self.made.total() else Counter()

    def counted(self, address: object, reason: Reason | None = None) -> None:
        """Counts a connection to an address, or the reason for which there is none."""
        name = _nameOf(address)
        if reason is None:
            self.made.update({name: 1} if self.made else ())
        elif self.made and not self.made[name] and _isExcused(name, reason):
            self._excused[reason] += 1

    def dial(self, loop: Loop) -> Dial:
        """Begins to connect, with a socket that does not block.

        :raise OSError: when that fails at once.
        """
        self._turn += not self._isOne
        family, address = self._found[self._turn % len(self._found) if not self._isOne else 0]
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
        except OSError as error:
            sock.close()
            self.counted(address, reasonOf(error))
            raise
        return Dial(loop, sock, self, address)


def _nameOf(address: object) -> str:
    return str(address[0]) if isinstance(address, tuple) else str(address)


def _isExcused(name: str, reason: Reason) -> bool:
    isLoopback = reason.kind is ErrorKind.REFUSED and ipaddress.ip_address(name).is_loopback
    return isLoopback or reason.kind in (ErrorKind.UNREACHABLE, ErrorKind.NO_LOCAL_ADDRESS)


class Dial:
    """One attempt to connect.

    :param sock: has begun to.
    :param at: the address to which it connects.
    """

    def __init__(self, loop: Loop, sock: socket.socket, address: Address, at: object) -> None:
        self._loop = loop
        self._at = at
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
        try:
            # An empty send buffer takes these bytes at once.
            if self._address.proxy is not None:
                self._sock.send(self._address.proxy.encode(self._sock))
        except OSError as error:
            self._fail(reasonOf(error))
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
        self._address.counted(self._at)
        self._connected(channel)

    def _fail(self, reason: Reason) -> None:
        self.close()
        reason = reason.inHandshake if self._isShaking else reason.whileConnecting
        self._address.counted(self._at, reason)
        self._failed(reason)
