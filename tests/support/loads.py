"""Results of simulated loads, with computed latencies."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from echo_app.probe.results.histogram import Histogram
from echo_app.probe.results.results import Interval, LoadSettings, Results, Run

STARTED = "2026-11-25T12:00:00+00:00"

Latency = Callable[[Random, float], float]


def steady(median: float = 0.0002, spread: float = 0.4) -> Latency:
    """Returns latencies of a lognormal distribution, the same at all times."""
    return lambda random, moment: median * random.lognormvariate(0, spread)


def stalling(usual: Latency, stall: float = 1.0, every: float = 5.0) -> Latency:
    """Returns latencies of a service that stalls at regular times, as an open loop measures them."""

    def latency(random: Random, moment: float) -> float:
        left = stall - moment % every
        return usual(random, moment) + max(0.0, left)

    return latency


def makeRun(
    random: Random,
    latency: Latency,
    target: str = "127.0.0.1:8080",
    seconds: float = 10.0,
    rate: float = 200.0,
    kinds: dict[str, float] | None = None,
    late: float = 0.00002,
    intervals: int = 0,
    connections: int = 10,
) -> Run:
    """Returns a run at regular times.

    :param kinds: the share of the messages that end with each kind of error.
    :param intervals: the number of intervals; by default one a second.
    """
    run = Run(target, STARTED, seconds)
    for _ in range(connections):
        run.connects.record(0.0003 * random.lognormvariate(0, 0.3))
    length = seconds / (intervals or max(1, round(seconds)))
    for part in range(round(seconds / length)):
        run.intervals.append(_interval(random, run, latency, part * length, length, rate, kinds or {}))
    for _ in range(run.due):
        run.lateness.record(late * random.lognormvariate(0, 0.5))
    return run


def _interval(
    random: Random,
    run: Run,
    latency: Latency,
    start: float,
    length: float,
    rate: float,
    kinds: dict[str, float],
) -> Interval:
    times, errors = Histogram(), dict.fromkeys(kinds, 0)
    count = round(length * rate)
    for number in range(count):
        failed = [kind for kind, share in kinds.items() if random.random() < share]
        if failed:
            errors[failed[0]] += 1
            continue
        seconds = latency(random, start + (number + random.random()) * length / count)
        times.record(seconds)
        run.latency.record(seconds)
    errors = {kind: number for kind, number in errors.items() if number}
    for kind, number in errors.items():
        run.errors[kind] = run.errors.get(kind, 0) + number
    run.due += count
    run.sent += count
    run.answered += len(times)
    run.bytes += 1024 * len(times)
    return Interval(start, length, len(times), times.percentiles(), times.most, errors)


def makeResults(*runs: Run, **settings: object) -> Results:
    """Returns the results of a command with these runs."""
    asked = LoadSettings(**{"connections": 10, "rate": 200.0, "arrivals": "uniform", **settings})  # type: ignore[arg-type]
    targets = " ".join(dict.fromkeys(run.target for run in runs))
    return Results(
        f"echo-probe load {targets} --rate 200 --arrivals uniform --connections 10 --repeat 5",
        {"echo_app": "0.1.0", "Python": "3.11.2", "Twisted": "26.10.0"},
        {"Processor": "A Processor", "Cores": "2 of 2 usable", "Kernel": "Linux 6.1.0, x86_64"},
        asked,
        list(runs),
    )
