from __future__ import annotations

import contextlib
from time import perf_counter
from typing import Any

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echo_app import quantities
from echo_app.faults import formats
from echo_app.faults.fault import BadSpec, Fault
from echo_app.faults.messageonly import Loss
from echo_app.faults.registry import FAULTS
from echo_app.faults.shaping import Bandwidth, Chop, Latency, Stall
from echo_app.faults.spec import MAX_SPEC, parseFault
from tests.support.properties import given

TIMES = st.floats(0, 86400) | st.integers(0, 86400) | st.integers(0, 86_400_000).map(lambda n: n / 1000)
SPANS = st.floats(0.001, 86400)
SIZES = st.integers(0, 1 << 40)
PROBABILITIES = st.floats(0, 1)


@st.composite
def ranges(draw: st.DrawFn, isOpen: bool = False) -> tuple[int, int | None]:
    first = draw(st.integers(1, 10**9 - 1))
    return first, draw(st.integers(first, 10**9 - 1) | (st.none() if isOpen else st.nothing()))


# A value of each format, by its description.
VALUES = {
    quantities.TIME.description: TIMES,
    quantities.SPAN.description: SPANS,
    quantities.RATE.description: st.floats(1, 1 << 40),
    quantities.SIZE.description: SIZES,
    quantities.PROBABILITY.description: PROBABILITIES,
    formats.PIECES.description: ranges(),
    formats.CONNECTIONS.description: ranges(isOpen=True),
    formats.MESSAGES.description: ranges(isOpen=True),
    formats.COUNT.description: st.integers(1, 10**9 - 1),
    formats.CONNECTING.description: TIMES | st.sampled_from(["refused", "never"]),
    formats.DIRECTION.description: st.sampled_from(["in", "out"]),
}


@st.composite
def faults(draw: st.DrawFn) -> Fault:
    """Any fault that makes sense."""
    kind = FAULTS[draw(st.sampled_from(sorted(FAULTS)))]
    values: dict[str, Any] = {
        field: draw(VALUES[how.description])
        for field, (key, how) in kind.formatsOf().items()
        if not key or draw(st.booleans())
    }
    if "jitter" in values:
        values["jitter"] = min(values["jitter"], values["amount"])
    if "afterBytes" in values:
        values.pop("afterSeconds", None)
    if {"each", "share", "messages"} & values.keys():
        values.pop("direction", None)
        values.pop("afterIdle", None)
    if "afterIdle" in values:
        values.pop("afterBytes", None)
        values.pop("afterSeconds", None)
    if "duration" not in values:
        values.pop("period", None)
    elif "period" in values:
        values["period"] = max(values["period"], values["duration"])
    return kind(**values)


