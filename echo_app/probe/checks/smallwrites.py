"""Check ``small-writes``: do small writes wait for acknowledgements?

Nagle's algorithm (RFC 896) at the far end holds a small segment back until the one before is acknowledged,
and a delayed acknowledgement (RFC 1122, 4.2.3.2) here keeps it waiting: 40 ms on Linux, up to 500 by the RFC.

A busy machine may be late by as much. So rounds come in pairs that differ in one thing: in one round our
kernel delays its acknowledgements, and in the other it sends them as soon as an answer is read. Only an
algorithm that waits for them makes the first kind of round the longer one more often than chance does.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass

from echo_app.probe.checks.check import Check, Context, Cost, Result, failed, passed, skipped, warned
from echo_app.probe.checks.identity import Shortfall, fromStart, returned
from echo_app.probe.net.stream import Stream
from echo_app.probe.results.difference import StreamDifference
from echo_app.probe.results.statistics import headsByChance, interval, milliseconds, spread

# Pairs of rounds in a batch, and seconds after which no other batch is begun where they cannot tell.
PAIRS, BUDGET = 24, 10.0

# Bytes of the first and the second write.
HEAD, BODY = 4, 60

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


class Broken(Exception):
    """An answer differs from the sent bytes.

    :ivar found: the fault, with its offset from the connection's first byte.
    """

    def __init__(self, found: StreamDifference | Shortfall) -> None:
        super().__init__(str(found))
        self.found = found


class SmallWrites(Check):
    """Sends two small pieces in two writes, and then in one, and measures the round trips."""

    name = "small-writes"

    def cost(self, context: Context) -> Cost:
        """Returns the cost of one batch: more are sent only if it is inconclusive."""
        rounds = 3 * PAIRS
        return Cost(rounds * (HEAD + BODY), 2, rounds * 0.1)

    async def run(self, context: Context) -> Result:
        """Measures on two connections, so that two writes do not affect the acknowledgements of one."""
        try:
            batches = await self._inTwoWrites(context)
            whole, pieces = await self._inOneWrite(context)
        except Broken as error:
            return judgeBroken(error.found)
        return judge(batches, whole, pieces)

    async def _inTwoWrites(self, context: Context) -> list[list[Pair]]:
        """Sends batches of pairs until they are conclusive, or the time is over."""
        async with await context.connect() as stream:
            rounds = _Rounds(context, stream)
            deadline = context.reactor.seconds() + BUDGET
            batches: list[list[Pair]] = []
            while doWait(batches) is None and (not batches or context.reactor.seconds() < deadline):
                batches.append([await rounds.pair() for _ in range(PAIRS)])
            return batches

    async def _inOneWrite(self, context: Context) -> tuple[list[float], int]:
        """Returns the times of rounds, and the median number of pieces in which an answer was read."""
        async with await context.connect() as stream:
            rounds = _Rounds(context, stream)
            times, pieces = [], []
            for _ in range(PAIRS):
                before = stream.pieces
                times.append(await rounds.round([HEAD + BODY]))
                pieces.append(stream.pieces - before)
            return times, sorted(pieces)[PAIRS // 2]


class _Rounds:
    """Measures rounds on one connection."""

    def __init__(self, context: Context, stream: Stream) -> None:
        self._stream = stream
        self._context = context
        self._answered = 0

    async def pair(self) -> Pair:
        """Sends both rounds of a pair, in random order: periodic delays meet both kinds equally often."""
        seconds = {}
        for isPrompt in self._context.random.sample((False, True), 2):
            seconds[isPrompt] = await self.round([HEAD, BODY], isPrompt)
        return Pair(seconds[False], seconds[True])

    async def round(self, sizes: Sequence[int], isPrompt: bool = False) -> float:
        """Sends pieces of these sizes, a write each, and reads the answer; returns the seconds.

        :raise Broken: when the answer differs.
        """
        reactor = self._context.reactor
        pieces = [self._context.random.randbytes(size) for size in sizes]
        start = reactor.seconds()
        for piece in pieces:
            self._stream.write(piece)
        acknowledge(self._stream.sock, isPrompt)
        found = await returned(self._stream, b"".join(pieces))
        if found is not None:
            raise Broken(fromStart(found, self._answered))
        self._answered += sum(sizes)
        return float(reactor.seconds() - start)


def acknowledge(sock: socket.socket, isPrompt: bool) -> None:
    """Sets whether our kernel acknowledges bytes as soon as they are read, or later, as by default.

    Linux forgets the setting when bytes are sent (tcp(7), TCP_QUICKACK), so that it is set after each write.
    """
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, isPrompt)


def judgeBroken(found: StreamDifference | Shortfall) -> Result:
    """Judges an answer that differs from the sent bytes."""
    meaning = "Small messages get lost or stuck."
    if isinstance(found, StreamDifference):
        meaning = "Small messages come back as others."
    return failed(SmallWrites.name, str(found), meaning)


def _counts(batches: Sequence[Sequence[Pair]]) -> tuple[int, int]:
    """Returns the number of pairs whose delayed round was longer, and shorter, by LAG."""
    added = [pair.added for pairs in batches for pair in pairs]
    return sum(each >= LAG for each in added), sum(each <= -LAG for each in added)


def doWait(batches: Sequence[Sequence[Pair]]) -> bool | None:
    """Says whether answers wait for acknowledgements; None where the pairs are inconclusive.

    They do where more pairs differ by a delay than chance explains, which makes as many differ the other way.
    They do not where so few differ that hardly any can be due to a wait (Wilson interval).
    """
    longer, shorter = _counts(batches)
    if headsByChance(longer, longer + shorter) <= DOUBT:
        return True
    return False if interval(longer, sum(map(len, batches)))[1] < FEW else None


def judge(batches: Sequence[Sequence[Pair]], whole: Sequence[float], pieces: int = 1) -> Result:
    """Judges the rounds: a delay that prompt acknowledgements cure, and whether one write cures it, too.

    :param batches: the rounds in two writes.
    :param whole: seconds of the rounds in one write.
    :param pieces: the median number of pieces in which the answers to these were read.
    """
    pairs = [pair for batch in batches for pair in batch]
    longer, shorter = _counts(batches)
    details = {
        "split": [pair.delayed for pair in pairs],
        "prompt": [pair.prompt for pair in pairs],
        "whole": list(whole),
        "longer": longer,
        "shorter": shorter,
        "pieces": pieces,
    }
    name = SmallWrites.name
    answer = doWait(batches)
    if answer:
        waits = sorted(pair.added for pair in pairs if pair.added >= LAG)
        added = milliseconds(waits[len(waits) // 2])
        seen = f"{longer} of {len(pairs)} wait {added} more where we delay acknowledgements"
        least = min(pair.prompt for pair in pairs)
        isCured = sum(each - least >= LAG for each in whole) < len(whole) / 2
        meaning = "The far end sends without TCP_NODELAY: " + (
            "write a message in one piece, or set it there." if isCured else "set it there."
        )
        return warned(name, seen, meaning, **details)
    times = spread([pair.delayed for pair in pairs])
    cut = f", {HEAD + BODY} B in {pieces} pieces" if pieces > 1 else ""
    if not longer:
        return passed(name, f"{times}, none waits for an acknowledgement{cut}", **details)
    late = f"{longer} of {len(pairs)} late with delayed acknowledgements, {shorter} with prompt ones"
    if answer is None:
        return skipped(name, f"{times}, too unsteady to tell whether answers wait: {late}{cut}", **details)
    return passed(name, f"{times}, hardly any waits: {late}{cut}", **details)
