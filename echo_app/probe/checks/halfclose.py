"""Check ``half-close``: a client that shuts down its writing side still gets its whole answer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from echo_app.probe.checks.check import Check, Context, Cost, Result, Status, passed
from echo_app.probe.net.errors import ErrorKind, Reason, timedOut
from echo_app.probe.net.stream import SILENCE
from echo_app.probe.results.difference import StreamDifference, firstDifference

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


@dataclass(frozen=True, slots=True)
class Try:
    """Result of one try: the bytes that came back, and the end of the stream.

    :param end: of the peer's side; None if it did not end in time.
    :param found: the first difference to the sent bytes; None if there is none.
    """

    sent: int
    came: int
    end: Reason | None
    found: StreamDifference | None = None

    @property
    def kind(self) -> str:
        """The kind of fault; empty if there is none."""
        if self.found is not None:
            return "other bytes"
        isWhole = self.came == self.sent
        if self.end is None:
            return "no end" if isWhole else "silence"
        if self.end.kind in ORDERLY:
            return "" if isWhole else "truncation" if self.came else "immediate close"
        return "reset"

    def __str__(self) -> str:
        what = str(self.found or f"{self.came} of {self.sent} B back")
        return f"{what}, then {self.end or timedOut(SILENCE)}"


_MEANINGS = {
    "other bytes": "The bytes that come back after a half-close are not those that were sent.",
    "no end": "Clients that read to the end wait for ever.",
    "silence": "Clients that shut down before reading wait for ever.",
    "truncation": "Clients that shut down before reading lose part of their answer, and are not told.",
    "immediate close": "Clients that shut down before reading lose answers.",
    "reset": "Clients that shut down before reading see a reset, and may lose answers.",
}


class HalfClose(Check):
    """Sends data and FIN in one segment, and more data and FIN before any of it is read."""

    name = "half-close"

    def cost(self, context: Context) -> Cost:
        """Returns the cost: a few round trips a try."""
        tries = triesOf(context)
        return Cost(tries // 2 * (SMALL + LARGE), tries, tries * 0.5)

    async def run(self, context: Context) -> Result:
        """Makes the tries one after the other, so that a cap on connections does not matter."""
        tries: list[Try] = []
        deadline = context.reactor.seconds() + BUDGET * (triesOf(context) / TRIES)
        while len(tries) < triesOf(context) and sum(each.end is None for each in tries) < ENOUGH:
            if len(tries) >= 2 and context.reactor.seconds() >= deadline:
                break
            tries.append(await self._try(context, LARGE if len(tries) % 2 else SMALL))
        return judge(tries, isTLS=context.target.kind == "tls")

    async def _try(self, context: Context, size: int) -> Try:
        data = context.random.randbytes(size)
        async with await context.connect() as stream:
            stream.halfClose(data)
            came = await stream.receiveAll()
        return Try(size, len(came), stream.end, firstDifference(data, came))


def triesOf(context: Context) -> int:
    """Returns the number of tries."""
    return THOROUGH_TRIES if context.settings.isThorough else TRIES


def judge(tries: list[Try], isTLS: bool = False) -> Result:
    """Judges the tries. Over TLS, where few clients read on, a fault is a warning."""
    wrong = [each for each in tries if each.kind]
    if not wrong:
        return passed(HalfClose.name, f"{len(tries)} of {len(tries)} whole, then the end")
    kinds = Counter(each.kind for each in wrong)
    kind = kinds.most_common(1)[0][0]
    example = next(each for each in wrong if each.kind == kind)
    status = Status.WARN if isTLS else Status.FAIL
    seen = f"{len(wrong)} of {len(tries)}: {example}"
    return Result(HalfClose.name, status, seen, _MEANINGS[kind], {"tries": len(tries), "kinds": dict(kinds)})
