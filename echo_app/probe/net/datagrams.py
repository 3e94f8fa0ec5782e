"""Numbered datagrams, and the fate of each.

Each has a random number and random bytes, so that an answer is matched with its datagram and compared with
it. Everything is counted by socket, which is one source port.
"""

from __future__ import annotations

import errno
import socket
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from random import Random
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from echo_app.probe.net.errors import NetworkError, reasonOf
from echo_app.probe.net.waits import pause
from echo_app.targets import Target

# Bytes of the number; a datagram is as long at least.
HEADER = 8

# The largest payload of a datagram over IPv4 (RFC 768, RFC 791): 65,535 bytes less two headers.
LARGEST_DATAGRAM = 65_507

# Seconds without an answer after which outstanding datagrams are lost, and the number of checks meanwhile.
SILENCE, STEPS = 3.0, 30

# Bytes: a pause of this machine is no loss of the path, so that the kernel keeps the answers of a second.
RECEIVE_BUFFER = 1 << 20

# ip(7), ipv6(7); Python does not name them.
_IP_MTU, _IPV6_MTU = 14, 24


@dataclass(slots=True)
class Exchange:
    """Some datagrams from one socket, and their answers.

    :ivar sent: datagrams that were sent, by number.
    :ivar sentAt: seconds, by number.
    :ivar roundTrips: seconds of datagrams that came back unchanged, by number.
    :ivar differing: sizes of a datagram and of its answer, where they differ, by number.
    :ivar strange: answers to no datagram that was ever sent.
    :ivar duplicates: further answers to a datagram that was answered.
    :ivar reordered: answers that came after one to a later datagram (RFC 4737, 3).
    """

    sent: dict[bytes, bytes] = field(default_factory=dict)
    sentAt: dict[bytes, float] = field(default_factory=dict)
    roundTrips: dict[bytes, float] = field(default_factory=dict)
    differing: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    strange: int = 0
    duplicates: int = 0
    reordered: int = 0
    _latest: float = 0.0

    @property
    def answers(self) -> set[bytes]:
        """The numbers of the datagrams that were answered."""
        return self.roundTrips.keys() | self.differing.keys()

    @property
    def lost(self) -> int:
        """The number of datagrams without an answer."""
        return len(self.sent) - len(self.answers)

    @property
    def isSilent(self) -> bool:
        """Says whether no datagram was answered."""
        return self.lost == len(self.sent)

    def answered(self, data: bytes, now: float) -> None:
        """Counts an answer."""
        number = data[:HEADER] if len(data) >= HEADER else self._cut(data)
        question = self.sent.get(number)
        if question is None:
            return
        if data != question:
            self.differing[number] = len(question), len(data)
        elif number in self.roundTrips:
            self.duplicates += 1
        else:
            self.roundTrips[number] = now - self.sentAt[number]
            self.reordered += self.sentAt[number] < self._latest
            self._latest = max(self._latest, self.sentAt[number])

    def _cut(self, data: bytes) -> bytes:
        """Returns the number of a question that this may be the beginning of, or none of them."""
        possible = (each for each in self.sent.keys() - self.answers if each.startswith(data))
        return next(possible, b"")

    def answeredSizes(self) -> Counter[int]:
        """Returns the number of datagrams of each size that came back."""
        return Counter(len(self.sent[number]) for number in self.roundTrips)


