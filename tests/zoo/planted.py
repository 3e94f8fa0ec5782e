"""Further paths: faults of proxies, balancers, firewalls, NATs, VPNs, Wi-Fi, shapers and TLS middleboxes.

They were written without knowledge of the judge's rules.
"""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path as Folder

from echo_app.testing import EchoProcess
from tests.support.crooked import Address
from tests.zoo import measureplanted as m
from tests.zoo.datagram import Flow, datagrams
from tests.zoo.path import WATCH, Path, Place
from tests.zoo.plantedfaults import (
    BadMemory,
    Banning,
    Boosted,
    EarlyLost,
    FailingOver,
    FlowControlled,
    LeftOver,
    PowerSaving,
    Queueing,
    ResetAfterEnd,
    Some,
    StateLost,
    TailLost,
)
from tests.zoo.plantedgood import GOOD
from tests.zoo.services import at, relayed
from tests.zoo.stream import Connection, StreamRelay
from tests.zoo.tls import issued, securelyRelayed


@dataclass(kw_only=True, eq=False)
class RecordLimited(Connection):
    """Resets a connection whose client sends a TLS record above a size.

    :param largest: bytes of the largest record.
    """

    largest: int
    _rest: bytes = b""

    async def there(self, data: bytes) -> None:
        self._rest += data
        while len(self._rest) >= 5:
            size = int.from_bytes(self._rest[3:5], "big")
            if size > self.largest:
                raise ConnectionResetError
            if len(self._rest) < 5 + size:
                break
            self._rest = self._rest[5 + size :]
        await super().there(data)


@dataclass(kw_only=True, eq=False)
class OtherServer(Some):
    """Connects to another server.

    :param other: its address.
    """

    other: Address

    async def dial(self) -> socket.socket:
        if not self.isHit:
            return await super().dial()
        sock = socket.socket()
        sock.setblocking(False)
        await self.loop.sock_connect(sock, self.other)
        return sock


@dataclass(kw_only=True, eq=False)
class OneHandshake(Connection):
    """Makes TLS handshakes one after the other.

    :param takes: seconds of each.
    """

    takes: float
    _isDone: bool = False

    async def back(self, data: bytes) -> None:
        if not self._isDone:
            self._isDone = True
            async with self.relay.shared.setdefault("lock", asyncio.Lock()):
                await asyncio.sleep(self.takes)
        await super().back(data)


@contextmanager
def oneExpired() -> Iterator[Place]:
    """Opens a path to two TLS servers; the certificate of the second one has expired."""
    with tempfile.TemporaryDirectory() as name:
        folder = Folder(name)
        certificate, key, trusted = issued()(folder)
        old, oldKey, oldTrusted = issued(since=-90.0, until=-1.0)(_made(folder / "old"))
        bundle = folder / "bundle.pem"
        bundle.write_bytes(Folder(trusted).read_bytes() + Folder(oldTrusted).read_bytes())
        with (
            EchoProcess("--tls", "0", "--certificate", certificate, "--key", key) as good,
            EchoProcess("--tls", "0", "--certificate", old, "--key", oldKey) as bad,
        ):
            make: Callable[..., Connection] = partial(OtherServer, share=0.2, other=bad.address())
            relay = StreamRelay(good.address(), make).start()
            try:
                yield Place(at(relay.address, "tls"), ("--ca", str(bundle)))
            finally:
                relay.stop()


def _made(folder: Folder) -> Folder:
    folder.mkdir()
    return folder


@dataclass(kw_only=True, eq=False)
class FixedAge(Flow):
    """Passes nothing any more from an age on, however busy the flow is.

    :param age: seconds.
    """

    age: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._began = self.relay.loop.time()

    def there(self, data: bytes) -> None:
        if self.relay.loop.time() - self._began < self.age:
            super().there(data)


@dataclass(kw_only=True, eq=False)
class SizesLost(Flow):
    """Loses the datagrams of some sizes; smaller and larger ones pass.

    :param least: bytes of the smallest one that is lost.
    :param most: bytes of the largest one.
    """

    least: int
    most: int

    def there(self, data: bytes) -> None:
        if not self.least <= len(data) <= self.most:
            super().there(data)


@dataclass(kw_only=True, eq=False)
class Bundled(Flow):
    """Sends every second answer over a longer link.

    :param longer: seconds that the longer link takes more.
    """

    longer: float
    _number: int = 0

    def back(self, data: bytes) -> None:
        self._number += 1
        wait = self.longer * (self._number % 2)
        self.relay.loop.call_later(wait, self.relay.front.sendto, data, self.client)


