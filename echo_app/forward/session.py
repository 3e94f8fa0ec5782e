"""A datagram session: one client's socket to the upstream."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from echo_app.forward.sockets import connected
from echo_app.udp.protocol import UNSENDABLE

if TYPE_CHECKING:
    from echo_app.forward.names import SocketName
    from echo_app.forward.sessions import Sessions
    from echo_app.udp.protocol import DatagramRules

# The largest UDP payload is 65,507 bytes over IPv4 and 65,527 over IPv6 (RFC 768, RFC 8200).
LARGEST = 65_535

# Datagrams, and bytes, of one session in one turn of the poller, which serves up to 64 sessions: some 15 ms
# with small datagrams as with large ones.
BATCH = 16
BATCH_BYTES = 64 * 1024

# Names of the errors by which a connected socket tells of an ICMP message; any other is ``error``.
REPORTED = {
    errno.ECONNREFUSED: "refused",
    errno.EHOSTUNREACH: "host-unreachable",
    errno.ENETUNREACH: "network-unreachable",
    errno.ENOPROTOOPT: "protocol-unreachable",
}


class DatagramSession:
    """One client's way to the upstream: a descriptor that waits for answers.

    The first address of the upstream is taken. The next one is taken when an address has no route, or refuses
    datagrams before it has answered any: ``localhost`` often has two, of which a service uses one.

    :param owner: has all sessions.
    :param key: identifies the session.
    :param rules: count what is dropped, and the answers.
    :param reply: sends an answer to the client.
    :param now: the time of the first datagram.

    :ivar lastMoved: the time of the last datagram in either direction.
    :ivar held: the datagrams that wait for a look-up.
    :ivar name: the socket's local name, from its connection on.
    :ivar isEnded: the session is over.
    """

    __slots__ = (
        *("_isAnswered", "_names", "_owner", "_sock"),
        *("held", "isEnded", "key", "lastMoved", "name", "reply", "rules"),
    )

    disconnecting = False

    def __init__(
        self,
        owner: Sessions,
        key: Hashable,
        rules: DatagramRules,
        reply: Callable[[bytes], object],
        now: float,
    ) -> None:
        self.key = key
        self.rules = rules
        self.reply = reply
        self.lastMoved = now
        self.held: list[bytes] = []
        self.name: tuple[str, int] | None = None
        self.isEnded = False
        self._owner = owner
        self._sock: socket.socket | None = None
        self._names: Sequence[SocketName] = ()
        self._isAnswered = False

    def open(self, names: Sequence[SocketName]) -> None:
        """Connects the socket to the first address that has a route.

        :raise OSError: when none has, or there is no room for a socket.
        """
        self._names = names
        self._take(self._connect())

    def send(self, datagram: bytes) -> None:
        """Sends a datagram to the upstream, or drops and counts it."""
        owner = self._owner
        if self.isEnded:
            self.rules.dropped.add("upstream")
            return
        owner.moved(self)
        if self._sock is None:
            if not owner.hold(self, datagram):
                self.rules.dropped.add("look-up")
            return
        try:
            self._transmit(self._sock, datagram)
        except BlockingIOError:
            self.rules.dropped.add("upstream-full")
        except OSError:
            self.rules.dropped.add("unsendable")
        else:
            owner.sent += 1

    def doRead(self) -> None:
        """Sends answers of the upstream to the client."""
        owner, sock, size = self._owner, self._sock, 0
        for _ in range(BATCH):
            if sock is None or size >= BATCH_BYTES:
                return
            try:
                datagram = sock.recv(LARGEST)
            except BlockingIOError:
                return
            except OSError as error:
                self._reported(error.errno)
            else:
                size += len(datagram)
                self._isAnswered = True
                owner.received += 1
                owner.moved(self)
                self._answer(datagram)
            sock = self._sock

    def connectionLost(self, reason: Failure) -> None:
        """Takes an error of the socket, which goes on; any other reason ends the session.

        A poller takes an error without input for the end of the connection, and has removed the descriptor.
        """
        sock = self._sock
        if sock is None:
            return
        if reason.check(ConnectionDone) is None:
            self._owner.end(self, "lost", reason.getErrorMessage())
            return
        self._owner.poller.addReader(self)
        if number := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._reported(number)

    def close(self) -> None:
        """Closes the socket; the owner calls it at the session's end."""
        self.isEnded = True
        sock, self._names = self._sock, ()
        if sock is not None:
            self._owner.poller.removeReader(self)
            self._sock = None
            sock.close()

    def fileno(self) -> int:
        """Returns the descriptor; -1 without a socket."""
        return -1 if self._sock is None else self._sock.fileno()

    def logPrefix(self) -> str:
        """Returns the log prefix."""
        return "datagram session"

    def _answer(self, datagram: bytes) -> None:
        rules = self.rules
        try:
            self.reply(datagram)
        except UNSENDABLE:
            rules.dropped.add("unsendable")
        else:
            rules.answered += 1

    def _transmit(self, sock: socket.socket, datagram: bytes) -> None:
        """Sends a datagram, a second time after the report of an earlier one, or at the next address."""
        try:
            sock.send(datagram)
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno not in REPORTED:
                raise
            # The kernel has told of an earlier datagram, and not sent this one.
            self._reported(error.errno)
            sock = self._sock or sock
            sock.send(datagram)
        if self._names and not self._isAnswered:
            # On the own host, the refusal is there already.
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number and self._reported(number) and self._sock is not None:
                self._transmit(self._sock, datagram)

    def _reported(self, number: int | None) -> bool:
        """Counts an error that the network reported; returns whether the next address is taken now."""
        self._owner.unreachable.add(REPORTED.get(number or 0, "error"))
        if number != errno.ECONNREFUSED or self._isAnswered or not self._names:
            return False
        try:
            sock = self._connect()
        except OSError:
            return False
        try:
            self._take(sock)
        except OSError as error:
            self._owner.end(self, "descriptors", str(error))
        return not self.isEnded

    def _connect(self) -> socket.socket:
        """Returns a socket to the next address that has a route.

        :raise OSError: when there is none.
        """
        failed = OSError(errno.EADDRNOTAVAIL, "no address")
        while self._names:
            name, self._names = self._names[0], self._names[1:]
            try:
                return connected(name, self._owner.descriptorLimit)
            except OSError as error:
                failed = error
        raise failed

    def _take(self, sock: socket.socket) -> None:
        """Makes a socket the session's, in place of the one before.

        :raise OSError: when the poller can't take it; the session must end.
        """
        owner, old = self._owner, self._sock
        if old is not None:
            owner.poller.removeReader(self)
            owner.disown(self)
            self._sock = None
            old.close()
        self._sock = sock
        owner.poller.addReader(self)
        owner.own(self, sock.getsockname()[:2])