@implementer(IReadDescriptor)
class Source:
    """A socket that sends datagrams to one target, and receives from it alone.

    It does not use Twisted's UDP ports, as they end at the first ICMP message.

    :param reactor: an ``IReactorTime`` and ``IReactorFDSet``.
    :param target: at a literal address.
    :ivar exchange: counts the datagrams that are sent now.
    :ivar refusals: ICMP messages of the target's host (RFC 792: port unreachable).
    """

    def __init__(self, reactor: Any, target: Target, random: Random) -> None:
        self._reactor = reactor
        self._target = target
        self._random = random
        self._known: set[bytes] = set()
        self.exchange = Exchange()
        self.refusals = 0

    def open(self) -> None:
        """Opens the socket.

        :raise NetworkError: where there is no way to the target.
        """
        family = socket.AF_INET6 if ":" in self._target.host else socket.AF_INET
        with ExitStack() as stack:
            try:
                sock = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
                sock.setblocking(False)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
                sock.connect((self._target.host, self._target.port))
            except OSError as error:
                raise NetworkError(reasonOf(error)) from error
            stack.pop_all()
        self._sock = sock
        self._reactor.addReader(self)

    def close(self) -> None:
        """Closes the socket."""
        self._reactor.removeReader(self)
        self._sock.close()

    @property
    def port(self) -> int:
        """The source port."""
        return int(self._sock.getsockname()[1])

    @property
    def unfragmented(self) -> int:
        """Bytes of the largest datagram that leaves in one packet, as far as the kernel knows."""
        if self._sock.family == socket.AF_INET6:
            return self._sock.getsockopt(socket.IPPROTO_IPV6, _IPV6_MTU) - 48
        return self._sock.getsockopt(socket.IPPROTO_IP, _IP_MTU) - 28

    def send(self, size: int) -> None:
        """Sends a datagram of that many bytes; one that the kernel does not take counts as lost."""
        number = self._random.randbytes(HEADER)
        data = number + self._random.randbytes(size - HEADER)
        self._known.add(number)
        self.exchange.sent[number] = data
        self.exchange.sentAt[number] = self._reactor.seconds()
        self.transmit(data)

    def received(self, data: bytes) -> None:
        """Counts an answer; one to an earlier exchange is ignored."""
        number = data[:HEADER]
        isCut = len(number) < HEADER and any(each.startswith(number) for each in self._known)
        self.exchange.strange += number not in self._known and not isCut
        self.exchange.answered(data, self._reactor.seconds())

    def transmit(self, data: bytes) -> None:
        """Gives bytes to the kernel, which may refuse them after an ICMP message."""
        try:
            self._sock.send(data)
        except OSError as error:
            self.refusals += error.errno == errno.ECONNREFUSED

    def fileno(self) -> int:
        """Returns the descriptor."""
        return self._sock.fileno()

    def logPrefix(self) -> str:
        """Returns the prefix of log lines."""
        return "probe"

    def doRead(self) -> None:
        """Reads a datagram. The reactor calls it."""
        try:
            data = self._sock.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError as error:
            self.refusals += error.errno == errno.ECONNREFUSED
        else:
            self.received(data)

    def connectionLost(self, reason: Failure) -> None:
        """Counts a refusal, and reads on: the reactor takes an ICMP message for the end of the socket."""
        error = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self.refusals += error == errno.ECONNREFUSED
        self._reactor.addReader(self)


async def ask(
    reactor: Any, sources: Sequence[Source], sizes: Iterable[int], interval: float, timeout: float = SILENCE
) -> list[Exchange]:
    """Sends datagrams of these sizes, each from every source in turn, and waits for the answers.

    A pause of this machine is not made up for by a burst.

    :param interval: seconds between two datagrams.
    :param timeout: seconds without an answer after which outstanding datagrams are lost.
    :return: the exchanges, by source.
    """
    for source in sources:
        source.exchange = Exchange()
    for size in sizes:
        for source in sources:
            source.send(size)
            await pause(reactor, interval)
    await _settle(reactor, [source.exchange for source in sources], timeout)
    return [source.exchange for source in sources]


async def _settle(reactor: Any, exchanges: Sequence[Exchange], timeout: float) -> None:
    """Waits until all datagrams are answered, or for a time without an answer in which this process ran."""
    left, before = STEPS, -1
    while left and any(exchange.lost for exchange in exchanges):
        now = sum(len(exchange.roundTrips) for exchange in exchanges)
        left, before = (left - 1, before) if now == before else (STEPS, now)
        await pause(reactor, timeout / STEPS)
