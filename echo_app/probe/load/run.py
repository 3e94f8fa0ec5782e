"""Run of a load, from the first connection to the last answer, with the time limits of its workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import accumulate, pairwise
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IDelayedCall

from echo_app.probe.load.totals import Totals
from echo_app.probe.load.workers import WORKER, LoadFailed, WorkerPool
from echo_app.probe.net.waits import NothingCame, within
from echo_app.probe.results.results import LoadSettings, Run
from echo_app.targets import Target

# Seconds from the moment at which all workers are ready to the beginning of the load: enough to tell them.
LEAD = 0.2

# Seconds that are added to the time-outs of workers, for a busy machine.
GRACE = 30.0

# Seconds in which interrupted workers must report.
FAREWELL = 10.0

# Seconds between two looks at how busy the workers are, where the end of the run is not known.
LOOK = 0.25

# Connections that a worker makes in a second at the least, TLS handshakes included.
SLOWEST = 50


def shares(settings: LoadSettings) -> list[LoadSettings]:
    """Returns the settings of each worker: an equal share of the connections, the rate, and the messages."""
    each, more = divmod(settings.connections, settings.processes)
    counts = [each + (index < more) for index in range(settings.processes)]
    messages = _parts(settings.count, counts)
    rates = [
        {name: rate and rate * count / settings.connections for name, rate in _rates(settings).items()}
        for count in counts
    ]
    return [
        replace(settings, connections=n, count=count, **share)  # type: ignore[arg-type]
        for n, share, count in zip(counts, rates, messages, strict=True)
    ]


def _rates(settings: LoadSettings) -> dict[str, float | None]:
    return {"rate": settings.rate, "rampTo": settings.rampTo}


def _parts(count: int | None, weights: Sequence[int]) -> list[int | None]:
    """Returns the whole parts of a count, in proportion to weights; None has none."""
    if count is None:
        return [None] * len(weights)
    ends = [count * each // sum(weights) for each in accumulate(weights, initial=0)]
    return [end - start for start, end in pairwise(ends)]


def tasks(target: Target, settings: LoadSettings, seed: int) -> list[Mapping[str, Any]]:
    """Returns the task of each worker: the first line that the worker reads."""
    common = {"target": target.text, "tls": asdict(target.tls), "seed": seed}
    return [
        {**common, "settings": asdict(share), "index": index} for index, share in enumerate(shares(settings))
    ]


@dataclass(eq=False)
class Running:
    """Makes one run, and has its totals while it goes on.

    :param clock: returns a second of CLOCK_MONOTONIC, which is the same for all processes.
    :ivar start: the moment at which the measured part begins; None before all workers are ready.
    :ivar totals: so far.
    """

    reactor: Any
    target: Target
    settings: LoadSettings
    clock: Callable[[], float] = time.monotonic
    command: Sequence[str] = WORKER

    def __post_init__(self) -> None:
        self.start: float | None = None
        self._timer: IDelayedCall | None = None
        self._watched: tuple[float, list[float]] = (0.0, [])
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.totals = Totals(Run(self.target.text, now), self.settings)

    @property
    def elapsed(self) -> float | None:
        """Seconds since the measured part began, negative in the warm-up; None before."""
        return None if self.start is None else self.clock() - self.start

    async def measure(self, seed: int) -> Run:
        """Measures. Cancelling it ends the run early, with the totals so far; a second time it gives up.

        :raise LoadFailed: when there is no result.
        :raise CancelledError: when the run was given up, or nothing was measured.
        """
        pool = WorkerPool(self.reactor, self.totals)
        try:
            pool.spawn(tasks(self.target, self.settings, seed), self.command)
            await self._begin(pool)
            try:
                return await self._end(pool)
            except CancelledError:
                return await self._interrupt(pool)
        except NothingCame as error:
            raise LoadFailed(f"a worker did not answer within {error.seconds:.0f} s") from error
        finally:
            if self._timer is not None and self._timer.active():
                self._timer.cancel()
            await pool.kill()

    async def _begin(self, pool: WorkerPool) -> None:
        timeout = GRACE + self.settings.wait + self.settings.connections / SLOWEST
        await within(self.reactor, timeout, pool.wait(lambda worker: worker.isReady))
        at = self.clock() + LEAD
        self.start = at + self.settings.warmup
        pool.tell(f"start {at!r}")
        self._timer = self.reactor.callLater(self.start - self.clock(), self._watch, pool)

    def _watch(self, pool: WorkerPool) -> None:
        """Begins to measure how busy the workers are, until the end of the measured part."""
        self._watched = self.clock(), pool.spent()
        self._seeLater(pool)

    def _seeLater(self, pool: WorkerPool) -> None:
        pause = self.settings.duration if self.settings.count is None else LOOK
        self._timer = self.reactor.callLater(pause, self._seeBusy, pool)

    def _seeBusy(self, pool: WorkerPool) -> None:
        since, before = self._watched
        if not before:
            return
        shares = [after - each for each, after in zip(before, pool.spent(), strict=True)]
        # A process that has ended has no count any more.
        if self.settings.count is None or min(shares) >= 0:
            self.totals.run.busy = round(max(0.0, *shares) / (self.clock() - since), 3)
        if self.settings.count is not None:
            self._seeLater(pool)

    async def _end(self, pool: WorkerPool) -> Run:
        settings = self.settings
        # The last message may wait to be sent, and then for its answer.
        timeout = LEAD + settings.warmup + settings.duration + 2 * settings.wait + GRACE
        await within(self.reactor, timeout, pool.wait(lambda worker: worker.isGone))
        return self.totals.end(settings.duration if settings.count is None else self.totals.ended)

    async def _interrupt(self, pool: WorkerPool) -> Run:
        elapsed = self.elapsed or 0.0
        if elapsed <= 0:
            raise CancelledError
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
            self._seeBusy(pool)
        pool.tell("stop")
        with suppress(LoadFailed, NothingCame):
            await within(self.reactor, FAREWELL, pool.wait(lambda worker: worker.isDone))
        self.totals.run.isInterrupted = True
        return self.totals.end(elapsed)
