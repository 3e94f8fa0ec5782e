"""Check ``half-close``: a client that shuts down its writing side still gets its whole answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from echo_app.probe.checks.check import Check, Context, Cost
from echo_app.probe.checks.evidence import Observation
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.net.errors import ErrorKind, timedOut
from echo_app.probe.net.stream import SILENCE

# Tries: in many servers the fault is a race, so that one try is not enough. Every other try has the larger
# size.
TRIES, THOROUGH_TRIES = 20, 200

# Bytes of a try: one segment, with the FIN in it; and more than a server has read when FIN is sent.
SMALL, LARGE = 1 << 10, 1 << 18

# Tries without an end after which there are no more: each takes a whole time-out.
ENOUGH = 2

# Seconds after which no more tries begin, on a slow path; one of each size is always made.
BUDGET = 15.0

ORDERLY = (ErrorKind.FIN, ErrorKind.CLOSE_NOTIFY, ErrorKind.TRUNCATED)

WHOLE = "whole, then the end"


def outcomeOf(record: ConnectionRecord) -> str:
    """Returns how a try came out: one of the outcomes in docs/probe.rst, or :data:`WHOLE`."""
    isWhole = record.came == record.sent
    if record.difference is not None:
        return "other bytes"
    if record.end is None:
        return "no end" if isWhole else "silence"
    if record.end.kind in ORDERLY:
        return WHOLE if isWhole else "truncation" if record.came else "immediate close"
    return "reset"


def described(record: ConnectionRecord) -> str:
    """Returns what came back in a try, and its end."""
    what = str(record.difference or f"{record.came} of {record.sent} B back")
    return f"{what}, then {record.end or timedOut(SILENCE)}"


@dataclass(slots=True)
class HalfCloses(Observation):
    """The tries.

    :ivar records: of their connections.
    """

    records: list[ConnectionRecord] = field(default_factory=list)

    @property
    def outcomes(self) -> Counter[str]:
        """Returns the number of tries by their outcome."""
        return Counter(map(outcomeOf, self.records))

    def __str__(self) -> str:
        count, outcomes = len(self.records), self.outcomes
        if outcomes[WHOLE] == count:
            return f"{count} of {count} {WHOLE}"
        return ", ".join(f"{n} of {count} {outcome}" for outcome, n in outcomes.most_common())

    def data(self) -> Mapping[str, object]:
        """Returns the counts."""
        return {"tries": len(self.records), "outcomes": dict(self.outcomes)}


class HalfClose(Check[HalfCloses]):
    """Sends data and FIN in one segment, and more data and FIN before any of it is read."""

    name = "half-close"
    begin = HalfCloses

    def cost(self, context: Context) -> Cost:
        """Returns the cost: a few round trips a try."""
        tries = triesOf(context)
        return Cost(tries // 2 * (SMALL + LARGE), tries, tries * 0.5)

    async def run(self, context: Context, seen: HalfCloses) -> None:
        """Makes the tries one after the other, so that a cap on connections does not matter."""
        tries = seen.records
        deadline = context.reactor.seconds() + BUDGET * (triesOf(context) / TRIES)
        while len(tries) < triesOf(context) and sum(each.silence > 0 for each in tries) < ENOUGH:
            if len(tries) >= 2 and context.reactor.seconds() >= deadline:
                break
            async with await context.connect() as link:
                link.halfClose(LARGE if len(tries) % 2 else SMALL)
                await link.receiveEnd()
                tries.append(link.record)


def triesOf(context: Context) -> int:
    """Returns the number of tries."""
    return THOROUGH_TRIES if context.settings.isThorough else TRIES
