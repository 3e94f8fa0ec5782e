"""The runs of one command, and its report of them."""

from __future__ import annotations

import io
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from xml.etree import ElementTree

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.cli import command, loadsession
from echo_app.probe.cli.command import FINDING, GOOD, INTERRUPTED, NOT_STARTED, runLoad
from echo_app.probe.cli.compare import CompareOptions
from echo_app.probe.cli.loadoptions import LoadOptions
from echo_app.probe.cli.loadsession import LoadSession
from echo_app.probe.load.run import Running
from echo_app.probe.load.workers import LoadFailed
from echo_app.probe.results.figures import perSecond
from echo_app.probe.results.results import Results, Run
from echo_app.targets import Target


def good(target: str, seed: int) -> Run:
    run = Run(target, "", 10.0, 10, 10, 10, 10240)
    run.latency.record(0.001)
    return run


class SessionTestCase(SynchronousTestCase):
    """Sessions whose runs come from a function of the target and the seed."""

    measure: Callable[[str, int], Run] = staticmethod(good)

    def setUp(self) -> None:
        self.measured: list[tuple[str, int]] = []
        self.errors: list[str] = []
        self.output: list[str] = []
        self.patch(sys, "stderr", io.StringIO())
        self.patch(command, "complain", self.errors.append)
        self.patch(command, "say", self.output.append)
        self.patch(command, "raiseDescriptorLimit", lambda: None)
        test = self

        async def measure(running: Running, seed: int) -> Run:
            test.measured.append((running.target.text, seed))
            return test.measure(running.target.text, seed)

        async def connect(reactor: object, target: Target, timeout: float, settings: object) -> Mock:
            return Mock(close=lambda: succeed(None))

        self.patch(Running, "measure", measure)
        self.patch(loadsession, "connect", connect)

    def options(self, *arguments: str) -> LoadOptions:
        options = LoadOptions()
        options.parseOptions(arguments)
        return options

    def status(self, *arguments: str) -> int:
        """Runs the command; returns its status."""
        clock: Any = Clock()
        status = self.successResultOf(Deferred.fromCoroutine(runLoad(clock, self.options(*arguments))))
        self.assertEqual(clock.getDelayedCalls(), [])
        return status


class OrderTests(SessionTestCase):
    def test_turns(self) -> None:
        """Targets take turns; in a repeat they have the same seed, and the next one has another."""
        self.assertEqual(self.status("a:1", "udp://b:2", "--repeat", "2", "--seed", "5"), GOOD)
        turns = [("a:1", 5), ("udp://b:2", 5), ("a:1", 6), ("udp://b:2", 6)]
        self.assertEqual(self.measured, turns)
        self.assertEqual([line.partition(":")[0] for line in self.errors], ["tcp a", "udp b"] * 2)

    def test_command(self) -> None:
        """The command line is kept, and repeats the same messages."""
        session = LoadSession(Clock(), self.options("a:1", "--json", "a b"), self.errors.append)
        words = shlex.split(session.command)
        self.assertEqual(words[:-1], ["echo-probe", "load", "a:1", "--json", "a b", "--seed"])
        self.successResultOf(Deferred.fromCoroutine(session.run()))
        self.assertEqual(self.measured, [("a:1", int(words[-1]))])
        session = LoadSession(Clock(), self.options("a:1", "--seed=7"), self.errors.append)
        self.assertEqual(session.command, "echo-probe load a:1 --seed=7")


class StepTests(SessionTestCase):
    def test_sections(self) -> None:
        """Each rate has a section, in the text and in the files, and conditions are those of each."""
        path, report = self.mktemp(), self.mktemp()
        files = ("--json", path, "--report", report)
        self.assertEqual(self.status("a:1", "--steps", "10,20", "--fail-if", "max>0s", *files), FINDING)
        self.assertEqual(len(self.measured), 2)
        for rate in (10, 20):
            self.assertIn(
                f"open loop of {rate}/s (poisson), 1 connection, 1 KiB; 10 s after", str(self.output)
            )
        self.assertEqual(
            self.output[-2:], [f"failed: {rate}.00/s: max>0s: max is 1.00 ms" for rate in (10, 20)]
        )
        data = json.loads(Path(path).read_text())
        self.assertEqual(data["format"], "echo-probe load steps 1")
        steps = [Results.fromJson(json.dumps(each)) for each in data["steps"]]
        self.assertEqual([each.settings.rate for each in steps], [10.0, 20.0])
        self.assertIn("20.00/s", Path(report).read_text())
        error = self.assertRaises(UsageError, CompareOptions().parseOptions, [path])
        self.assertIn("each of its steps has a rate of its own", str(error))

    def test_interrupted(self) -> None:
        """An interruption ends the steps, and those before are reported."""

        def measure(target: str, seed: int) -> Run:
            run = good(target, seed)
            run.isInterrupted = len(self.measured) == 2
            return run

        self.measure = measure
        self.assertEqual(self.status("a:1", "--steps", "10,20,30"), INTERRUPTED)
        self.assertEqual(str(self.output).count("open loop of"), 2)


