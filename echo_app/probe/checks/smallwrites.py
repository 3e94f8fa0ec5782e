"""Check ``small-writes``: do small writes wait for acknowledgements?

Nagle's algorithm (RFC 896) at the far end holds a small segment back until the one before is acknowledged,
and a delayed acknowledgement (RFC 1122, 4.2.3.2) here keeps it waiting: 40 ms on Linux, up to 500 by the RFC.

A busy machine may be late by as much. So rounds come in pairs that differ in one thing: in one round our
kernel delays its acknowledgements, and in the other it sends them as soon as an answer is read. Only an
algorithm that waits for them makes the first kind of round the longer one more often than chance does.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from echo_app.probe.checks.check import Check, Context, Cost
from echo_app.probe.checks.evidence import Observation
from echo_app.probe.checks.identity import isWrong, shortfall
from echo_app.probe.checks.link import Link
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.net.waits import pause
from echo_app.probe.results.statistics import headsByChance, interval, spread

# Pairs of rounds in a batch, and seconds after which no other batch is begun where they cannot tell.
PAIRS, BUDGET = 24, 10.0

# Bytes of the first and the second write.
HEAD, BODY = 4, 60

# Bytes of the messages on further connections, where the first one ended, a write each, and seconds between
# two on the last one, at the least. They tell a number of messages from a number of bytes, and from an age.
# As many are sent as the first one answered, times a factor: there, a message in two writes may count twice.
AGAIN, AGAIN_PAUSE, AGAIN_FACTOR = (20, 60, 200), 0.02, 3

# Seconds of difference that a delayed acknowledgement makes: 40 ms, less the error of a timer.
LAG = 0.035

# The probability of chance below which delayed acknowledgements take longer: that of 20 of 20 such
# differences, or of 28 of 30. On a machine that is often late, a hundred batches may be judged.
DOUBT = 1e-6

# The share of pairs below which the far end does not wait: the upper bound after 24 pairs without a
# difference.
FEW = 0.14


@dataclass(frozen=True, slots=True)
class Pair:
    """Two rounds, one after the other.

    :param delayed: seconds of the one whose acknowledgements were delayed.
    :param prompt: seconds of the one whose acknowledgements were not.
    """

    delayed: float
    prompt: float

    @property
    def added(self) -> float:
        """Seconds that the delayed acknowledgements, or chance, add."""
        return self.delayed - self.prompt


@dataclass(slots=True)
class SmallRounds(Observation):
    """Rounds in two writes, and in one.

    :ivar batches: the pairs of rounds in two writes.
    :ivar whole: seconds of the rounds in one write.
    :ivar pieces: in which the answer to each of these was read.
    :ivar records: of the connections.
    """

    batches: list[list[Pair]] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    pieces: list[int] = field(default_factory=list)
    records: list[ConnectionRecord] = field(default_factory=list)

    @property
    def pairs(self) -> list[Pair]:
        """The pairs of all batches."""
        return [pair for batch in self.batches for pair in batch]

    def __str__(self) -> str:
        parts = [shortfall(each) for each in self.records if isWrong(each)]
        if self.pairs:
            parts.append(f"{spread([pair.delayed for pair in self.pairs])} in two writes")
        if self.whole:
            parts.append(f"{spread(self.whole)} in one")
        if pieces := sorted(self.pieces):
            median = pieces[len(pieces) // 2]
            parts += [f"{HEAD + BODY} B in {median} pieces"] if median > 1 else []
        return "; ".join(parts)

    def data(self) -> Mapping[str, object]:
        """Returns the times, in seconds."""
        longer, shorter = counts(self.batches)
        return {
            "split": [pair.delayed for pair in self.pairs],
            "prompt": [pair.prompt for pair in self.pairs],
            "whole": self.whole,
            "longer": longer,
            "shorter": shorter,
            "pieces": self.pieces,
        }


class SmallWrites(Check[SmallRounds]):
    """Sends two small pieces in two writes, and then in one, and measures the round trips."""

    name = "small-writes"
    begin = SmallRounds

    def cost(self, context: Context) -> Cost:
        """Returns the cost of one batch: more are sent only if it is inconclusive."""
        rounds = 3 * PAIRS
        return Cost(rounds * (HEAD + BODY), 2, rounds * 0.1)

    async def run(self, context: Context, seen: SmallRounds) -> None:
        """Measures on two connections, so that two writes do not affect the acknowledgements of one."""
        async with await context.connect() as link:
            seen.records.append(link.record)
            await self._inTwoWrites(context, link, seen.batches)
        if link.record.end is not None and link.record.answered:
            await self._sendAgain(context, seen, link.record)
        async with await context.connect() as link:
            seen.records.append(link.record)
            for _ in range(PAIRS):
                before = link.stream.pieces
                if (seconds := await _round(context, link, [HEAD + BODY])) is None:
                    return
                seen.whole.append(seconds)
                seen.pieces.append(link.stream.pieces - before)

    async def _sendAgain(self, context: Context, seen: SmallRounds, first: ConnectionRecord) -> None:
        """Sends more messages than a connection answered that has ended; the last ones at half the pace."""
        pace = max((first.age or 0.0) / first.answered, AGAIN_PAUSE)
        for size, seconds in zip(AGAIN, (0.0, 0.0, pace), strict=True):
            async with await context.connect() as link:
                seen.records.append(link.record)
                for _ in range(AGAIN_FACTOR * first.answered):
                    await pause(context.reactor, seconds)
                    if await _round(context, link, [size]) is None:
                        break

    async def _inTwoWrites(self, context: Context, link: Link, batches: list[list[Pair]]) -> None:
        """Sends batches of pairs until they are conclusive, or the time is over."""
        deadline = context.reactor.seconds() + BUDGET
        while doWait(batches) is None and (not batches or context.reactor.seconds() < deadline):
            batches.append([])
            for _ in range(PAIRS):
                if (pair := await _pair(context, link)) is None:
                    return
                batches[-1].append(pair)


async def _pair(context: Context, link: Link) -> Pair | None:
    """Sends both rounds of a pair, in random order: periodic delays meet both kinds equally often."""
    times: dict[bool, float] = {}
    for isPrompt in context.random.sample((False, True), 2):
        seconds = await _round(context, link, [HEAD, BODY], isPrompt)
        if seconds is None:
            return None
        times[isPrompt] = seconds
    return Pair(times[False], times[True])


async def _round(context: Context, link: Link, sizes: Sequence[int], isPrompt: bool = False) -> float | None:
    """Sends pieces of these sizes, a write each, and reads the answer.

    :return: seconds; None if the answer was not whole.
    """
    start = context.reactor.seconds()
    for size in sizes:
        link.send(size)
    acknowledge(link.stream.sock, isPrompt)
    return float(context.reactor.seconds() - start) if await link.receiveRest() else None


def acknowledge(sock: socket.socket, isPrompt: bool) -> None:
    """Sets whether our kernel acknowledges bytes as soon as they are read, or later, as by default.

    Linux forgets the setting when bytes are sent (tcp(7), TCP_QUICKACK), so that it is set after each write.
    """
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, isPrompt)


def counts(batches: Sequence[Sequence[Pair]]) -> tuple[int, int]:
    """Returns the number of pairs whose delayed round was longer, and shorter, by LAG."""
    added = [pair.added for pairs in batches for pair in pairs]
    return sum(each >= LAG for each in added), sum(each <= -LAG for each in added)


def doWait(batches: Sequence[Sequence[Pair]]) -> bool | None:
    """Says whether answers wait for acknowledgements; None where the pairs are inconclusive.

    They do where more pairs differ by a delay than chance explains, which makes as many differ the other way.
    They do not where so few differ that hardly any can be due to a wait (Wilson interval).
    """
    longer, shorter = counts(batches)
    if headsByChance(longer, longer + shorter) <= DOUBT:
        return True
    return False if interval(longer, sum(map(len, batches)))[1] < FEW else None
