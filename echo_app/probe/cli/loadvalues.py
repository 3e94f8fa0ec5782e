"""Parsers of the values of ``echo-probe load``."""

from __future__ import annotations

from dataclasses import replace

from echo_app.hints import didYouMean, nearest
from echo_app.probe.cli.arguments import positiveNumber, wholeNumber, writablePath
from echo_app.quantities import BYTES, DAY, MESSAGES, SECONDS
from echo_app.text import binarySize

# The largest message over a stream: a larger one would measure bandwidth, as any download does.
LARGEST_MESSAGE = 1 << 24

# The highest rate, in messages a second: this probe reaches it on no machine, so that more is a typing error.
FASTEST = 10**7

# Messages of a count: the moments of an open loop are counted before it begins, in some ten seconds.
MOST_MESSAGES = 10**7

# Steps of one command, at the most: a page has a picture for each.
MOST_STEPS = 100

# Characters of a label: it stands in lines and headings.
LONGEST_LABEL = 100

ARRIVALS = ("poisson", "uniform")

# The longest run, and the longest wait for an answer: a histogram counts an hour.
PAUSE = replace(SECONDS, description=f"{SECONDS.description}, of up to 30 days", most=30 * DAY)
WAIT = replace(SECONDS, description=f"{SECONDS.description}, of up to an hour", most=3600)
_SIZE = replace(
    BYTES,
    description=f"a size such as 64, 1KiB, 5k or 64,1KiB:3, of up to {binarySize(LARGEST_MESSAGE)}",
    most=LARGEST_MESSAGE,
)
RATE = replace(MESSAGES, description=f"{MESSAGES.description}, of up to {FASTEST:,}", most=FASTEST)


def sizesOf(text: str) -> tuple[tuple[int, float], ...]:
    """Parses sizes and their weights: ``1KiB``, or a mix such as ``64,1KiB:3,16KiB``."""
    mix: dict[int, float] = {}
    for part in text.split(","):
        written, colon, weight = part.partition(":")
        try:
            size = int(_SIZE.parsePositive(written))
        except ValueError as error:
            raise ValueError(f"{written!r} is {error}") from None
        if size in mix:
            raise ValueError(f"{size} bytes twice")
        try:
            mix[size] = positiveNumber(weight if colon else "1")
        except ValueError:
            raise ValueError(f"the weight {weight!r} is no number, more than 0") from None
    return tuple(mix.items())


def rampOf(text: str) -> tuple[float, float]:
    """Parses the first and the last rate of a ramp."""
    first, colon, last = text.partition(":")
    if not colon:
        raise ValueError("not two rates with a colon between them, such as 100:5k")
    return _rateOf(first), _rateOf(last)


def stepsOf(text: str) -> tuple[float, ...]:
    """Parses the rates of steps."""
    rates = tuple(map(_rateOf, text.split(",")))
    if len(rates) > MOST_STEPS:
        raise ValueError(f"more than {MOST_STEPS} rates")
    if len(set(rates)) < len(rates):
        raise ValueError("a rate twice; --repeat repeats each")
    return rates


def _rateOf(text: str) -> float:
    try:
        return RATE.parsePositive(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is {error}") from None


def arrivalsOf(text: str) -> str:
    """Returns the name of a distribution of arrivals."""
    if text not in ARRIVALS:
        raise ValueError(f"neither {' nor '.join(ARRIVALS)}{didYouMean(nearest(text, ARRIVALS))}")
    return text


def addressOf(text: str) -> str:
    """Returns which addresses of a name are used."""
    if text not in ("all", "first"):
        raise ValueError("neither all nor first")
    return text


def countOf(text: str) -> int:
    """Returns a number of messages."""
    count = wholeNumber(text)
    if count > MOST_MESSAGES:
        raise ValueError(f"more than {MOST_MESSAGES:,}")
    return count


def labelOf(text: str) -> str:
    """Returns a label."""
    if len(text) > LONGEST_LABEL:
        raise ValueError(f"longer than {LONGEST_LABEL} characters")
    return text


def fileOf(text: str) -> str:
    """Returns the path of a file that can be written, or ``-``."""
    if text != "-":
        writablePath(text)
    return text