class SearchTests(SessionTestCase):
    """``--find-max`` on a service that is slow from some rate on."""

    def search(self, slow: float, *more: str, busy: float = 0.0) -> int:
        """Searches; returns the status.

        :param slow: the rate from which on p50 is 100 ms and not 1 ms.
        :param busy: share of the time in which the probe is busy from then on.
        """
        rates: list[float] = []

        async def measure(running: Running, seed: int) -> Run:
            rate = running.settings.rate or 0.0
            rates.append(rate)
            count = round(10 * rate)
            run = Run(running.target.text, "", 10.0, count, count, count, 1024 * count)
            run.latency.record(0.001 if rate < slow else 0.1, count)
            run.busy = busy if rate >= slow else 0.0
            return run

        self.patch(Running, "measure", measure)
        self.rates = rates
        return self.status("a:1", "--find-max", "p50<20ms", "--rate", "100", *more)

    def test_found(self) -> None:
        """Every step is shown, and then the rate that was found and the next one, which failed twice."""
        path = self.mktemp()
        self.assertEqual(self.search(500, "--json", path, "--label", "new"), GOOD)
        self.assertEqual(self.output[:2], ["find-max p50<20ms", "new"])
        self.assertEqual(self.output[4].split(), ["rate", "answered", "p50", "errors"])
        self.assertEqual(self.output[5].split(), ["100.0/s", "100.0/s", "1.00", "ms", "0", "holds"])
        self.assertEqual(self.rates[:5], [100, 200, 400, 800, 800])
        self.assertEqual(len(self.output), len(self.rates) + 6)
        data = json.loads(Path(path).read_text())
        found = data["findMax"]["found"]
        after = min(rate for rate in self.rates if rate > found)
        self.assertTrue(475 <= found < 500 <= after, self.rates)
        self.assertEqual(self.rates.count(after), 2)
        self.assertEqual(
            self.output[-1],
            f"found: {perSecond(found)} holds; the next step, {perSecond(after)}, fails: p50 is 100 ms",
        )
        self.assertEqual(len(data["steps"]), len(data["findMax"]["verdicts"]))

    def test_probe(self) -> None:
        """Where the probe is the limit, the service has not failed."""
        self.assertEqual(self.search(500, busy=1.0), GOOD)
        self.assertIn(", is not examined: the probe was the limit (p50 is 100 ms), so the", self.output[-1])
        self.assertNotIn("fails", str(self.output))

    def test_none(self) -> None:
        """Without a rate that holds, status is 1, and the last step says why."""
        self.assertEqual(self.search(0), FINDING)
        self.assertIn("no rate was found; the last step, ", self.output[-1])

    def test_fewAnswers(self) -> None:
        """A figure that can't be stated ends the search."""
        self.assertEqual(self.search(500, "--find-max", "p99.9<20ms"), FINDING)
        self.assertIn("is not stated: p99.9 can't be stated", self.output[-1])
        self.assertIn("a longer --duration", self.output[-1])