class FaultTests(SynchronousTestCase):
    def parsed(self, text: str, name: str, **values: Any) -> None:
        fault = parseFault(text)
        self.assertEqual(fault, FAULTS[name](**values))
        self.assertEqual(str(fault), text)

    def test_values(self) -> None:
        """The specs of the documentation have their stated meaning, and are canonical."""
        self.parsed("latency=50ms", name="latency", amount=0.05)
        self.parsed("latency=50ms,jitter=10ms", name="latency", amount=0.05, jitter=0.01)
        self.parsed("bandwidth=1MiB/s,direction=in", name="bandwidth", amount=1 << 20, direction="in")
        self.parsed("chop=1-7,gap=5ms", name="chop", sizes=(1, 7), gap=0.005)
        self.parsed("chop=5", name="chop", sizes=(5, 5))
        self.parsed("corrupt=1e-6,after=64KiB", name="corrupt", amount=1e-6, afterBytes=65536)
        self.parsed("stall,for=1s,every=5s", name="stall", duration=1, period=5)
        self.parsed("reset,connections=1-2,after=10KiB", name="reset", afterBytes=10240, connections=(1, 2))
        self.parsed("close,connections=3-,after=90s", name="close", afterSeconds=90, connections=(3, None))
        self.parsed("loss=1%", name="loss", amount=0.01)
        self.parsed("loss=1,each=3", name="loss", amount=1, each=3)
        self.parsed("corrupt=1,share=1%", name="corrupt", amount=1, share=0.01)
        self.parsed("close,messages=3-5", name="close", messages=(3, 5))
        self.parsed("reset,messages=3-", name="reset", messages=(3, None))
        self.parsed("blackhole,after-idle=60s", name="blackhole", afterIdle=60)
        self.parsed("unsolicited=0.2s,messages=3", name="unsolicited", amount=0.2, messages=(3, 3))
        self.parsed("connect=2s", name="connect", result=2)
        self.parsed("connect=refused,probability=5%", name="connect", result="refused", probability=0.05)
        self.parsed("truncate=100B,probability=5%", name="truncate", amount=100, probability=0.05)

    def test_anyOrder(self) -> None:
        """Keys come in any order, and values in any unit."""
        self.assertEqual(str(parseFault("stall,every=0.1min,for=1000ms")), "stall,for=1s,every=6s")

    @given(faults())
    def test_roundTrip(self, fault: Fault) -> None:
        """The text of a fault is a spec of it, and short enough to be one."""
        self.assertEqual(parseFault(str(fault)), fault)

    @given(
        st.text(max_size=2 * MAX_SPEC)
        | st.from_regex(r"[a-z-]{3,9}(=[0-9.a-zA-Z%/-]{1,9})?(,[a-z=0-9-]{1,9})*")
    )
    def test_anyText(self, text: str) -> None:
        """Any text is a fault, or is refused with one printable line of bounded length."""
        try:
            fault = parseFault(text)
        except BadSpec as error:
            self.assertTrue(str(error).isprintable())
            self.assertLess(len(str(error)), 600)
        else:
            self.assertEqual(parseFault(str(fault)), fault)

    def test_places(self) -> None:
        """An error has its place and the expected format."""
        for text, place, allowed in (
            ("latncy=5ms", 1, "latency, bandwidth"),
            ("", 1, "latency, bandwidth"),
            ("latency", 1, "needs a value: a time"),
            ("latency=5", 9, "ms"),
            ("latency= 5ms", 9, "ms"),
            ("stall=5s", 1, "takes no value"),
            ("stall,jitter=5ms", 7, "direction, probability, connections, after, for, every"),
            ("stall,for=1s,for=2s", 14, "before"),
            ("stall,for", 7, "needs a value"),
            ("stall,for=0s", 11, "from 1ms"),
            ("reset,after=9x", 13, "bytes"),
            ("loss=1%,after=9B", 15, "time"),
            ("loss=101%", 6, "from 0 to 1"),
            ("chop=7-1", 6, "such as 5 or 1-7"),
            ("chop=1-", 6, "such as 5 or 1-7"),
            ("stall,connections=0-1", 19, "from 1 on"),
            ("stall,direction=up", 17, "'in'"),
            ("truncate=1.5B", 10, "whole number of bytes"),
            ("bandwidth=0B/s", 11, "from 1 B/s"),
        ):
            with self.subTest(text):
                error = self.assertRaises(BadSpec, parseFault, text)
                self.assertTrue(str(error).startswith(f"at {place}, "), str(error))
                self.assertIn(allowed, str(error))

    def test_contradictions(self) -> None:
        """Values that contradict each other are an error at the one that could be changed."""
        for text, place in (
            ("latency=5ms,jitter=6ms", 13),
            ("stall,every=5s", 7),
            ("stall,every=5s,for=6s", 16),
            ("close,direction=in,each=2", 20),
            ("reset,after-idle=5s,messages=2", 21),
            ("reset,after-idle=5s,after=2s", 7),
        ):
            error = self.assertRaises(BadSpec, parseFault, text)
            self.assertTrue(str(error).startswith(f"at {place}: "), str(error))

    def test_madeWrong(self) -> None:
        """A fault can't be made of values that no spec has."""
        nan, inf = float("nan"), float("inf")
        soon: Any = "soon"
        for make in (
            lambda: Loss(amount=nan),
            lambda: Loss(amount=1, each=0),
            lambda: Stall(each=2),
            lambda: Latency(amount=inf),
            lambda: Latency(amount=soon),
            lambda: Bandwidth(amount=0),
            lambda: Stall(connections=(2, 1)),
            lambda: Stall(afterBytes=1, afterSeconds=1),
            lambda: Loss(amount=1, direction="up"),
        ):
            self.assertRaises(BadSpec, make)

    def test_madeOfOthers(self) -> None:
        """A fault needs its value, and has no fields of another one."""
        kinds: list[tuple[Any, dict[str, Any]]] = [(Chop, {}), (Stall, {"amount": 1}), (Stall, {"jitter": 1})]
        for kind, values in kinds:
            self.assertRaises(TypeError, kind, **values)

    def test_whereItApplies(self) -> None:
        """A fault of datagrams has no direction, connection or offset, and one of messages has its key."""
        for text, messageKey, isForDatagrams in (
            ("latency=5ms", "", True),
            ("latency=5ms,direction=in", "", False),
            ("latency=5ms,each=2", "each", True),
            ("corrupt=1%,after=5s", "", True),
            ("corrupt=1%,after=5B", "", False),
            ("corrupt=1%,share=1%,messages=2", "share", True),
            ("stall", "", False),
            ("stall,connections=1", "", False),
            ("close,messages=2", "messages", False),
            ("loss=1%", "loss", True),
            ("loss=1%,connections=1", "loss", False),
        ):
            fault = parseFault(text)
            self.assertEqual((fault.messageKey, fault.isForDatagrams), (messageKey, isForDatagrams), text)

    def test_quick(self) -> None:
        """No text takes long, however it is made."""
        texts = (
            "latency=" + "9" * 248,
            "latency=1e999s",
            "latency=1e-999s",
            "," * MAX_SPEC,
            "chop=" + "1-" * 100,
        )
        start = perf_counter()
        for text in texts:
            with contextlib.suppress(BadSpec):
                parseFault(text)
        self.assertLess(perf_counter() - start, 2)
