"""Datagram sessions: a socket of its own to the upstream for each client of a UDP port.

An answer comes to the socket that sent the request, so that the socket says which client it is for. The
socket is connected (connect(2)): the kernel then reports ICMP errors, and drops what comes from any other
source. So an upstream that answers from another address or port seems silent.

The rules of :class:`Sessions`:

- A session is in `_sessions` from its first datagram to its end, the one that was silent longest first. There
  is one delayed call for all time-outs, exactly while there is a session.
- While the upstream's name is looked up, a session has no socket. It waits in `_unresolved`, then `_queue`.
  Only such a session holds datagrams; `_held` and `_heldBytes` are the sums of these.
- A session's socket is in the poller, and its name in `_own`, until the session's end.
- `made` is the number of open sessions and of all in `ended`.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.error import DNSLookupError
from twisted.logger import Logger
from twisted.python.failure import Failure

from echo_app.addresses import unmapped
from echo_app.connections.registry import ReasonCounter
from echo_app.forward.names import Names, SocketName
from echo_app.forward.session import DatagramSession
from echo_app.forward.sockets import isNoRoom, literal
from echo_app.targets import Target
from echo_app.transport.poller import HAS_EPOLL, pollerOf
from echo_app.transport.workqueue import WorkQueue

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from echo_app.udp.protocol import DatagramRules

log = Logger()

# Default of the seconds without a datagram that end a session: Envoy's UDP proxy has the same.
TIMEOUT = 60.0

# Default of the most sessions: each takes a descriptor, 2 KB of ours, and buffers of the kernel while there
# are datagrams in them.
SESSIONS = 4096

# Seconds between two looks at the session that was silent longest, at the least: the largest error of the
# time-out.
LOOK = 0.5

# Sessions that end by their time-out in one turn of the reactor: some 5 ms.
ENDS = 256

# Datagrams that one session holds during a look-up, and those that all sessions hold, with their bytes.
HELD_BY_ONE = 16
HELD = 4096
HELD_BYTES = 4 * 1024 * 1024

# The reasons for which a session ends whose upstream was not reached, or before its time.
FAILURES = ("unresolved", "unreachable", "descriptors", "evicted", "lost")


class Sessions:
    """The datagram sessions of all UDP ports of a service.

    :param reactor: polls the sockets, and takes the answers of look-ups.
    :param clock: counts times.
    :param target: the upstream, of the kind ``udp``. Its name is looked up for each session; sessions that
        begin during a look-up share its answer.
    :param timeout: seconds without a datagram in either direction that end a session, half a second late at
        most.
    :param most: the most sessions; one more ends the session that was silent longest.
    :param descriptorLimit: the number that the process's descriptors stay below; a session whose descriptor
        comes within 16 of it fails. None is no such limit.
    :param names: looks names up; None is a new one.
    :raise ValueError: when the target is of another kind.

    :ivar made: the number of sessions that have begun.
    :ivar ended: counts the sessions that have ended, by reason: ``timeout``, ``closed`` by the stop of their
        port, and the reasons of `failures`.
    :ivar failures: counts those that ended because of a failure: ``unresolved``, ``unreachable`` (no route),
        ``descriptors``, ``evicted`` by a newer one, or ``lost``.
    :ivar unreachable: counts the errors that the network reported (ICMP), by reason, such as ``refused``.
    :ivar sent: the number of datagrams that went to the upstream.
    :ivar received: the number of datagrams that came from the upstream.
    """

    def __init__(
        self,
        reactor: Any,
        clock: IReactorTime,
        target: Target,
        *,
        timeout: float = TIMEOUT,
        most: int = SESSIONS,
        descriptorLimit: int | None = None,
        names: Names | None = None,
    ) -> None:
        if target.kind != "udp":
            raise ValueError(f"datagrams need an upstream of the kind udp, not {target.kind}")
        self.made = self.sent = self.received = 0
        self.ended: Counter[str] = Counter()
        self.failures = ReasonCounter("datagram sessions that failed", clock.seconds)
        self.unreachable = ReasonCounter("unreachable upstream of datagrams", clock.seconds)
        self.poller = pollerOf(reactor) if HAS_EPOLL else reactor
        self._clock = clock
        self._target = target
        self._timeout = timeout
        self._most = most
        self.descriptorLimit = descriptorLimit
        self._names = Names(reactor) if names is None else names
        self._queue = WorkQueue(clock)
        self._sessions: OrderedDict[Hashable, DatagramSession] = OrderedDict()
        self._own: set[tuple[str, int]] = set()
        self._unresolved: dict[DatagramSession, None] = {}
        self._held = self._heldBytes = 0
        self._look: Deferred[Any] | None = None
        self._call: Any = None

    def __len__(self) -> int:
        return len(self._sessions)

    def get(self, key: Hashable) -> DatagramSession | None:
        """Returns the open session with a key."""
        return self._sessions.get(key)

    def begin(
        self, key: Hashable, addr: tuple[str, int], rules: DatagramRules, reply: Callable[[bytes], object]
    ) -> DatagramSession | None:
        """Begins a session.

        :param key: identifies the session: the port, the client, and the own address that the client uses.
        :param addr: the client's host and port.
        :param rules: count what is dropped, and the answers.
        :param reply: sends an answer to the client.
        :return: None if there can be none, which is counted; so is the dropped datagram.
        """
        if (unmapped(addr[0]), addr[1]) in self._own:
            # The upstream is this service.
            rules.dropped.add("own-port")
            return None
        if len(self._sessions) >= self._most:
            self.end(next(iter(self._sessions.values())), "evicted")
        session = self._sessions[key] = DatagramSession(self, key, rules, reply, self._clock.seconds())
        self.made += 1
        self._schedule()
        if self._target.isLiteral:
            self._found(session, literal(self._target))
        else:
            self._lookUp(session)
        if session.isEnded:
            rules.dropped.add("upstream")
            return None
        return session

    def moved(self, session: DatagramSession) -> None:
        """Notes that a session has had a datagram now."""
        session.lastMoved = self._clock.seconds()
        self._sessions.move_to_end(session.key)

    def hold(self, session: DatagramSession, datagram: bytes) -> bool:
        """Holds a datagram until the upstream's name is looked up; returns whether there was room."""
        size = len(datagram)
        isFull = self._held >= HELD or self._heldBytes + size > HELD_BYTES
        if isFull or len(session.held) >= HELD_BY_ONE:
            return False
        self._held += 1
        self._heldBytes += size
        session.held.append(datagram)
        return True

    def end(self, session: DatagramSession, reason: str, detail: str = "") -> None:
        """Ends a session, and drops the datagrams that it holds.

        :param reason: it is counted under this.
        :param detail: more about a failure, for the log.
        """
        if session.isEnded:
            return
        del self._sessions[session.key]
        self._unresolved.pop(session, None)
        for _ in self._release(session):
            session.rules.dropped.add("upstream")
        self.disown(session)
        session.close()
        self.ended[reason] += 1
        if reason in FAILURES:
            self.failures.add(reason, detail)
        if not self._sessions:
            self._rest()

    def close(self, isOf: Callable[[Hashable], bool]) -> None:
        """Ends the sessions of a port that closes.

        :param isOf: says whether a session with a key is the port's.
        """
        for session in [each for key, each in self._sessions.items() if isOf(key)]:
            self.end(session, "closed")

    def own(self, session: DatagramSession, name: tuple[str, int]) -> None:
        """Notes the local name of a session's socket."""
        session.name = name
        self._own.add(name)

    def disown(self, session: DatagramSession) -> None:
        """Forgets the local name of a session's socket."""
        if session.name is not None:
            self._own.discard(session.name)
            session.name = None

    def _lookUp(self, session: DatagramSession) -> None:
        """Has a session wait for the present look-up, which begins if there is none."""
        self._unresolved[session] = None
        if self._look is None:
            self._look = self._names.look(self._target.host, self._target.port)
            self._look.addBoth(self._answer)

    def _answer(self, answer: list[SocketName] | Failure) -> None:
        """Connects the sessions that wait, a slice in each turn: there may be thousands."""
        self._look = None
        waiting, self._unresolved = self._unresolved, {}
        if isinstance(answer, Failure) and not answer.check(DNSLookupError):
            log.failure("no address for an upstream", answer)
        for session in waiting:
            self._queue.do(partial(self._found, session, answer))

    def _found(self, session: DatagramSession, names: list[SocketName] | Failure) -> None:
        """Connects a session, and sends what it holds; or ends it."""
        if session.isEnded:
            return
        if isinstance(names, Failure):
            self.end(session, "unresolved", names.getErrorMessage())
            return
        try:
            session.open(names)
        except OSError as error:
            self.end(session, "descriptors" if isNoRoom(error) else "unreachable", str(error))
            return
        for datagram in self._release(session):
            session.send(datagram)

    def _release(self, session: DatagramSession) -> list[bytes]:
        held, session.held = session.held, []
        self._held -= len(held)
        self._heldBytes -= sum(map(len, held))
        return held

    def _schedule(self) -> None:
        """Has the session that was silent longest looked at when its time-out comes."""
        if self._call is None and self._sessions:
            first = next(iter(self._sessions.values()))
            left = first.lastMoved + self._timeout - self._clock.seconds()
            self._call = self._clock.callLater(max(left, LOOK), self._sweep)

    def _sweep(self) -> None:
        """Ends the sessions whose time-out has come."""
        self._call = None
        latest = self._clock.seconds() - self._timeout
        for _ in range(ENDS):
            first = next(iter(self._sessions.values()), None)
            if first is None or first.lastMoved > latest:
                self._schedule()
                return
            self.end(first, "timeout")
        self._call = self._clock.callLater(0, self._sweep)

    def _rest(self) -> None:
        """Ends what goes on for sessions, after the last one."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
