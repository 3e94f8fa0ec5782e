"""Sender of the check ``udp``: opens sources, sends at a pace, and waits for answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from echo_app.probe.checks.check import Context
from echo_app.probe.checks.udprecord import SIZE, Datagrams
from echo_app.probe.checks.udpsource import Datagram, Source
from echo_app.probe.net.datagrams import Discovery
from echo_app.probe.net.waits import pause

# Seconds without an answer after which outstanding datagrams are awaited no longer, and the number of looks
# meanwhile. An answer that comes later still counts, as a late one.
GAP, LOOKS = 1.0, 20

# Our own service loses one datagram in a thousand of a client that has sent ten thousand without a pause of
# ten seconds (docs/behaviour.rst, UDP): the sender pauses before, with a reserve.
ENOUGH, PAUSE = 8000, 10.5

# Makes a source, of a reactor, a target, random numbers, its number, the examination, and its begin.
MakeSource = Callable[..., Source]


class Sender:
    """Sends datagrams, and records them.

    :param make: makes a source.
    :param pace: factor by which everything is faster, waits included; for known paths.
    """

    def __init__(self, context: Context, seen: Datagrams, make: MakeSource, pace: float) -> None:
        self.clock: Any = context.reactor
        self._context = context
        self._seen = seen
        self._make = make
        self._pace = pace
        self._sources: list[Source] = []
        self._sentAtPause = 0

    def open(self, isConnected: bool = False, discovery: Discovery = Discovery.WANT) -> Source:
        """Opens another source.

        :raise NetworkError: where there is no way to the target.
        """
        context = self._context
        source = self._make(
            self.clock,
            context.target,
            context.random,
            len(self._sources),
            context.evidence.examination,
            context.start,
        )
        source.open(isConnected, discovery)
        source.strays = self._seen.strays
        self._seen.ports[source.number] = source.port
        self._sources.append(source)
        return source

    def openSeveral(self, count: int) -> list[Source]:
        """Opens several sources."""
        return [self.open() for _ in range(count)]

    def close(self) -> None:
        """Closes all sources."""
        self._seen.refusals = sum(source.refusals for source in self._sources)
        for source in self._sources:
            source.close()

    def isHeard(self, source: Source) -> bool:
        """Says whether any datagram of a source was answered."""
        return any(not each.isLost for each in source.sent)

    def since(self, sources: Iterable[Source]) -> float:
        """Returns the seconds since the last datagram of some sources."""
        return min(self._age(source.sent[-1]) for source in sources)

    async def send(self, source: Source, phase: str, size: int = SIZE) -> Datagram:
        """Sends a datagram, after a pause if the service's guard is near."""
        if len(self._seen.sent) - self._sentAtPause >= ENOUGH:
            await self.pause(PAUSE)
            self._sentAtPause = len(self._seen.sent)
        datagram = source.send(size, phase)
        self._seen.sent.append(datagram)
        return datagram

    async def sendAll(
        self, phase: str, sources: Iterable[Source], interval: float, size: int = SIZE
    ) -> list[Datagram]:
        """Sends a datagram from each source in turn, and waits for the answers.

        A pause of this machine is not made up for by a burst.

        :param interval: seconds between two datagrams.
        """
        sent = []
        for source in sources:
            sent.append(await self.send(source, phase, size))
            await self.pause(interval)
        await self.settle()
        return sent

    async def settle(self, gap: float = GAP) -> None:
        """Waits until everything is answered, or for a time without an answer in which this process ran."""
        left, before = LOOKS, -1
        waited = [each for each in self._seen.sent if each.isLost and self._age(each) < gap]
        while left and any(each.isLost for each in waited):
            now = sum(each.isLost for each in waited)
            left, before = (left - 1, before) if now == before else (LOOKS, now)
            await self.pause(gap / LOOKS)

    async def answer(self, datagram: Datagram, timeout: float) -> None:
        """Waits until a datagram is answered, for some seconds at the most."""
        for _ in range(LOOKS):
            if not datagram.isLost:
                break
            await self.pause(timeout / LOOKS)

    async def pause(self, seconds: float) -> None:
        """Waits."""
        await pause(self.clock, seconds / self._pace)

    def _age(self, datagram: Datagram) -> float:
        return (self._context.now - datagram.sent) * self._pace
