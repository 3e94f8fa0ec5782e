"""Sources that are silent for a time: does the path still know them?"""

from __future__ import annotations

from echo_app.probe.checks.evidence import CheckSettings
from echo_app.probe.checks.udprecord import AFTER, BEFORE, WATCH, Datagrams, Silence
from echo_app.probe.checks.udpsender import Sender
from echo_app.probe.checks.udpsource import Source

# Seconds of silence: a few in every normal run, and up to --idle the usual lives of NATs' mappings (RFC 4787,
# 4.3, asks for two minutes at the least; many keep 30 seconds).
SHORT = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
LONG = (10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0, 600.0)

# Sources of each time, datagrams before and after it, and seconds between two.
TWINS, MESSAGES, INTERVAL = 2, 3, 0.05

# Seconds between two datagrams of the source that goes on meanwhile.
WATCH_INTERVAL = 0.05


def waitsFor(settings: CheckSettings) -> tuple[float, ...]:
    """Returns the seconds of silence that are tried, in order; none in a quick run."""
    if settings.isQuick:
        return ()
    longer = [each for each in LONG if each < settings.idle]
    return (*SHORT, *longer, *([settings.idle] if settings.idle > max(SHORT) else []))


class SilentSources:
    """Sends from sources, lets each pair be silent for its time, and sends again, beside a fresh source.

    :param waits: seconds of silence, in order.
    """

    def __init__(self, sender: Sender, seen: Datagrams, waits: tuple[float, ...]) -> None:
        self._sender = sender
        self._seen = seen
        self._waits = waits

    async def run(self) -> None:
        """Runs all times at once."""
        if not self._waits:
            return
        pairs = [(wait, self._sender.openSeveral(TWINS)) for wait in self._waits]
        for _, sources in pairs:
            await self._say(BEFORE, sources)
        watch = self._sender.open()
        for wait, sources in pairs:
            while (left := wait - self._sender.since(sources)) > 0:
                await self._sender.send(watch, WATCH)
                await self._sender.pause(min(WATCH_INTERVAL, left))
            await self._wake(sources)
        await self._sender.settle()

    async def _wake(self, sources: list[Source]) -> None:
        fresh, seconds = self._sender.open(), self._sender.since(sources)
        self._seen.silences.append(Silence(seconds, tuple(each.number for each in sources), fresh.number))
        await self._say(AFTER, [*sources, fresh])

    async def _say(self, phase: str, sources: list[Source]) -> None:
        for _ in range(MESSAGES):
            for source in sources:
                await self._sender.send(source, phase)
            await self._sender.pause(INTERVAL)
