"""Measures the peers: in each round of a row, the peers take turns, and rows that are compared do too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks.cores import Cores, pinned
from benchmarks.loads import Load, LoadError, Outcome, Phase, Rest, Usage
from benchmarks.peers import UPSTREAM, Peer, makePeer
from benchmarks.results import Results, Sample
from benchmarks.rows import OURS, REFERENCE, SHARE, Row, rowNamed
from echo_app.testing import EchoProcessError

# A server that answers less than this part of a fixed rate has fallen behind, and its latency says nothing.
KEEPS_UP = 0.95

# Rounds that look for the reference's largest rate. The largest of many is an outlier.
SATURATION_ROUNDS = 5


# 30 s of the service's sweeps over its idle connections, after one whole sweep at the least: at the default
# time-outs there is one every 5 s (echo_app/connections/timeouts.py). The sum is below the shortest
# --idle-timeout of a row, with time to open the connections.
REST = Rest(settle=10, seconds=30)


class BenchmarkError(Exception):
    """An error of a server or of the set-up; the text is one line."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The rows and peers to measure, with rounds and durations.

    :param rounds: measurements of each peer in each row; 0 is the row's own number.
    :param warmup: seconds before each measurement.
    :param seconds: seconds of each measurement.
    """

    rows: tuple[Row, ...]
    peers: tuple[Peer, ...]
    rounds: int
    warmup: float
    seconds: float

    def peersOf(self, row: Row) -> list[Peer]:
        """Returns the peers of a row: those that have its transport, or its only ones of them."""
        able = [peer for peer in self.peers if row.transport in peer.options]
        return [peer for peer in able if not row.peers or peer.name in row.peers]

    def measurements(self) -> int:
        """Returns the number of measurements."""
        return sum(self.roundsOf(row) * len(self.peersOf(row)) for row in self.rows)

    def roundsOf(self, row: Row) -> int:
        """Returns the number of rounds of a row."""
        return self.rounds or row.rounds

    def groups(self) -> list[list[Row]]:
        """Returns the rows in groups that take turns: each row with those that are compared with it."""
        names = [row.name for row in self.rows]
        first = [row for row in self.rows if row.base not in names]
        return [[row, *(each for each in self.rows if each.base == row.name)] for row in first]

    def turns(self, group: Sequence[Row]) -> Iterator[tuple[int, Row, Peer]]:
        """Yields round, row and peer, in the order of measuring. Each round begins with another peer."""
        for number in range(max(map(self.roundsOf, group))):
            for row in group:
                peers = self.peersOf(row) if number < self.roundsOf(row) else []
                for place in range(len(peers)):
                    yield number + 1, row, peers[(place + number) % len(peers)]


class Laboratory:
    """Measures one server at a time, in a new process each time.

    :param load: loads the server.
    :param cores: the cores of server and load.
    :param rest: the time in which idle connections are measured.
    """

    def __init__(self, load: Load, cores: Cores, rest: Rest = REST) -> None:
        self._load = load
        self._cores = cores
        self._rest = rest

    def measure(self, peer: Peer, row: Row, phase: Phase) -> Sample:
        """Returns what one server did with one kind of load.

        :raise BenchmarkError: when it did anything wrong.
        """
        # Only our own server looks after its idle connections: others have no time-outs.
        if SHARE in row.figures and peer.name == OURS:
            phase = phase._replace(rest=self._rest)
        try:
            outcome = self._outcome(peer, row, phase)
        except (LoadError, EchoProcessError, ProcessLookupError, FileNotFoundError) as error:
            reason = str(error).strip().splitlines()[-1]
            raise BenchmarkError(f"{peer.name}, {row.name}: {reason}") from None
        rate = outcome.echoes / outcome.seconds
        timed = phase.rate > 0 and rate > KEEPS_UP * phase.rate
        return Sample(
            cpu=outcome.cpu / 1000 / outcome.echoes,
            rate=rate,
            median=outcome.median * 1e6 if timed else None,
            tail=outcome.tail * 1e6 if timed else None,
            share=outcome.share,
            memory=outcome.memory / outcome.echoes if row.mode == "idle" else None,
        )

    def _outcome(self, peer: Peer, row: Row, phase: Phase) -> Outcome:
        """Returns the load's outcome. The upstream of a relay shares the load's core, and is not measured."""
        with ExitStack() as ends:
            upstream = ("", 0)
            if row.isForwarded:
                behind = makePeer(UPSTREAM).process("tcp")
                ends.callback(behind.kill)
                with pinned(self._cores.load):
                    upstream = behind.start().address("tcp")
            server = peer.process(row.transport, *row.options, upstream=upstream)
            ends.callback(server.kill)
            with pinned(self._cores.server):
                server.start()
            # A relay may have a process for each connection.
            usage = Usage.ofTree if row.isForwarded else Usage.of
            with pinned(self._cores.load):
                return self._load.run(row, server.address(row.listener), phase, lambda: usage(server.pid))

    def run(self, plan: Plan, results: Results, progress: Callable[[Row, int, Peer], None]) -> None:
        """Makes all measurements of a plan.

        :param results: gets the samples.
        :param progress: called before each measurement.
        :raise BenchmarkError: at the first wrong answer.
        """
        for group in plan.groups():
            phase = Phase(plan.warmup, plan.seconds)
            if group[0].mode == "rate":
                phase = phase._replace(rate=self._halfOfSaturation(plan, group[0]))
                results.offered = phase.rate
            for number, row, peer in plan.turns(group):
                progress(row, number, peer)
                results.add(row, peer.name, self.measure(peer, row, phase))

    def _halfOfSaturation(self, plan: Plan, row: Row) -> int:
        """Returns half of the reference's largest rate with the same messages and connections."""
        (reference,) = (peer for peer in plan.peers if peer.name == REFERENCE)
        saturated = rowNamed("1k-10")
        assert (saturated.size, saturated.connections) == (row.size, row.connections)
        phase = Phase(plan.warmup, plan.seconds)
        rounds = range(min(plan.roundsOf(row), SATURATION_ROUNDS))
        return round(max(self.measure(reference, saturated, phase).rate for _ in rounds) / 2)
