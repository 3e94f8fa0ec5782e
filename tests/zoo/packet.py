"""A link between two namespaces that passes packets exactly, and its faults.

The kernels at both ends speak TCP to each other, so they resend what is lost.
"""

from __future__ import annotations

import heapq
import os
import random
import select
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from echo_app.testing import EchoProcess
from tests.zoo.namespace import Namespace, becomeRoot
from tests.zoo.path import Place
from tests.zoo.services import Opening, at

CLIENT, SERVICE = "10.88.0.1", "10.88.0.2"

MTU = 1500

FIN, SYN, RST, ACK = 1, 2, 4, 16
_TCP = 6

# A direction and the packet.
Passing = tuple[bool, bytes]


@dataclass(frozen=True, slots=True)
class Segment:
    """The header of a TCP segment in an IPv4 packet.

    :param flow: source and destination, sorted, so that both directions have the same.
    :param size: bytes of data.
    """

    flow: tuple[bytes, bytes]
    sequence: int
    acknowledged: int
    flags: int
    size: int

    @classmethod
    def of(cls, packet: bytes) -> Segment | None:
        """Returns the header; None if the packet is something else."""
        if len(packet) < 40 or packet[0] >> 4 != 4 or packet[9] != _TCP:
            return None
        start = (packet[0] & 15) * 4
        source, destination, sequence, acknowledged, offset, flags = struct.unpack_from(
            "!2s2sIIBB", packet, start
        )
        ends = sorted((packet[12:16] + source, packet[16:20] + destination))
        size = len(packet) - start - (offset >> 4) * 4
        return cls((ends[0], ends[1]), sequence, acknowledged, flags, size)


def resetFor(packet: bytes) -> bytes:
    """Returns the segment that resets a connection for the sender of a packet."""
    segment = Segment.of(packet)
    assert segment is not None
    start = (packet[0] & 15) * 4
    end = (segment.sequence + segment.size + bool(segment.flags & (SYN | FIN))) & 0xFFFFFFFF
    return _reset(
        packet[16:20],
        packet[12:16],
        packet[start + 2 : start + 4] + packet[start : start + 2],
        segment.acknowledged,
        end,
    )


def resetAlong(packet: bytes) -> bytes:
    """Returns the segment that resets a connection for the receiver of a packet, in place of the packet."""
    segment = Segment.of(packet)
    assert segment is not None
    start = (packet[0] & 15) * 4
    return _reset(
        packet[12:16], packet[16:20], packet[start : start + 4], segment.sequence, segment.acknowledged
    )


def _reset(source: bytes, destination: bytes, ports: bytes, sequence: int, acknowledged: int) -> bytes:
    def tcp(sum: int) -> bytes:
        return ports + struct.pack("!IIBBHHH", sequence, acknowledged, 5 << 4, RST | ACK, 0, sum, 0)

    def ip(sum: int) -> bytes:
        return struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0, 64, _TCP, sum) + source + destination

    pseudo = source + destination + struct.pack("!BBH", 0, _TCP, 20)
    return ip(checksum(ip(0))) + tcp(checksum(pseudo + tcp(0)))


def checksum(data: bytes) -> int:
    """Returns the checksum of the Internet (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@dataclass(kw_only=True)
class Link:
    """Passes each packet exactly; a fault overrides :meth:`passes`.

    :param delay: seconds that a packet takes, each way.
    :ivar chance: the source of random numbers, with a fixed seed.
    """

    delay: float = 0.0
    chance: random.Random = field(default_factory=lambda: random.Random(8862))

    def passes(self, packet: bytes, isUp: bool, now: float) -> list[tuple[float, Passing]]:
        """Returns what a packet becomes: moments, each with a direction and a packet.

        :param isUp: the packet goes to the service.
        :param now: the moment, in seconds.
        """
        return [(now + self.delay, (isUp, packet))]


class Pump:
    """Carries packets between the devices of two namespaces, on a thread.

    :param near: the device of the client.
    :param far: the device of the service.
    """

    def __init__(self, link: Link, near: int, far: int) -> None:
        self._link = link
        self._devices = {True: far, False: near}
        self._wait: list[tuple[float, int, Passing]] = []
        self._count = 0
        self._stopped, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stops the thread."""
        os.close(self._stop)
        self._thread.join()
        os.close(self._stopped)

    def _run(self) -> None:
        near, far = self._devices[False], self._devices[True]
        while True:
            left = self._wait[0][0] - time.monotonic() if self._wait else None
            ready, _, _ = select.select([near, far, self._stopped], [], [], left and max(0.0, left))
            if self._stopped in ready:
                return
            for device in ready:
                self._read(device, device == near)
            self._write()

    def _read(self, device: int, isUp: bool) -> None:
        # A bound, so that the other direction has its turn.
        for _ in range(64):
            try:
                packet = os.read(device, 1 << 16)
            except BlockingIOError:
                return
            for due, passing in self._link.passes(packet, isUp, time.monotonic()):
                self._count += 1
                heapq.heappush(self._wait, (due, self._count, passing))

    def _write(self) -> None:
        now = time.monotonic()
        while self._wait and self._wait[0][0] <= now:
            isUp, packet = heapq.heappop(self._wait)[2]
            # A packet that the kernel refuses, such as one of IPv6, is lost.
            with suppress(OSError):
                os.write(self._devices[isUp], packet)


def linked(make: Callable[..., Link] = Link, *options: str, scheme: str = "tcp", **fields: Any) -> Opening:
    """Returns the opening of a path over a link.

    :param options: further options of ``twistd echo``.
    :param fields: the fields of the link.
    """

    @contextmanager
    def opening() -> Iterator[Place]:
        user = becomeRoot()
        with ExitStack() as stack:
            near = Namespace(CLIENT, SERVICE, MTU)
            stack.callback(near.close)
            far = Namespace(SERVICE, CLIENT, MTU)
            stack.callback(far.close)
            listening = ("--interface", SERVICE, "--udp" if scheme == "udp" else "--port", "0")
            with far:
                service = stack.enter_context(EchoProcess(*listening, *options))
            pump = Pump(partial(make, **fields)(), near.device, far.device)
            stack.callback(pump.stop)
            program, *rest = near.within()
            yield Place(at(service.address(), scheme), within=(program, *user, *rest))

    return opening
