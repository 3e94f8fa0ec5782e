"""The benchmark's tables, page and picture."""

from __future__ import annotations

from io import StringIO
from math import inf
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.results import Sample
from benchmarks.rows import OURS, RELAY
from tests.support.ci import RUNS_ALL
from tests.unit.benchmarks.samples import costs, results

try:
    from rich.console import Console

    from benchmarks.picture import draw
    from benchmarks.report import comparison, figures, number, page, printTables, targets
except ModuleNotFoundError as error:
    if RUNS_ALL:
        raise
    skip = f"not installed: {error.name}, of the extra [benchmark], which CI has"


class ReportTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.measured = results(
            _1k_10={OURS: costs(4.5), "textbook": costs(15), "uvloop": costs(4)},
            latency={
                OURS: [Sample(1, 1, 30, 90)],
                "textbook": [Sample(1, 1)],
                "uvloop": [Sample(1, 1, 30, 99)],
            },
        )
        self.measured.offered = 70_000

    def test_page(self) -> None:
        """The page has the figures, verdicts, machine, versions, the date and the missing values."""
        made = page(self.measured)
        for part in (
            *("2026-01-02", "an abacus", "Twisted 2", "70,000 messages", "median of 2 rounds of 0.5 s"),
            *("* - 1 KiB, 10 connections, µs\n     - 4.50\n     - 15.0\n     - 4.00", "- 0.30"),
            *(
                "- Go: no go found.\n",
                "keep up with 70,000 messages a second: Twisted, textbook (1 of 1 rounds).\n",
            ),
        ):
            self.assertIn(part, made)
        self.assertNotIn("$", made)

    def test_targets(self) -> None:
        """A target's line has the ratio, its interval, the target and the verdict."""
        self.measured.samples["1k-10"] = {OURS: costs(4, 4, 5, 6, 6), "textbook": costs(*[20] * 5)}
        heading, textbook, uvloop, *_ = targets(self.measured, brief=True)
        self.assertEqual(heading, ["", "against", "measured", "90 % interval", "target", "verdict"])
        self.assertEqual(textbook, ["1k-10", "textbook", "0.25", "0.20 to 0.30", "≤ 0.40", "met"])
        self.assertEqual(uvloop, ["1k-10", "uvloop", "—", "—", "≤ 1.25", "not measured"])

    def test_base(self) -> None:
        """A row that is compared with another one names it, and is no figure with a unit."""
        measured = results(_1k_1000={OURS: costs(1)}, _1k_18000={OURS: costs(2)})
        title = "1 KiB, 18,000 connections, half of them speaking"
        named = ["1k-18000", "1k-1000", "2.00", "—", "≤ 1.15", "too few rounds"]
        self.assertIn(named, targets(measured, brief=True))
        self.assertIn([title, "1 KiB, 1,000 connections", *named[2:]], targets(measured, brief=False))

    def test_relays(self) -> None:
        """Relays have a table of their own, without the servers that echo."""
        measured = results(
            _1k_10={OURS: costs(2), "uvloop": costs(1)},
            forward_1k={RELAY: costs(4), "haproxy": costs(3)},
        )
        measured.peers |= {RELAY: "a relay", "haproxy": "HAProxy"}
        echoes = [["", OURS, "uvloop"], ["1k-10, µs", "2.00", "1.00"]]
        relays = [["", RELAY, "haproxy"], ["forward-1k, µs", "4.00", "3.00"]]
        self.assertEqual(figures(measured, brief=True), [echoes, relays])
        self.assertIn("     - 1.00\n\n.. list-table::\n", page(measured))

    def test_missingPeer(self) -> None:
        """A peer that can't be built is named in the line of its target, without a verdict."""
        self.measured.wanted = ["1k-1000"]
        cells = ["   * - 1 KiB, 1,000 connections", "Tokio", "—", "—", "≤ 1.25", "not measured\n"]
        self.assertIn("\n     - ".join(cells), page(self.measured))

    def test_rounds(self) -> None:
        """Too few rounds for an interval are told, and an interval's ranks; rows with fewer rounds too."""
        few = "- Fewer than 5 rounds give no 90 % interval, and so no verdict.\n"
        self.assertIn(few, page(self.measured))
        self.assertNotIn("Its 90 %", page(self.measured))
        self.measured.rounds = 15
        self.measured.samples = {"1k-10": {OURS: costs(*[1] * 15), "textbook": costs(*[9] * 15)}}
        self.assertNotIn(few, page(self.measured))
        self.assertIn(
            " Its 90 % interval leaves out the 3 lowest and the 3 highest of them.", page(self.measured)
        )
        self.assertNotIn("These rows", page(self.measured))
        self.measured.samples["idle"] = {OURS: [Sample(1, 1, memory=1)] * 5}
        self.assertIn(" These rows have 5: Idle, 12,000 connections.", page(self.measured))

    def test_terminal(self) -> None:
        """The terminal shows the same."""
        console = Console(file=StringIO(), width=120)
        printTables(self.measured, console)
        assert isinstance(console.file, StringIO)
        shown = console.file.getvalue()
        for part in (
            "1k-10, µs",
            "4.50",
            "too few rounds",
            "Go: no go found.",
            "median of 2 rounds",
        ):
            self.assertIn(part, shown)

    def test_pythons(self) -> None:
        """Of Pythons there is one table, with the ratios to the first one and their intervals."""
        measured = results(
            _1k_10={"3.11.2": costs(*[4] * 5), "3.13.0": costs(2, 3, 3, 3, 5)},
            udp={"3.11.2": costs(1), "3.13.0": costs(2)},
        )
        measured.peers = {name: name for name in ("3.11.2", "3.13.0")}
        measured.versions = {name: f"CPython {name}" for name in measured.peers}
        measured.reference = "3.11.2"
        lines = [["1k-10, µs", "4.00", "0.75 (0.50 to 1.25)"], ["udp, µs", "1.00", "2.00"]]
        self.assertEqual(comparison(measured), [["", "3.11.2", "3.13.0"], *lines])
        console = Console(file=StringIO(), width=120)
        printTables(measured, console)
        assert isinstance(console.file, StringIO)
        shown = console.file.getvalue()
        self.assertIn("0.75 (0.50 to 1.25)", shown)
        self.assertIn("3.13.0: CPython 3.13.0.\n", shown)
        self.assertNotIn("against", shown)

    def test_withoutOurs(self) -> None:
        """Without our own figures there are no targets to judge."""
        del (
            self.measured.versions[OURS],
            self.measured.peers[OURS],
            self.measured.samples["1k-10"][OURS],
            self.measured.samples["latency"][OURS],
        )
        self.assertNotIn("≤", page(self.measured).partition("The targets\n")[2].partition("The machine")[0])

    def test_pythonLoad(self) -> None:
        """A load in Python is named as one, with the rows that it can't judge."""
        self.measured.load = "Python"
        made = page(self.measured)
        self.assertIn("The load, a program in Python, checks every byte", made)
        self.assertIn("- The load was the one in Python.\n", made)
        self.assertIn("- A load in Python is too slow: the servers wait for it.\n", made)

    def test_busy(self) -> None:
        """A machine that had something else to do is told."""
        self.assertNotIn("busy", page(self.measured))
        self.measured.busy = 0.7
        self.assertIn(
            "- The machine was busy (load average 0.7): the figures are too high.\n", page(self.measured)
        )

    def test_number(self) -> None:
        """A number has the digits that matter."""
        shown = [number(value) for value in (None, 0.304, 4.5, 15.04, 104.4, 9876, inf)]
        self.assertEqual(shown, ["—", "0.30", "4.50", "15.0", "104", "9,876", "∞"])

    def test_picture(self) -> None:
        """The picture has the numbers, and is the same each time; without costs there is none."""
        for name in ("one", "two"):
            draw(self.measured, Path(), name)
        self.assertEqual(Path("one.svg").read_text(), Path("two.svg").read_text())
        self.assertIn("4.50", Path("one.svg").read_text())
        self.assertTrue(Path("one.png").read_bytes().startswith(b"\x89PNG"))
        draw(results(idle={OURS: [Sample(1, 1, memory=1)]}), Path(), "three")
        self.assertFalse(Path("three.svg").exists())
