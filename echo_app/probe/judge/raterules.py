"""Rules about rates: limits on the way out and on the way back, and limits that begin after a burst."""

from __future__ import annotations

from collections.abc import Sequence

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.identity import Sizes
from echo_app.probe.checks.latereader import Filling, slopeOf
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.judge.finding import Confidence, Match, Rule
from echo_app.probe.judge.silencerules import FEW_LONE, findHoles, loneLosses
from echo_app.probe.results.severity import Severity
from echo_app.probe.results.statistics import milliseconds
from echo_app.text import binarySize

# How many times faster one way must be than the other, or the begin than the rest.
FACTOR = 4.0

# By how much the rates of two halves may differ for a steady rate.
STEADY = 0.35

# How much faster transfers that are read may be than one that only fills the path, where a limit is the
# cause.
READ_FACTOR = 1.5

# Bytes: every limiter lets some packets pass at once.
LEAST_BURST = 1 << 18

# Bytes a second, 10 Mbit/s: a rate that holds for both ways, or of which the way is not known, is named
# below it.
SLOW = 1_250_000

# Seconds that a transfer must have taken for a rate of its own: less is a matter of this machine.
LONG = 1.0


def _sizes(evidence: Evidence) -> Sizes | None:
    seen = evidence.observations.get("identity")
    return seen if isinstance(seen, Sizes) and seen.batches else None


def _steadyRate(curve: Sequence[tuple[float, int]]) -> float | None:
    """Returns the rate of a curve whose two halves are equally steep; None otherwise."""
    halves = slopeOf(curve, 0.0, 0.5), slopeOf(curve, 0.5, 1.0)
    if None in halves:
        return None
    first, second = (each or 0.0 for each in halves)
    if not second or abs(first - second) > STEADY * max(first, second):
        return None
    return slopeOf(curve)


def _text(rate: float) -> str:
    return f"{binarySize(int(rate))}/s"


