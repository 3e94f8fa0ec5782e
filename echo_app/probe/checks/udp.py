"""Check ``udp``: sends datagrams in several ways, and records the fate of each."""

from __future__ import annotations

from collections.abc import Sequence

from echo_app.probe.checks.check import Check, Context, Cost, lackOfDescriptors
from echo_app.probe.checks.udpfirst import firstsOf
from echo_app.probe.checks.udpports import PER_PORT as PER_SUSPECT
from echo_app.probe.checks.udpports import suspectsIn, unequalIn
from echo_app.probe.checks.udprecord import (
    BURST,
    CONTROL,
    FAST,
    FRESH,
    FULL,
    PORTS,
    PORTS_AGAIN,
    RETRY,
    RUN,
    SIZE,
    SIZES,
    STEADY,
    TRIAL,
    UNEQUAL,
    Datagrams,
    outside,
    tooMany,
)
from echo_app.probe.checks.udprecord import lostOf as lost
from echo_app.probe.checks.udpsender import MakeSource, Sender
from echo_app.probe.checks.udpsilence import SilentSources, waitsFor
from echo_app.probe.checks.udpsizes import LARGE_WAIT, SIZE_INTERVAL, TRIED_SIZES, TRIES, SizeTries
from echo_app.probe.checks.udpsource import Source
from echo_app.probe.net.errors import NetworkError

# Source ports, datagrams from each in a round, and seconds between two. The order is random, so that neither
# a short outage nor the begin of the round hits the first datagram of every port.
PORT_COUNT, QUICK_PORTS, PER_PORT, PORT_INTERVAL = 64, 4, 10, 0.005

# Fresh sources that are tried again where the first datagrams of the others had another fate.
FRESH_COUNT = 12

# Datagrams of a steady round, and the seconds between two: about those of a voice call. A path that loses
# exactly the tolerated share seems to lose more in one round of forty, and in three in a row in one of fifty
# thousand examinations.
COUNT, QUICK_COUNT, INTERVAL, ROUNDS = 1000, 200, 0.01, 3

# Datagrams at a higher rate, and the seconds between two.
FAST_COUNT, FAST_INTERVAL = 400, 0.0025

# Bursts, the datagrams of each, which are sent at once, and seconds before each. The usual buffer of a socket
# has room for 277 (net.core.rmem_default, 212,992 B, at 768 B each).
BURSTS, BURST_COUNT, BURST_REST = 3, 60, 0.3

# The trials of rates, each twice: seconds of each, and datagrams a second. The slow one comes between the
# fast ones, so that a time of general loss hits both. All trials of a series have one source: a source port
# that loses datagrams at any rate shows no limit then.
TRIAL_SECONDS, TRIALS, SERIES = 2.0, (400, 25, 200), 2

# Datagrams that nearly fill a packet, which a limit of bytes loses, and the seconds between two.
FULL_SIZE, FULL_COUNT, FULL_INTERVAL = 1200, 200, 0.005

# Seconds for answers that may still come, at the end.
LAST_WAIT = 3.0


