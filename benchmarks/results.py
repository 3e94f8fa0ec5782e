"""Results: the samples of a run, and the verdicts on the promises."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.rows import OURS, ROWS, Figure, Row, Target, rowNamed


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement of one server.

    :param cpu: the server's CPU time for an echo, in µs, user and system.
    :param rate: echoes a second.
    :param median: the median of the round trips, in µs; None if they were not timed or the server fell
        behind.
    :param tail: the 99th percentile of the round trips, in µs.
    :param memory: bytes of the server's resident memory for a connection; only of idle connections.
    """

    cpu: float
    rate: float
    median: float | None = None
    tail: float | None = None
    memory: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A promise with its measurement.

    :param value: the ratio or figure; None if it was not measured.
    :param unjudged: the reason why the value allows no judgement; empty if it does.
    """

    target: Target
    value: float | None
    unjudged: str

    def grade(self) -> str:
        """Returns the grade in words."""
        if self.value is None:
            return "not measured"
        if self.unjudged:
            return "not judged"
        if self.value <= self.target.aim:
            return "aim met"
        return "must met" if self.value <= self.target.must else "not met"


@dataclass(slots=True)
class Results:
    """The results of a run.

    :param date: the date of the run.
    :param rounds: measurements of each server in each row.
    :param seconds: seconds of each measurement.
    :param load: the language of the load: ``C`` or ``Python``.
    :param machine: the facts of the machine, by the words of the page.
    :param peers: the title of each peer by its name, in the order of the tables.
    :param versions: the versions of each peer's parts, by its name.
    :param missing: rows and peers that could not be run, with the reason.
    :param cores: the number of different cores of server and load.
    :param busy: the load average before the run.
    :param command: the command line.
    :param offered: messages a second of the latency row; 0 if it was not run.
    :param samples: the samples by the names of row and peer.
    """

    date: str
    rounds: int
    seconds: float
    load: str
    machine: dict[str, str]
    peers: dict[str, str]
    versions: dict[str, str]
    missing: list[str]
    cores: int = 2
    busy: float = 0.0
    command: str = "bin/benchmark"
    offered: int = 0
    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)

    def add(self, row: Row, peer: str, sample: Sample) -> None:
        """Keeps a measurement."""
        self.samples.setdefault(row.name, {}).setdefault(peer, []).append(sample)

    def rows(self) -> list[Row]:
        """Returns the rows that were measured."""
        return [row for row in ROWS if row.name in self.samples]

    def lowest(self, row: str, peer: str, figure: Figure) -> float | None:
        """Returns the lowest value of a figure in all rounds; None if there is none."""
        values = [getattr(sample, figure.name) for sample in self.samples.get(row, {}).get(peer, [])]
        return min((value for value in values if value is not None), default=None)

    def verdict(self, target: Target) -> Verdict:
        """Returns the verdict on a promise."""
        value = self.lowest(target.row, OURS, target.figure)
        if target.against is not None and value is not None:
            other = self.lowest(target.row, target.against, target.figure)
            value = value / other if other else None
        return Verdict(target, value, self._unjudged(rowNamed(target.row)))

    def _unjudged(self, row: Row) -> str:
        if self.cores < 2 and row.mode != "idle":
            return "the server and the load shared one core"
        if self.load == "Python" and not row.pythonLoad:
            return "a load in Python is too slow: the servers wait for it"
        return ""

    def toJson(self) -> str:
        """Returns the results as text that :meth:`fromJson` reads."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def fromJson(cls, text: str) -> Results:
        """Returns the results of a text of :meth:`toJson`.

        :raise ValueError: when the text is no such text.
        """
        try:
            read: dict[str, Any] = json.loads(text)
            samples = {
                rowNamed(row).name: {
                    peer: [Sample(**sample) for sample in rounds] for peer, rounds in peers.items()
                }
                for row, peers in read.pop("samples").items()
            }
            return cls(**read, samples=samples)
        except (TypeError, KeyError, AttributeError, ValueError):
            raise ValueError("not the results of a benchmark") from None