def _findPolicer(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds transfers of one connection that are fast at first, and then slow, each for a while."""
    seen = _sizes(evidence)
    if seen is None:
        return None
    rates = [(before, size / max(seconds, 1e-6), seconds) for before, size, seconds in seen.batches]
    slow = [rate for _, rate, seconds in rates[-2:] if seconds >= LONG]
    if len(slow) < 2:
        return None
    later = max(slow)
    # What was sent before the first transfer that is slow; what was sent alone is slow by its round trip.
    fast = [before for before, rate, _ in rates if rate >= FACTOR * later]
    if not fast:
        return None
    burst = max(fast)
    if burst < LEAST_BURST:
        return None
    return Match(f"after about {binarySize(burst)} to {_text(later)}", Confidence.LIKELY)


def _findLimited(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds a rate of a way that is steady, and that holds for transfers that are read, too."""
    seen, sizes = evidence.observations.get("late-reader"), _sizes(evidence)
    if not isinstance(seen, Filling) or not seen.out or sizes is None:
        return None
    if _findPolicer(evidence, rest) is not None or _findUnscaled(evidence, rest) is not None:
        return None
    if findHoles(evidence) is not None and loneLosses(evidence)[0] >= FEW_LONE:
        # Transfers are as slow as losses make them, at any rate.
        return None
    begun = seen.back[0][0] if seen.back else 0.0
    out = _steadyRate(seen.out)
    back = _steadyRate([point for point in seen.back if point[1] > seen.unread])
    # A rate far above that of transfers does not limit them.
    limits = [
        rate
        for rate in (out, back)
        if rate and sizes.rate <= READ_FACTOR * rate and rate < FACTOR * sizes.rate
    ]
    if not limits or not any(seconds >= LONG for _, _, seconds in sizes.batches):
        return None
    rate = min(limits)
    whole = slopeOf(seen.out)
    if out == rate and (back is None or back >= FACTOR * rate):
        way = "on the way out"
    elif back == rate and whole is not None and whole >= FACTOR * rate:
        way = "on the way back"
    else:
        way = "in one direction or both"
        if rate > SLOW:
            return None
    return Match(
        _text(rate),
        Confidence.LIKELY if way.startswith("on") else Confidence.POSSIBLE,
        [
            f"there and back, read at once: {_text(sizes.rate)}; {begun - seen.out[0][0]:.3g} s were spent "
            f"to fill the path"
        ],
        title=f"the rate is limited {way}",
    )


# Seconds of a round trip from which on the largest window without scaling, of 64 KiB, is named as a limit.
FAR = 0.005

# The bit of window scaling in tcpi_options, and the largest window without it (RFC 9293, 3.1).
_SCALED, _WINDOW = 4, 65_535


def _findUnscaled(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds connections whose windows are not scaled, on a path so long that it matters."""
    samples = [each.last for each in evidence.connections if each.last is not None]
    if any(each.options & _SCALED for each in samples):
        return None
    least = min((each.minRTT for each in samples if each.minRTT), default=0.0)
    if least < FAR:
        return None
    return Match(
        f"at most {_text(_WINDOW / least)} at a round trip of {milliseconds(least)}",
        Confidence.CERTAIN,
        [f"none of {len(samples)} connections has agreed on the option (tcpi_options)"],
        hits=len(samples),
        tries=len(samples),
    )


# Seconds, and times the shortest round trip, from which on a round trip in the midst of a transfer is long.
BLOATED, TIMES_SHORTEST = 0.25, 5.0


def _findBloat(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
    """Finds a transfer at whose end the kernel's round trip is far longer than its shortest one."""
    for record in evidence.of("identity"):
        last = record.last
        if last is None or not last.minRTT or last.allRetransmits > _SENT_AGAIN * last.segmentsOut:
            continue
        if last.roundTrip - last.minRTT >= BLOATED and last.roundTrip >= TIMES_SHORTEST * last.minRTT:
            return Match(
                f"{milliseconds(last.roundTrip)} at the end of a transfer, "
                f"{milliseconds(last.minRTT)} at least",
                Confidence.LIKELY,
            )
    return None


# The share of segments that may have been sent again: where more are lost, round trips are long for that.
_SENT_AGAIN = 0.05

BLOATED_QUEUE = Rule(
    "bufferbloat",
    Severity.WARN,
    "a transfer makes round trips long",
    "A queue before a slow link holds far more than it needs: whatever shares the link waits behind it.",
    "The kernel's smoothed round trip (tcpi_rtt) at the end of the transfers of identity is a quarter of a "
    "second longer than its shortest one, and five times as long.",
    "Seen as far as the first TCP proxy. A path that became slower meanwhile looks the same.",
    _findBloat,
)
UNSCALED = Rule(
    "window-not-scaled",
    Severity.WARN,
    "TCP windows are not scaled, which limits the rate",
    "No more than 64 KiB are under way at a time: something drops the option from SYNs, or an end has none.",
    "No connection has agreed on window scaling (RFC 7323, 2; tcpi_options), and the kernel's shortest round "
    "trip is 5 ms or more.",
    "If this machine does not offer it (net.ipv4.tcp_window_scaling), the path is not the cause.",
    _findUnscaled,
)
LIMITED = Rule(
    "rate-limited",
    Severity.WARN,
    "the rate is limited",
    "Transfers are slow, and what shares the limit waits.",
    "While nothing is read, the far end acknowledges bytes at a steady rate (tcpi_bytes_acked): the way "
    "out. A late reader gets what did not lie in this kernel at a steady rate: the way back. Transfers that "
    "are read at once are no faster. A rate that may hold for both ways is named below 10 Mbit/s.",
    "Both are rates as far as the first TCP proxy: what it stores makes the ways look alike. A slow service "
    "looks the same as a limit.",
    _findLimited,
)
POLICER = Rule(
    "rate-after-burst",
    Severity.WARN,
    "the rate falls after a burst",
    "The first bytes of a transfer are fast, and the others slow: a policer, or a buffer before a slow link.",
    "On one connection, transfers are fast at first, and the last two, of a second and more, four times "
    "slower.",
    "A policer whose burst is larger than what is sent (17 MiB, 1.5 MiB with --quick) is not seen.",
    _findPolicer,
)