@dataclass(kw_only=True, eq=False)
class CrossDelivered(Flow):
    """Delivers some answers to another client.

    :param share: the share of the answers.
    """

    share: float

    def back(self, data: bytes) -> None:
        clients = self.relay.shared.setdefault("clients", [])
        if self.client not in clients:
            clients.append(self.client)
        others = [each for each in clients if each != self.client]
        isHit = others and self.relay.chance.random() < self.share
        self.relay.front.sendto(data, self.relay.chance.choice(others) if isHit else self.client)


_BAD = (
    Path("x-serial-flow-control", "tcp", "bytes 0x11 and 0x13 are taken out of answers", "bytes-translated",
         relayed(FlowControlled), m.flowControl),
    Path("x-bad-memory", "tcp", "1 in 4 connections: a bit is flipped at offset 200,000", "bytes-changed",
         relayed(BadMemory, share=0.25, offset=200_000), m.badMemory),
    Path("x-tail-lost", "tcp", "1 in 6 connections: after a half-close, the last 700 B are lost",
         "half-close-broken", relayed(TailLost, share=0.17, size=700), m.tailLost),
    Path("x-reset-after-end", "tcp", "1 in 3 connections ends by a reset, after the whole answer",
         "half-close-broken", relayed(ResetAfterEnd, share=0.33), m.resetAfterEnd),
    Path("x-ban", "tcp", "after 40 connections in 1 s, all new ones are reset for 4 s", "refused-for-a-while",
         relayed(Banning, most=40, lasts=4.0), m.ban),
    Path("x-dead-server-first", "tcp", "1 in 5 connections: the balancer waits 3 s for a dead server",
         "some-first-answers-late", relayed(FailingOver, share=0.2, wait=3.0), m.deadServer),
    Path("x-boost", "tcp", "answers: 4 MiB pass at once, and then 400 KiB/s, for all connections together",
         "rate-after-burst", relayed(Boosted, burst=4 << 20, rate=400 << 10), m.boost),
    Path("x-power-save", "tcp", "an answer after 150 ms of rest waits for a beacon, up to 102 ms",
         "slow-after-rest", relayed(PowerSaving), m.powerSave),
    Path("x-early-lost", "tcp", "1 in 6 connections: bytes of the first 50 ms are lost", "bytes-lost",
         relayed(EarlyLost, share=0.17, takes=0.05), m.earlyLost),
    Path("x-left-over", "tcp", "1 in 25 connections: an answer begins with 40 B of another connection",
         "connections-mixed", relayed(LeftOver, share=0.04), m.leftOver),
    Path("x-queue-16", "tcp", "16 connections are served at a time, further ones wait", "connection-cap",
         relayed(Queueing, most=16), m.queue),
    Path("x-state-lost", "tcp", "25 s after the first connection, all open ones go silent for good",
         "all-end-at-once", relayed(StateLost, moment=25.0), m.stateLost, WATCH),
    Path("x-tls-large-records", "tls", "a TLS record above 8 KiB is answered by a reset",
         "large-writes-reset", securelyRelayed(partial(RecordLimited, largest=8192)), m.largeRecords),
    Path("x-tls-one-expired", "tls", "1 in 5 connections reaches a server whose certificate has expired",
         "certificate-expired", oneExpired, m.oneExpired),
    Path("x-tls-bad-memory", "tls", "1 in 5 connections: a bit of a record is flipped at offset 100,000",
         "records-changed", securelyRelayed(partial(BadMemory, share=0.2, offset=100_000)), m.badRecord),
    Path("x-tls-one-handshake", "tls", "handshakes are made one after the other, each in 150 ms",
         "burst-queued", securelyRelayed(partial(OneHandshake, takes=0.15)), m.oneHandshake),
    Path("x-udp-fixed-age", "udp", "a flow passes nothing more at an age of 4 s, though it is busy",
         "datagrams-source-ends", datagrams(FixedAge, age=4.0), m.fixedAge),
    Path("x-udp-sizes-lost", "udp", "datagrams of 1,373 B to 1,472 B are lost; smaller and larger ones pass",
         "datagrams-by-size", datagrams(SizesLost, least=1373, most=1472), m.sizesLost),
    Path("x-udp-bundle", "udp", "every second answer takes 35 ms more", "datagrams-reordered",
         datagrams(Bundled, longer=0.035), m.bundle),
    Path("x-udp-cross", "udp", "1 in 40 answers is delivered to another client", "datagrams-mixed",
         datagrams(CrossDelivered, share=0.025), m.crossDelivered),
)  # fmt: skip

PLANTED = {path.name: path for path in (*_BAD, *GOOD)}
