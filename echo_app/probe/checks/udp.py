"""Check ``udp``: loss, order and sizes of datagrams, and source ports without answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from echo_app.probe.checks.check import Check, Context, Cost, lackOfDescriptors
from echo_app.probe.checks.evidence import Observation
from echo_app.probe.net.datagrams import LARGEST_DATAGRAM, SILENCE, Exchange, Source, ask
from echo_app.probe.net.errors import NetworkError, Reason
from echo_app.probe.results.statistics import interval, spread
from echo_app.targets import Target

# Datagrams of the main measurement, their bytes, and the seconds between two: about those of a voice call.
COUNT, QUICK_COUNT, SIZE, INTERVAL = 1000, 200, 64, 0.01

# The tolerated share of lost datagrams, and the rounds in a row that must lose more. On a path that loses
# exactly that share, one round in forty seems to lose more, and three in a row in one of fifty thousand
# examinations.
TOLERATED, ROUNDS = 0.01, 3

# Sizes that are sent to find the largest that comes back: around those that fit into IPv6's smallest packet,
# into one of Ethernet with and without tunnels, and up to the largest datagram.
SIZES = (512, 1232, 1372, 1412, 1472, 1473, 2048, 4096, 8192, 16_384, 32_768, LARGEST_DATAGRAM)

# Tries of each size. A large datagram is lost with each of its fragments: of 45 at 1 %, every third time.
TRIES = 4

# Sizes that are tried between the largest that comes back and the next one, and how often: enough to tell
# every size from its neighbour. Seconds between two datagrams, for slow links.
BETWEEN, ZOOMS, SIZE_INTERVAL = 7, 5, 0.05

# Source ports, datagrams from each in a round, and seconds between two. All ports take turns, so that a short
# outage takes a few datagrams of every port, not all of one.
PORTS, QUICK_PORTS, PER_PORT, PORT_INTERVAL = 64, 4, 10, 0.005


@dataclass(frozen=True, slots=True)
class Ports:
    """Losses of datagrams by source port.

    :param silent: ports that lost everything, in every round.
    :param lost: datagrams that the other ports lost.
    :param sent: datagrams that the other ports sent.
    """

    silent: tuple[int, ...] = ()
    lost: int = 0
    sent: int = 0

    @classmethod
    def of(cls, numbers: Sequence[int], rounds: Sequence[Sequence[Exchange]]) -> Ports:
        """Sums up rounds of exchanges, one of each port in the order of their numbers."""
        byPort = list(zip(numbers, zip(*rounds, strict=True), strict=True))
        silent = [port for port, each in byPort if all(exchange.isSilent for exchange in each)]
        others = [exchange for port, each in byPort if port not in silent for exchange in each]
        return cls(tuple(silent), *total(others))

    @property
    def areBad(self) -> bool:
        """Says whether the ports are the cause of the loss: the others lose hardly anything."""
        return bool(self.silent) and self.sent * TOLERATED > max(self.lost, 1)


@dataclass(slots=True)
class Datagrams(Observation):
    """The exchanges of datagrams.

    :ivar failure: why nothing can be sent; None: it can.
    :ivar refusals: ICMP messages that said that nobody listens.
    :ivar rounds: of the main measurement.
    :ivar largest: bytes of the largest datagram that came back; 0 if sizes were not tried.
    :ivar unfragmented: bytes of the largest datagram that leaves this machine in one packet.
    :ivar others: the exchanges about sizes and ports, for their faults.
    """

    failure: Reason | None = None
    refusals: int = 0
    rounds: list[Exchange] = field(default_factory=list)
    largest: int = 0
    unfragmented: int = 0
    ports: Ports = Ports()
    others: list[Exchange] = field(default_factory=list)

    @property
    def everything(self) -> list[Exchange]:
        """All exchanges."""
        return [*self.rounds, *self.others]

    @property
    def isFinal(self) -> bool:
        """Says whether nothing came back."""
        return self.failure is not None or all(each.isSilent for each in self.everything)

    def __str__(self) -> str:
        if self.failure is not None:
            return f"nothing can be sent: {self.failure}"
        times = [time for exchange in self.rounds for time in exchange.roundTrips.values()]
        lost, sent = total(self.rounds or self.others)
        parts = [spread(times)] if times else []
        parts.append(f"{lost} of {sent} lost")
        for word, count in (
            ("duplicate", sum(exchange.duplicates for exchange in self.rounds)),
            ("reordered", sum(exchange.reordered for exchange in self.rounds)),
        ):
            if count:
                parts.append(f"{count} {word}")
        if self.largest:
            parts.append(f"up to {self.largest} B" + self._fragments())
        if self.ports.sent >= PORTS * PER_PORT:
            parts.append(f"{PORTS} source ports")
        return ", ".join(parts)

    def data(self) -> Mapping[str, object]:
        """Returns the counts, in datagrams and bytes."""
        lost, sent = total(self.rounds)
        return {"sent": sent, "lost": lost, "largest": self.largest, "silentPorts": list(self.ports.silent)}

    def _fragments(self) -> str:
        if self.largest > self.unfragmented:
            return " in fragments"
        return " and no fragments" if self.unfragmented < LARGEST_DATAGRAM else ""


def tooMany(lost: int, sent: int) -> bool:
    """Says whether more than the tolerated share is lost, with 95 % confidence."""
    return interval(lost, sent)[0] > TOLERATED


def total(exchanges: Iterable[Exchange]) -> tuple[int, int]:
    """Returns the numbers of lost and of sent datagrams."""
    counts = [(exchange.lost, len(exchange.sent)) for exchange in exchanges]
    return sum(lost for lost, _ in counts), sum(sent for _, sent in counts)


class UDP(Check[Datagrams]):
    """Sends a thousand datagrams, a hundred a second, large ones, and ones from many source ports.

    :param source: makes a source, of a reactor, a target, and random numbers.
    :param pace: factor by which everything is faster, waits included; for known paths.
    """

    name = "udp"
    begin = Datagrams

    def __init__(self, source: Callable[[Any, Target, Random], Source] = Source, pace: float = 1.0) -> None:
        self._source = source
        self._pace = pace

    def reasonToSkip(self, context: Context) -> str:
        """Skips other targets than UDP, and a lack of descriptors: each source port needs one."""
        return lackOfDescriptors(_extent(context)[1]) if context.target.kind == "udp" else "not asked for"

    def cost(self, context: Context) -> Cost:
        """Returns the cost of one round of everything; more rounds are made only after a fault."""
        count, ports = _extent(context)
        return (
            Cost(ports * PER_PORT * SIZE, ports, ports * PER_PORT * PORT_INTERVAL)
            + Cost(count * SIZE, 0, count * INTERVAL)
            + Cost(sum(SIZES) * TRIES, 0, len(SIZES) * TRIES * SIZE_INTERVAL)
        )

    async def run(self, context: Context, seen: Datagrams) -> None:
        """Sends from many source ports, and then from one that was answered."""
        _, ports = _extent(context)
        opened: list[Source] = []
        try:
            for _ in range(ports):
                source = self._source(context.reactor, context.target, context.random)
                source.open()
                opened.append(source)
            await self._examine(context, opened, seen)
        except NetworkError as error:
            seen.failure = error.reason
        finally:
            seen.refusals = sum(source.refusals for source in opened)
            for source in opened:
                source.close()

    async def _examine(self, context: Context, sources: Sequence[Source], seen: Datagrams) -> None:
        byPort = [await self._ask(context, sources, [SIZE] * PER_PORT, PORT_INTERVAL)]
        seen.others += byPort[0]
        heard = [source for source, each in zip(sources, byPort[0], strict=True) if not each.isSilent]
        if not heard:
            return
        await self._rounds(context, heard[0], seen.rounds)
        await self._sizes(context, heard[0], seen)
        if len(heard) < len(sources):
            byPort.append(await self._ask(context, sources, [SIZE] * PER_PORT, PORT_INTERVAL))
            seen.others += byPort[1]
        seen.ports = Ports.of([source.port for source in sources], byPort)

    async def _rounds(self, context: Context, source: Source, rounds: list[Exchange]) -> None:
        """Makes rounds of the main measurement, until one is good or all are bad."""
        count, _ = _extent(context)
        while len(rounds) < ROUNDS:
            rounds += await self._ask(context, [source], [SIZE] * count, INTERVAL)
            if not tooMany(rounds[-1].lost, count):
                break

    async def _sizes(self, context: Context, source: Source, seen: Datagrams) -> None:
        """Looks for the largest size that comes back."""
        sizes: Sequence[int] = SIZES
        low, high = SIZE, LARGEST_DATAGRAM + 1
        for _ in range(1 if context.settings.isQuick else 1 + ZOOMS):
            seen.others += await self._ask(context, [source], [*sizes] * TRIES, SIZE_INTERVAL)
            low = seen.largest = max([low, *seen.others[-1].answeredSizes()])
            seen.unfragmented = source.unfragmented
            high = min((size for size in sizes if size > low), default=high)
            step = max(1, (high - low) // (BETWEEN + 1))
            sizes = range(low + step, high, step)
            if not sizes:
                break

    async def _ask(
        self, context: Context, sources: Sequence[Source], sizes: Sequence[int], interval: float
    ) -> list[Exchange]:
        return await ask(context.reactor, sources, sizes, interval / self._pace, SILENCE / self._pace)


def _extent(context: Context) -> tuple[int, int]:
    """Returns the numbers of datagrams of the main measurement, and of source ports."""
    return (QUICK_COUNT, QUICK_PORTS) if context.settings.isQuick else (COUNT, PORTS)