class StatusTests(SessionTestCase):
    def run_(self, measure: Callable[[str, int], Run], *arguments: str) -> int:
        self.measure = measure
        return self.status("a:1", "b:1", "--repeat", "2", "--seed", "1", *arguments)

    def test_bad(self) -> None:
        """Errors and other bytes are a finding, in any of the runs."""
        for field, value in (("errors", {"reset": 1}), ("differences", ["x"])):

            def measure(target: str, seed: int, field: str = field, value: object = value) -> Run:
                run = good(target, seed)
                if (target, seed) == ("b:1", 1):
                    setattr(run, field, value)
                return run

            self.assertEqual(self.run_(measure), FINDING)

    def test_strict(self) -> None:
        """A remark is a finding with ``--strict``."""

        def busy(target: str, seed: int) -> Run:
            run = good(target, seed)
            run.busy = 1.0
            return run

        self.assertEqual(self.run_(busy), GOOD)
        self.assertEqual(self.run_(busy, "--strict"), FINDING)

    def test_interrupted(self) -> None:
        """An interrupted session reports the results before, and begins no other run."""

        def measure(target: str, seed: int) -> Run:
            run = good(target, seed)
            run.isInterrupted = target == "b:1"
            return run

        self.assertEqual(self.run_(measure), INTERRUPTED)
        self.assertEqual(len(self.measured), 2)
        self.assertIn("  interrupted after 10.0 s of 10 s", self.output)

    def test_nothingMeasured(self) -> None:
        """Without any run there is no result."""

        def measure(target: str, seed: int) -> Run:
            raise CancelledError

        self.assertEqual(self.run_(measure), INTERRUPTED)
        self.assertEqual((self.output, self.errors), ([], ["interrupted before anything was measured"]))

    def test_failed(self) -> None:
        """A run that fails ends the session, with its target in a line, and the results before."""

        def measure(target: str, seed: int) -> Run:
            if target == "b:1":
                raise LoadFailed("no\x1b[2J")
            return good(target, seed)

        self.assertEqual(self.run_(measure), NOT_STARTED)
        self.assertEqual(self.errors[-1], r"echo-probe: 'b:1': no\x1b[2J")
        self.assertIn("a:1", self.output)


class JunitTests(SessionTestCase):
    def cases(self, *arguments: str) -> dict[str, list[str]]:
        """Returns the outcomes of each case, by name."""
        path = self.mktemp()
        self.status("a:1", "--junit", path, *arguments)
        suite = ElementTree.parse(path).getroot()[0]
        self.assertEqual(suite.attrib["name"], "echo-probe load")
        return {
            each.attrib["name"]: [f"{one.tag}: {one.attrib['message']}" for one in each] for each in suite
        }

    def test_conditions(self) -> None:
        """Each condition at each target is a test case, and so are the answers."""
        self.assertEqual(
            self.cases("b:1", "--fail-if", "max>1us", "--fail-if", "max>1s"),
            {
                "complete": [],
                "a:1: answered without errors": [],
                "b:1: answered without errors": [],
                "a:1: not max>1us": ["failure: max>1us: max is 1.00 ms"],
                "a:1: not max>1s": [],
                "b:1: not max>1us": ["failure: max>1us: max is 1.00 ms"],
                "b:1: not max>1s": [],
            },
        )

    def test_errors(self) -> None:
        """Errors are a failure, unless a condition says how many there may be."""

        def bad(target: str, seed: int) -> Run:
            run = good(target, seed)
            run.errors = {"reset\x07": 2}
            return run

        self.measure = bad
        self.assertEqual(self.cases()["a:1: answered without errors"], ["failure: 2 reset\\x07"])
        tolerant = self.cases("--fail-if", "errors>5")
        self.assertEqual(tolerant["a:1: answered with the bytes that were sent"], [])
        self.assertEqual(tolerant["a:1: not errors>5"], [])

    def test_failed(self) -> None:
        """Without a result there is a file, too, with the reason."""

        def measure(target: str, seed: int) -> Run:
            raise LoadFailed("no <connection>")

        self.measure = measure
        self.assertEqual(self.cases(), {"complete": ["error: 'a:1': no <connection>"]})

    def test_steps(self) -> None:
        """The cases of steps name their rates, and those of a search the condition."""
        cases = self.cases("--steps", "10,20", "--strict")
        self.assertIn("a:1, 20.00/s: answered without errors", cases)
        self.assertIn("without a remark", cases)
        self.assertIn("a:1: a rate with max<2ms", self.cases("--find-max", "max<2ms"))


class JsonTests(SessionTestCase):
    def test_file(self) -> None:
        """The data is written to a file, beside the text."""
        path = self.mktemp()
        self.assertEqual(self.status("a:1", "--json", path), GOOD)
        self.assertEqual(Results.fromJson(Path(path).read_text()).targets(), ["a:1"])
        self.assertIn("a:1", self.output)

    def test_standardOutput(self) -> None:
        """On standard output it is alone."""
        self.assertEqual(self.status("a:1", "--json", "-"), GOOD)
        (text,) = self.output
        self.assertEqual(Results.fromJson(text).targets(), ["a:1"])
        self.assertIn("a:1", self.errors)

    def test_full(self) -> None:
        """A file that can't be written is one line and status 2; the text was said."""
        self.assertEqual(self.status("a:1", "--json", "/dev/full"), NOT_STARTED)
        self.assertEqual(self.errors, ["echo-probe: --json '/dev/full': No space left on device"])
        self.assertIn("a:1", self.output)
