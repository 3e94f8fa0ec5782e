"""Results: the samples of a run, and the verdicts on the targets."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from math import inf
from typing import Any

from benchmarks.estimates import Estimate, estimateOf, ratios
from benchmarks.rows import MEDIAN, ROWS, TAIL, TARGETS, TOLERANCE, Figure, Row, Target, rowNamed

# The grade of a target whose rounds are too few for an interval.
TOO_FEW = "too few rounds"


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement of one server.

    :param cpu: the server's CPU time for an echo, in µs, user and system.
    :param rate: echoes a second.
    :param median: the median of the round trips, in µs; None if they were not timed or the server fell
        behind.
    :param tail: the 99th percentile of the round trips, in µs.
    :param share: the CPU time of a server at rest, in % of a core; only of idle connections.
    :param memory: bytes of the server's resident memory for a connection; only of idle connections.
    """

    cpu: float
    rate: float
    median: float | None = None
    tail: float | None = None
    memory: float | None = None
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target with its measurement.

    :param estimate: the ratio or figure; None if it was not measured.
    :param unjudged: the reason why the estimate allows no judgement; empty if it does.
    """

    target: Target
    estimate: Estimate | None
    unjudged: str

    def grade(self) -> str:
        """Returns the grade in words: of a whole interval, so that a lucky round decides nothing."""
        if self.estimate is None:
            return "not measured"
        if self.unjudged:
            return "not judged"
        if self.estimate.low is None or self.estimate.high is None:
            return TOO_FEW
        most = self.target.most * (1 + TOLERANCE)
        if self.estimate.high < most:
            return "met"
        return "missed" if self.estimate.low > most else "undecided"

    def asJson(self) -> dict[str, Any]:
        """Returns the values for JSON."""
        return {
            "row": self.target.row,
            "figure": self.target.figure.name,
            "against": self.target.against or rowNamed(self.target.row).base or None,
            "target": self.target.most,
            **_numbers(self.estimate),
            "verdict": self.grade(),
        }


def _numbers(estimate: Estimate | None) -> dict[str, float | None]:
    """Returns the values for JSON, which has no infinity."""
    numbers = estimate._asdict() if estimate else dict.fromkeys(Estimate._fields)
    return {name: None if value == inf else value for name, value in numbers.items()}


@dataclass(slots=True)
class Results:
    """The results of a run.

    :param date: the date of the run.
    :param rounds: measurements of each server in most rows.
    :param seconds: seconds of each measurement.
    :param load: the language of the load: ``C`` or ``Python``.
    :param machine: the facts of the machine, by the words of the page.
    :param peers: the title of each peer by its name, in the order of the tables.
    :param versions: the versions of each peer's parts, by its name.
    :param missing: rows and peers that could not be run, with the reason.
    :param cores: the number of different cores of server and load.
    :param busy: the load average before the run.
    :param command: the command line.
    :param wanted: the names of the rows that were asked for; some may be missing.
    :param fewer: the connections of the rows that were measured with fewer, by their names.
    :param offered: messages a second of the latency row; 0 if it was not run.
    :param reference: the name of the Python that the others are compared with; empty without ``--python``.
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
    wanted: list[str] = field(default_factory=list)
    fewer: dict[str, int] = field(default_factory=dict)
    offered: int = 0
    reference: str = ""
    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)

    def add(self, row: Row, peer: str, sample: Sample) -> None:
        """Keeps a measurement."""
        self.samples.setdefault(row.name, {}).setdefault(peer, []).append(sample)

    def rows(self) -> list[Row]:
        """Returns the rows that were measured."""
        return [self.row(row.name) for row in ROWS if row.name in self.samples]

    def row(self, name: str) -> Row:
        """Returns a row with the number of connections that were measured.

        :raise KeyError: when there is no such row.
        """
        row = rowNamed(name)
        return row.withConnections(self.fewer[name]) if name in self.fewer else row

    def roundsOf(self, row: Row) -> int:
        """Returns the number of rounds of a row."""
        return max(map(len, self.samples[row.name].values()), default=0)

    def asked(self) -> set[str]:
        """Returns the names of the rows that were asked for, whether or not they could be run."""
        return {*self.wanted, *self.samples}

    def values(self, row: str, peer: str, figure: Figure) -> list[float | None]:
        """Returns a figure of each round; None if it was not measured, infinity if the server fell behind."""
        unmeasured = inf if rowNamed(row).mode == "rate" and figure in (MEDIAN, TAIL) else None
        found = [getattr(sample, figure.name) for sample in self.samples.get(row, {}).get(peer, [])]
        return [unmeasured if value is None else value for value in found]

    def estimate(self, row: str, peer: str, figure: Figure) -> Estimate | None:
        """Returns the median of a figure in all rounds; None if it was not measured."""
        return estimateOf([value for value in self.values(row, peer, figure) if value is not None])

    def ratio(self, row: str, figure: Figure, peer: str, against: str) -> Estimate | None:
        """Returns the median of the rounds' ratios of two peers; None if no round has both."""
        return estimateOf(ratios(self.values(row, peer, figure), self.values(row, against, figure)))

    def verdict(self, target: Target) -> Verdict:
        """Returns the verdict on a target."""
        row = rowNamed(target.row)
        if target.against is not None:
            estimate = self.ratio(row.name, target.figure, row.ours, target.against)
        elif row.base:
            pair = (row, rowNamed(row.base))
            ours = (self.values(each.name, each.ours, target.figure) for each in pair)
            estimate = estimateOf(ratios(*ours))
        else:
            estimate = self.estimate(row.name, row.ours, target.figure)
        return Verdict(target, estimate, self._unjudged(row))

    def verdicts(self) -> list[Verdict]:
        """Returns the verdicts on the targets of the rows that were asked for."""
        asked = [target for target in TARGETS if target.row in self.asked()]
        return [self.verdict(target) for target in asked if rowNamed(target.row).ours in self.peers]

    def comparison(self) -> list[tuple[Row, Figure, str, Estimate | None]]:
        """Returns each figure of each Python but the first, as its ratio to the first; nothing for peers."""
        others = [peer for peer in self.peers if self.reference and peer != self.reference]
        return [
            (row, figure, peer, self.ratio(row.name, figure, peer, self.reference))
            for row in self.rows()
            for figure in row.figures
            for peer in others
        ]

    def _unjudged(self, row: Row) -> str:
        if self.cores < 2 and row.mode != "idle":
            return "the server and the load shared one core"
        if row.name in self.fewer or row.base in self.fewer:
            return "a target of many connections is not judged with fewer"
        if self.load == "Python" and not row.pythonLoad:
            return "a load in Python is too slow: the servers wait for it"
        return ""

    def toJson(self) -> str:
        """Returns the results as text that :meth:`fromJson` reads."""
        verdicts = [verdict.asJson() for verdict in self.verdicts()]
        ratios = [
            {"row": row.name, "figure": figure.name, "peer": peer, **_numbers(ratio)}
            for row, figure, peer, ratio in self.comparison()
        ]
        made = {**asdict(self), "verdicts": verdicts, "ratios": ratios}
        return json.dumps(made, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def fromJson(cls, text: str) -> Results:
        """Returns the results of a text of :meth:`toJson`.

        :raise ValueError: when the text is no such text.
        """
        try:
            read: dict[str, Any] = json.loads(text)
            # These follow from the samples.
            for name in ("verdicts", "ratios"):
                read.pop(name, None)
            samples = {
                rowNamed(row).name: {
                    peer: [Sample(**sample) for sample in rounds] for peer, rounds in peers.items()
                }
                for row, peers in read.pop("samples").items()
            }
            return cls(**read, samples=samples)
        except (TypeError, KeyError, AttributeError, ValueError):
            raise ValueError("not the results of a benchmark") from None