class UDP(Check[Datagrams]):
    """Sends small datagrams from many ports, steadily, and fast; then sizes, and from silent sources.

    :param source: makes a source.
    :param pace: factor by which everything is faster, waits included; for known paths.
    """

    name = "udp"
    begin = Datagrams

    def __init__(self, source: MakeSource = Source, pace: float = 1.0) -> None:
        self._source = source
        self._pace = pace

    def reasonToSkip(self, context: Context) -> str:
        """Skips other targets than UDP, and a lack of descriptors: each source port needs one."""
        return lackOfDescriptors(_sources(context)) if context.target.kind == "udp" else "not asked for"

    def cost(self, context: Context) -> Cost:
        """Returns the cost of one round of everything; more rounds are made only after a fault."""
        ports, count, waits = _ports(context), _count(context), waitsFor(context.settings)
        longest = max(waits, default=0.0)
        fast = 0 if context.settings.isQuick else FAST_COUNT
        burst = 0 if context.settings.isQuick else BURSTS
        full = 0 if context.settings.isQuick else FULL_COUNT
        return (
            Cost(ports * PER_PORT * SIZE, _sources(context), ports * PER_PORT * PORT_INTERVAL)
            + Cost((count + fast) * SIZE, 0, count * INTERVAL + fast * FAST_INTERVAL)
            + Cost(burst * BURST_COUNT * SIZE, 0, burst * BURST_REST)
            + Cost(full * FULL_SIZE, 0, full * FULL_INTERVAL)
            + Cost(sum(TRIED_SIZES) * TRIES, 0, len(TRIED_SIZES) * TRIES * SIZE_INTERVAL)
            + Cost(int(longest) * 10 * SIZE, 0, longest + 1 if waits else 0)
        )

    async def run(self, context: Context, seen: Datagrams) -> None:
        """Sends in all ways, from fewer sources where nothing is answered."""
        examination = _Examination(context, seen, Sender(context, seen, self._source, self._pace))
        try:
            await examination.run()
        except NetworkError as error:
            seen.failure = error.reason
        finally:
            examination.sender.close()


