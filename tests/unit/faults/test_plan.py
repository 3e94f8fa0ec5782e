from __future__ import annotations

import os
from pathlib import Path
from typing import cast

from hypothesis import strategies as st
from twisted.logger import ILogObserver, LogEvent, capturedLogs, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from echo_app.faults.fault import BadSpec
from echo_app.faults.plan import MAX_FAULTS, MAX_FILE, FaultPlan, parseFaultFile
from echo_app.faults.shaping import Stall
from echo_app.faults.spec import parseFault
from tests.support.properties import given

LATENCY, RESET, LOSS = (parseFault(spec) for spec in ("latency=50ms", "reset,connections=2-3", "loss=1%"))


class ParseTests(SynchronousTestCase):
    def test_lines(self) -> None:
        """A fault file has a spec in a line, between blanks, empty lines and comments."""
        text = "# slow, and lossy\n\n  latency=50ms  # both ways\r\nloss=1%"
        self.assertEqual(parseFaultFile(text), (LATENCY, LOSS))

    def test_wrongLine(self) -> None:
        """An error names the line, and the place in it."""
        error = self.assertRaises(BadSpec, parseFaultFile, "latency=50ms\n\nlatency=50mx\n")
        self.assertTrue(str(error).startswith("line 3: at 9, '50mx' is not a time"), str(error))

    @given(st.text())
    def test_anyText(self, text: str) -> None:
        """Any text is faults, or is refused with one printable line."""
        try:
            parseFaultFile(text)
        except BadSpec as error:
            self.assertTrue(str(error).isprintable())


class FaultPlanTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = self.mktemp()
        self.lines: list[str] = []

    def write(self, text: str | bytes) -> None:
        Path(self.path).write_bytes(text.encode() if isinstance(text, str) else text)

    def refusal(self) -> str:
        """Returns why the file can't be used."""
        return str(self.assertRaises(BadSpec, FaultPlan, path=self.path))

    def logged(self, plan: FaultPlan) -> list[str]:
        """Reloads; returns what is logged meanwhile."""
        events: list[LogEvent] = []
        observer = cast(ILogObserver, events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        if plan.reload():
            plan.announce()
        return [event.get("faults") or event["reason"] for event in events]

    def test_seed(self) -> None:
        """The seed is the given one, or another one each time."""
        self.assertEqual(FaultPlan(seed=0).seed, 0)
        self.assertNotEqual(FaultPlan().seed, FaultPlan().seed)

    def test_warning(self) -> None:
        """A fault with two probabilities, one of them for each byte, says so each time that it begins."""
        for text, isWarned in (
            ("corrupt=1%,probability=1%", True),
            ("corrupt=1%", False),
            ("stall,probability=1%", False),
        ):
            events: list[LogEvent] = []
            observer = cast(ILogObserver, events.append)
            globalLogPublisher.addObserver(observer)
            self.addCleanup(globalLogPublisher.removeObserver, observer)
            FaultPlan([parseFault(text)]).announce()
            globalLogPublisher.removeObserver(observer)
            self.assertEqual([each["fault"] for each in events if "caution" in each], [text] * isWarned)

    def test_reload(self) -> None:
        """The file's faults come after the lasting ones, and change when it is read again."""
        self.write("loss=1%")
        plan = FaultPlan([LATENCY], path=self.path)
        self.assertEqual(plan.faults, (LATENCY, LOSS))
        self.write("reset,connections=2-3")
        self.assertEqual(self.logged(plan), ["latency=50ms reset,connections=2-3"])
        self.assertEqual(plan.faults, (LATENCY, RESET))
        self.write("")
        plan.reload()
        self.assertEqual(plan.faults, (LATENCY,))

    def test_watch(self) -> None:
        """A change of the file is noticed once, and nothing is watched without a file."""
        self.assertFalse(FaultPlan([LATENCY]).hasFile)
        self.write("loss=1%")
        plan = FaultPlan(path=self.path)
        self.assertTrue(plan.hasFile)
        look = plan.watch(plan.reload)
        for text, faults in (("reset,connections=2-3", (RESET,)), ("junk", (RESET,))):
            self.write(text)
            with capturedLogs() as events:
                for _ in range(4):
                    look()
            self.assertEqual(len(events), int(text == "junk"))
            self.assertEqual(plan.faults, faults)

    def test_noDirectory(self) -> None:
        """A relative path in a directory that was removed is refused."""
        here = os.getcwd()
        self.addCleanup(os.chdir, here)
        gone = os.path.abspath(self.mktemp())
        os.makedirs(gone)
        os.chdir(gone)
        os.rmdir(gone)
        self.assertRaises(BadSpec, FaultPlan, path="faults")

    def test_reloadAnywhere(self) -> None:
        """The file is found again from another directory."""
        self.write("loss=1%")
        plan = FaultPlan(path=self.path)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir("/")
        self.assertEqual(len(self.logged(plan)), 1)
        self.assertEqual(plan.faults, (LOSS,))

    def test_reloadUnusable(self) -> None:
        """A file that can't be used is logged in one line, and changes nothing."""
        self.write("loss=1%")
        plan = FaultPlan(path=self.path)
        self.write("loss=1%\nloss\n")
        (line,) = self.logged(plan)
        self.assertTrue(line.startswith("line 2: at 1, 'loss' needs a value"), line)
        os.remove(self.path)
        self.assertEqual(self.logged(plan), ["No such file or directory"])
        self.assertEqual(plan.faults, (LOSS,))

    def test_nothingToReload(self) -> None:
        """Without a file nothing is read, and nothing is logged."""
        self.assertEqual(self.logged(FaultPlan([LATENCY])), [])

    def test_unusable(self) -> None:
        """A wrong fault file is refused: a folder, a pipe, junk, one too long or with too many faults."""
        self.assertEqual(self.refusal(), "No such file or directory")
        os.mkfifo(self.path)
        self.assertEqual(self.refusal(), "not a file")
        os.remove(self.path)
        self.write(b"\xff\x1b[2J")
        self.assertIn(r"line 1: at 1, '\\xff", self.refusal())
        self.write("#" * (MAX_FILE + 1))
        self.assertIn("characters", self.refusal())
        self.write("stall\n" * (MAX_FAULTS + 1))
        self.assertEqual(self.refusal(), "33 faults, where 32 is the most")

    def test_tooMany(self) -> None:
        """More faults than one service carries are refused without a file as well."""
        self.assertRaises(BadSpec, FaultPlan, [Stall()] * (MAX_FAULTS + 1))
