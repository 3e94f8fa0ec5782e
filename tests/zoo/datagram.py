"""A relay of datagrams that is exact, and the faults of its flows."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from echo_app.testing import EchoProcess
from tests.support.crooked import Address, Relay
from tests.zoo.bucket import TokenBucket
from tests.zoo.path import Place
from tests.zoo.services import Opening, at

# Bytes of the kernel's queue: a pause of the machine is no fault of the path.
_QUEUE = 1 << 22


@dataclass(kw_only=True, eq=False)
class Flow:
    """The datagrams of one client, which pass exactly.

    :param relay: the relay, with the state that its flows share.
    :param client: the client's address.
    """

    relay: DatagramRelay
    client: Address

    def __post_init__(self) -> None:
        self.service = queueing()
        self.service.connect(self.relay.target)

    def there(self, data: bytes) -> None:
        """Passes on a datagram of the client."""
        self.service.send(data)

    def back(self, data: bytes) -> None:
        """Passes on a datagram of the service."""
        self.relay.front.sendto(data, self.client)


class DatagramRelay(Relay):
    """Relays datagrams on 127.0.0.1; each client has a port of its own to the service.

    :param make: makes a flow, as a subclass of :class:`Flow` does.
    :ivar front: the socket of the relay's address.
    :ivar other: a socket with another port.
    :ivar chance: the source of random numbers, with a fixed seed.
    :ivar shared: values that the flows of a fault share.
    :ivar began: the loop's time of the first datagram.
    """

    def __init__(self, target: Address, make: Callable[..., Flow] = Flow) -> None:
        super().__init__(target)
        self.target = target
        self.chance = self._chance
        self.loop = self._loop
        self.began: float | None = None
        self.shared: dict[str, Any] = {}
        self._make = make
        self._flows: dict[Address, Flow] = {}

    async def _open(self) -> Callable[[], None]:
        self.front, self.other = queueing(), queueing()
        for sock in (self.front, self.other):
            sock.bind(("127.0.0.1", 0))
        self.address = self.front.getsockname()
        self._loop.add_reader(self.front, self._there)
        return self._close

    def _close(self) -> None:
        for sock in (self.front, self.other, *(flow.service for flow in self._flows.values())):
            self._loop.remove_reader(sock)
            sock.close()

    def _there(self) -> None:
        data, client = self.front.recvfrom(1 << 16)
        if self.began is None:
            self.began = self._loop.time()
        flow = self._flows.get(client)
        if flow is None:
            flow = self._flows[client] = self._make(relay=self, client=client)
            self._loop.add_reader(flow.service, self._back, flow)
        flow.there(data)

    def _back(self, flow: Flow) -> None:
        flow.back(flow.service.recv(1 << 16))


def queueing() -> socket.socket:
    """Returns a socket for datagrams that does not block, with a long queue."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _QUEUE)
    return sock


@dataclass(kw_only=True, eq=False)
class Faulty(Flow):
    """Loses, repeats, delays or changes datagrams.

    :param loss: the probability that an answer is lost.
    :param twice: the probability that an answer comes twice.
    :param late: the probability that an answer comes 20 ms late, behind others.
    :param corrupt: the probability that a bit of an answer is flipped.
    :param losesFirst: the first datagram of the flow is lost.
    :param losesEmpty: empty datagrams are lost.
    :param largest: bytes of the largest datagram that passes.
    :param truncate: bytes behind which an answer is cut off.
    :param moves: answers come from another port.
    """

    loss: float = 0.0
    twice: float = 0.0
    late: float = 0.0
    corrupt: float = 0.0
    losesFirst: bool = False
    losesEmpty: bool = False
    largest: int = 1 << 16
    truncate: int = 1 << 16
    moves: bool = False
    _isFirst: bool = True

    def there(self, data: bytes) -> None:
        isLost = (self._isFirst and self.losesFirst) or (self.losesEmpty and not data)
        self._isFirst = False
        if not isLost and len(data) <= self.largest:
            super().there(data)

    def back(self, data: bytes) -> None:
        if self._happens(self.loss):
            return
        if data and self._happens(self.corrupt):
            at = self.relay.chance.randrange(len(data))
            data = data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]
        sock = self.relay.other if self.moves else self.relay.front
        for _ in range(1 + self._happens(self.twice)):
            wait = 0.02 * self._happens(self.late)
            self.relay.loop.call_later(wait, sock.sendto, data[: self.truncate], self.client)

    def _happens(self, probability: float) -> bool:
        return self.relay.chance.random() < probability


@dataclass(kw_only=True, eq=False)
class Policed(Flow):
    """Drops datagrams to the service above a rate, by a token bucket for the whole path.

    :param rate: datagrams a second.
    :param burst: datagrams that pass at once.
    """

    rate: float
    burst: float

    def there(self, data: bytes) -> None:
        bucket: TokenBucket = self.relay.shared.setdefault("bucket", TokenBucket(self.rate, self.burst))
        if bucket.level(self.relay.loop.time()) >= 1:
            bucket.tokens -= 1
            super().there(data)


@dataclass(kw_only=True, eq=False)
class Forgotten(Flow):
    """Passes nothing any more, from a number of seconds without a datagram on."""

    after: float
    _used: float | None = None
    _isForgotten: bool = False

    def there(self, data: bytes) -> None:
        now = self.relay.loop.time()
        self._isForgotten |= self._used is not None and now - self._used > self.after
        self._used = now
        if not self._isForgotten:
            super().there(data)


@dataclass(kw_only=True, eq=False)
class Dark(Flow):
    """Passes nothing for some seconds; the fields are those of :class:`tests.zoo.pace.Stalled`."""

    first: float
    every: float
    lasts: float

    def there(self, data: bytes) -> None:
        into = self.relay.loop.time() - (self.relay.began or 0.0) - self.first
        if into < 0 or into % self.every >= self.lasts:
            super().there(data)


def datagrams(make: Callable[..., Flow] = Flow, **fields: Any) -> Opening:
    """Returns the opening of a path through a relay of datagrams; the service has no limit of answers."""

    @contextmanager
    def opening() -> Iterator[Place]:
        with EchoProcess("--udp", "0", "--udp-rate", "0") as service:
            relay = DatagramRelay(service.address(), partial(make, **fields)).start()
            try:
                yield Place(at(relay.address, "udp"))
            finally:
                relay.stop()

    return opening