class _Examination:
    """One run of the check."""

    def __init__(self, context: Context, seen: Datagrams, sender: Sender) -> None:
        self.sender = sender
        self._context = context
        self._seen = seen
        self._isQuick = context.settings.isQuick

    async def run(self) -> None:
        sender = self.sender
        sources = sender.openSeveral(_ports(self._context))
        await self._fromPorts(PORTS, sources)
        heard = [source for source in sources if sender.isHeard(source)]
        if not heard:
            await self._askRefusal(sources)
            return
        await self._fresh()
        main = await self._unequal(sources, heard)
        if not self._isQuick:
            await sender.sendAll(FAST, [main] * FAST_COUNT, FAST_INTERVAL)
            await self._bursts(main)
        await self._steadily(main)
        await self._rates()
        sizes = SizeTries(sender, self._seen, self._isQuick)
        await sizes.run(await self._heard())
        if not self._isQuick:
            await self._full()
        await sizes.runSmall()
        await SilentSources(sender, self._seen, waitsFor(self._context.settings)).run()
        silent = [source for source in sources if not sender.isHeard(source)]
        if silent:
            # The fresh ones may all be dead; those that were heard tell that from a time of general loss.
            fresh = sender.openSeveral(len(silent))
            await self._fromPorts(PORTS_AGAIN, [*silent, *fresh, *heard[:QUICK_PORTS]])
        await sender.settle(LAST_WAIT)

    async def _fromPorts(self, phase: str, sources: Sequence[Source], count: int = PER_PORT) -> None:
        order = [source for source in sources for _ in range(count)]
        self._context.random.shuffle(order)
        await self.sender.sendAll(phase, order, PORT_INTERVAL)

    async def _askRefusal(self, sources: Sequence[Source]) -> None:
        """Tries again, also from a connected socket: the kernel gives it ICMP messages."""
        await self.sender.settle(LAST_WAIT)
        await self._fromPorts(PORTS_AGAIN, [await self._connected(), *sources[:QUICK_PORTS]])
        await self.sender.settle(LAST_WAIT)

    async def _connected(self) -> Source:
        source = self.sender.open(isConnected=True)
        self._seen.unfragmented = source.unfragmented
        return source

    async def _heard(self) -> Source:
        """Returns the connected source of some that is answered best: some ports may be dead, or lossy."""
        tried: list[Source] = []
        for _ in range(TRIES):
            tried.append(await self._connected())
            for _ in range(TRIES):
                await self.sender.answer(await self.sender.send(tried[-1], CONTROL), LARGE_WAIT)
            if not lost(tried[-1].sent[1:]):
                break
        return min(tried, key=lambda source: lost(source.sent))

    async def _fresh(self) -> None:
        """Tries fresh sources where the first datagrams of the others were lost or late."""
        first = firstsOf(self._seen.of(PORTS))
        if first.isStriking:
            await self._fromPorts(FRESH, self.sender.openSeveral(FRESH_COUNT), PER_PORT)

    async def _unequal(self, sources: Sequence[Source], heard: Sequence[Source]) -> Source:
        """Tries again the ports that lost some datagrams beside ones that lost none, if there are both.

        :return: a source for all that is no matter of the port: one that lost none, if there is one.
        """
        suspects = suspectsIn(self._seen)
        if suspects.tried:
            await self._fromPorts(UNEQUAL, [sources[number] for number in suspects.tried], PER_SUSPECT)
        clean = [sources[number] for number in suspects.clean]
        return min(clean, key=lambda source: lost(source.sent[1:]), default=heard[0])

    async def _bursts(self, source: Source) -> None:
        """Sends some datagrams at once, a few times, where those with pauses between them are answered."""
        for number in range(0 if self._isLossy(FAST) else BURSTS):
            await self.sender.pause(BURST_REST)
            for _ in range(BURST_COUNT):
                await self.sender.send(source, f"{BURST} {number + 1}")
            await self.sender.settle()

    async def _steadily(self, source: Source) -> None:
        """Makes rounds of the main measurement, until one is good or all are bad, each from a source."""
        for number in range(ROUNDS):
            source = self.sender.open() if number else source
            phase = f"{STEADY} {number + 1}" if number else STEADY
            sent = await self.sender.sendAll(phase, [source] * _count(self._context), INTERVAL)
            if all(each.isLost for each in sent[-RUN:]):
                await self._retry(source)
            # Those that a blackout lost are no reason to go on.
            others = outside(sent, self._seen.blackouts)
            if not tooMany(lost(others), len(others)):
                break

    async def _retry(self, source: Source) -> None:
        """Sends from a source that seems to have ended, and from a fresh one, in turn."""
        both = [self.sender.open(), source] * PER_PORT
        await self.sender.sendAll(RETRY, both, SIZE_INTERVAL)

    async def _rates(self) -> None:
        """Tries several rates, each series from a fresh source, where a phase loses too many datagrams."""
        if unequalIn(self._seen) or not any(self._isLossy(kind) for kind in (PORTS, FAST, STEADY)):
            return
        for series in range(SERIES):
            source = self.sender.open()
            for number, rate in enumerate(TRIALS, series * len(TRIALS) + 1):
                await self.sender.sendAll(f"{TRIAL} {number}", [source] * int(TRIAL_SECONDS * rate), 1 / rate)

    def _isLossy(self, kind: str) -> bool:
        """Says whether too many datagrams of a phase are lost, apart from one blackout."""
        dead, blackouts = self._seen.deadSources, self._seen.blackouts
        sent = [each for each in self._seen.alive(kind) if each.source not in dead and each.index]
        # Several may be the windows of a limiter.
        sent = sent if len(blackouts) > 1 else outside(sent, blackouts)
        return tooMany(lost(sent), len(sent))

    async def _full(self) -> None:
        """Sends large datagrams at a rate at which small ones came back, twice where some are lost."""
        sizes = [each.size for each in self._seen.of(SIZES) if not each.isLost]
        if max(sizes, default=0) < FULL_SIZE or any(map(self._isLossy, (FAST, STEADY))):
            return
        for phase in (FULL, f"{FULL} 2"):
            sources = [await self._heard()] * FULL_COUNT
            sent = await self.sender.sendAll(phase, sources, FULL_INTERVAL, FULL_SIZE)
            if not tooMany(lost(sent), len(sent)):
                break


def _ports(context: Context) -> int:
    return QUICK_PORTS if context.settings.isQuick else PORT_COUNT


def _count(context: Context) -> int:
    return QUICK_COUNT if context.settings.isQuick else COUNT


def _sources(context: Context) -> int:
    """Returns the number of sources on a good path: ports, three for sizes, and those that are silent."""
    return _ports(context) + 3 + 3 * len(waitsFor(context.settings)) + 1
