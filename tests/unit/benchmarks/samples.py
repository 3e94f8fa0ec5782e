"""Results of a benchmark that the tests make up."""

from __future__ import annotations

from benchmarks.results import Results, Sample
from benchmarks.rows import OURS


def results(load: str = "C", cores: int = 2, **samples: dict[str, list[Sample]]) -> Results:
    """Returns results with these samples, of rows whose ``-`` is a ``_``."""
    return Results(
        date="2026-01-02",
        rounds=2,
        seconds=0.5,
        load=load,
        machine={"Processor": "an abacus", "Kernel": "none"},
        peers={OURS: "echo_app", "textbook": "Twisted, textbook", "uvloop": "uvloop"},
        versions={OURS: "echo_app 1", "textbook": "Twisted 2", "uvloop": "uvloop 3"},
        missing=["Go: no go found"],
        cores=cores,
        samples={row.strip("_").replace("_", "-"): peers for row, peers in samples.items()},
    )


def costs(*values: float) -> list[Sample]:
    """Returns a sample for each cost of an echo."""
    return [Sample(cpu=value, rate=1000) for value in values]
