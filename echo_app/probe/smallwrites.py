"""Do small writes wait for acknowledgements?

Nagle's algorithm (RFC 896) at the far end holds a small segment back until the one before is acknowledged,
and a delayed acknowledgement (RFC 1122, 4.2.3.2) here keeps it waiting: 40 ms on Linux, up to 500 by the RFC.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass

from echo_app.probe.checks import Context
from echo_app.probe.difference import Difference
from echo_app.probe.findings import Cost, Result, failed, passed, warned
from echo_app.probe.identity import Shortfall, fromStart, returned
from echo_app.probe.statistics import milliseconds, spread
from echo_app.probe.stream import Stream

# Linux acknowledges the first segments of a connection without delay; then the rounds tell.
WARM, ROUNDS = 16, 24

# Bytes of the first and the second write.
HEAD, BODY = 4, 60

# Seconds of lag that are a delayed acknowledgement's: 40 ms, less what a timer may be early.
LAG = 0.035

# The share of lagging rounds that is no accident, and the one that coalescing has to leave at the most.
MANY, FEW = 0.5, 0.1


@dataclass(frozen=True, slots=True)
class Round:
    """A round trip.

    :param pieces: in which the answer was read.
    """

    seconds: float
    pieces: int


class SmallWrites:
    """Sends two small pieces, one write each, and awaits both; and then the same in one write."""

    name = "small-writes"

    def reasonToSkip(self, context: Context) -> str:
        """Datagrams don't wait."""
        return "" if context.target.isStream else "no stream"

    def cost(self, context: Context) -> Cost:
        """A round trip each, or 40 ms."""
        rounds = 2 * (WARM + ROUNDS)
        return Cost(rounds * (HEAD + BODY), 2, rounds * 0.1)

    async def run(self, context: Context) -> Result:
        """Two connections, so that one does not shape the other's acknowledgements."""
        rounds: list[Round] = []
        for isSplit in (True, False):
            stream = await context.connect()
            try:
                for count in range(WARM + ROUNDS):
                    one = await self._round(context, stream, isSplit)
                    if not isinstance(one, Round):
                        return judgeBroken(fromStart(one, count * (HEAD + BODY)))
                    rounds.append(one)
            finally:
                await stream.abort()
        split, whole = rounds[WARM : WARM + ROUNDS], rounds[-ROUNDS:]
        pieces = sorted(each.pieces for each in whole)[ROUNDS // 2]
        return judge([each.seconds for each in split], [each.seconds for each in whole], pieces)

    async def _round(self, context: Context, stream: Stream, isSplit: bool) -> Round | Difference | Shortfall:
        data = context.random.randbytes(HEAD + BODY)
        delayAcknowledgements(stream.sock)
        start, before = context.reactor.seconds(), stream.pieces
        if isSplit:
            stream.write(data[:HEAD])
            stream.write(data[HEAD:])
        else:
            stream.write(data)
        found = await returned(stream, data)
        return found or Round(context.reactor.seconds() - start, stream.pieces - before)


def delayAcknowledgements(sock: socket.socket) -> None:
    """Has our kernel delay them, as others always do, and Linux when it has seen a few rounds."""
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)


def judgeBroken(found: Difference | Shortfall) -> Result:
    """Says what did not come back as it was sent."""
    meaning = "Small messages get lost or stuck."
    if isinstance(found, Difference):
        meaning = "Small messages come back as others."
    return failed(SmallWrites.name, str(found), meaning)


def judge(split: Sequence[float], whole: Sequence[float], pieces: int = 1) -> Result:
    """Names the delay only where half of the split writes have it, and one write for both cures it.

    :param split: seconds of the rounds in two writes.
    :param whole: of those in one.
    :param pieces: in which the answers to these mostly came.
    """
    least = min(*split, *whole)
    lagging = sum(each - least >= LAG for each in split)
    curing = sum(each - least >= LAG for each in whole)
    details = {"split": list(split), "whole": list(whole), "lagging": lagging, "pieces": pieces}
    name = SmallWrites.name
    if lagging >= MANY * len(split) and curing <= FEW * len(whole):
        added = sorted(each - least for each in split)[len(split) // 2]
        seen = f"{lagging} of {len(split)} wait {milliseconds(added)} more than in one write"
        meaning = "The far end sends without TCP_NODELAY: write a message in one piece, or set it there."
        return warned(name, seen, meaning, **details)
    cut = f", {HEAD + BODY} B in {pieces} pieces" if pieces > 1 else ""
    return passed(name, f"{spread(split)}, no 40 ms delays{cut}", **details)
