"""Schedule of an open loop: the moment and the size of each message; a seed repeats them."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from itertools import count, dropwhile, islice, repeat
from math import inf, sqrt
from random import Random

from echo_app.probe.results.results import LoadSettings

# Sizes that are drawn together: drawn one by one they cost several times as much.
DRAWN = 256


def poisson(random: Random, start: float, rate: float) -> Iterator[float]:
    """Yields times with gaps that are exponentially distributed.

    Several such schedules together are one, too.

    :param rate: a second.
    """
    due = start
    while True:
        due += random.expovariate(rate)
        yield due


def uniform(start: float, phase: float, rate: float) -> Iterator[float]:
    """Yields times with equal gaps, without a rounding error that grows.

    :param phase: the share of a gap before the first time, from 0 to 1.
    :param rate: a second.
    """
    return (start + (number + phase) / rate for number in count())


def scheduleOf(settings: LoadSettings, start: float, number: int, index: int, seed: int) -> Iterator[float]:
    """Yields the times at which messages are due on one connection of a worker.

    :param number: of the connection.
    :param index: of the worker, of ``settings.processes``.
    """
    assert settings.rate is not None
    rate = settings.rate / settings.connections
    phase = (number + index / settings.processes) / settings.connections
    random = Random(f"arrivals {seed} {index} {number}")
    if settings.rampTo is not None:
        places = uniform(0.0, phase, 1.0) if settings.arrivals == "uniform" else poisson(random, 0.0, 1.0)
        return ramp(places, start, settings)
    return uniform(start, phase, rate) if settings.arrivals == "uniform" else poisson(random, start, rate)


def ramp(places: Iterator[float], start: float, settings: LoadSettings) -> Iterator[float]:
    """Yields times at a rate that changes evenly in the measured part, after a warm-up at the first rate.

    A message at place x is due when x messages were to be expected: the integral of the rate, solved for the
    time. So the places have a rate of 1.
    """
    assert settings.rate is not None
    assert settings.rampTo is not None
    rate = settings.rate / settings.connections
    slope = (settings.rampTo / settings.connections - rate) / settings.duration
    before = rate * settings.warmup
    for place in places:
        rest = place - before
        square = rate * rate + 2 * slope * rest
        if rest <= 0:
            yield start + place / rate
        elif square > 0:
            # The form of the solution that loses no digits where the slope is small.
            yield start + settings.warmup + 2 * rest / (rate + sqrt(square))
        else:
            # A rate that falls has become 0, after the measured part.
            yield inf


def sizesOf(settings: LoadSettings, number: int, index: int, seed: int) -> Iterator[int]:
    """Returns the sizes of the messages of one connection of a worker, in bytes."""
    sizes = [size for size, _ in settings.sizes]
    if len(sizes) == 1:
        return repeat(sizes[0])
    return _drawn(Random(f"sizes {seed} {index} {number}"), sizes, [weight for _, weight in settings.sizes])


def _drawn(random: Random, sizes: list[int], weights: list[float]) -> Iterator[int]:
    while True:
        yield from random.choices(sizes, weights, k=DRAWN)


def endOf(settings: LoadSettings, index: int, seed: int) -> float:
    """Returns the seconds of the measured part after which as many messages were due as its count says.

    :param index: of the worker, of ``settings.processes``.
    """
    if not settings.count:
        return 0.0
    schedules = [scheduleOf(settings, 0.0, number, index, seed) for number in range(settings.connections)]
    measured = dropwhile(lambda due: due < settings.warmup, merge(*schedules))
    before, after = islice(measured, settings.count - 1, settings.count + 1)
    # Between two messages: the schedules themselves begin at another moment, and are rounded otherwise.
    return (before + after) / 2 - settings.warmup
