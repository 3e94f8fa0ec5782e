"""The benchmark's command line, and the plan of its measurements."""

from __future__ import annotations

import shutil
from contextlib import redirect_stderr
from dataclasses import replace
from io import StringIO
from pathlib import Path
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.compiledload import CompiledLoad
from benchmarks.measuring import Plan
from benchmarks.peers import CANDIDATES, Peer
from benchmarks.probeload import ProbeLoad
from benchmarks.rows import FORWARD, OURS, RELAY, ROWS, rowNamed
from benchmarks.selection import possibleRows, wantedRows
from tests.support.ci import RUNS_ALL
from tests.unit.benchmarks.samples import costs, results

try:
    from rich.console import Console

    from benchmarks.__main__ import parse, parser
    from benchmarks.progress import showProgress
except ModuleNotFoundError as error:
    if RUNS_ALL:
        raise
    skip = f"not installed: {error.name}, of the extra [benchmark], which CI has"


PYTHON = ProbeLoad()
COMPILED = CompiledLoad("load", "load_tls")


def peer(name: str) -> Peer:
    """Returns a peer that can't be run."""
    return Peer(name, name.title(), ("false",), "1", {"tcp": ("--port", "0")})


class PlanTests(SynchronousTestCase):
    def test_interleaved(self) -> None:
        """All peers of a row take turns in each round, and each is the first in its turn."""
        plan = Plan((rowNamed("1k-10"),), (peer("a"), peer("b")), rounds=2, warmup=0, seconds=1)
        turns = [(number, each.name) for number, _, each in plan.turns([rowNamed("1k-10")])]
        self.assertEqual(turns, [(1, "a"), (1, "b"), (2, "b"), (2, "a")])
        self.assertEqual(plan.measurements(), 4)

    def test_base(self) -> None:
        """A row that is compared with another one takes turns with it in each round."""
        rows = (rowNamed("1k-1000"), rowNamed("udp"), rowNamed("1k-18000"))
        plan = Plan(rows, (peer(OURS), peer("c")), rounds=2, warmup=0, seconds=1)
        (both, udp) = plan.groups()
        self.assertEqual([row.name for row in udp], ["udp"])
        turns = [(number, row.name, each.name) for number, row, each in plan.turns(both)]
        once = [(row, name) for row in ("1k-1000", "1k-18000") for name in (OURS, "c")]
        again = [(row, name) for row in ("1k-1000", "1k-18000") for name in ("c", OURS)]
        self.assertEqual(turns, [(1, *each) for each in once] + [(2, *each) for each in again])

    def test_unlike(self) -> None:
        """Rows of one group with other numbers of rounds have these numbers."""
        base = replace(rowNamed("1k-1000"), rounds=2)
        plan = Plan((base, replace(rowNamed("1k-18000"), rounds=1)), (peer(OURS),), 0, 0, 1)
        turns = [(number, row.name) for number, row, _ in plan.turns(plan.groups()[0])]
        self.assertEqual(turns, [(1, "1k-1000"), (1, "1k-18000"), (2, "1k-1000")])

    def test_rounds(self) -> None:
        """Without a number of rounds, each row has its own."""
        rows = (rowNamed("1k-10"), rowNamed("idle"))
        plan = Plan(rows, (peer("a"),), rounds=0, warmup=0, seconds=1)
        self.assertEqual([len(list(plan.turns([row]))) for row in rows], [15, 5])
        self.assertEqual(plan.measurements(), 20)

    def test_transports(self) -> None:
        """A row has those peers that do its transport."""
        plan = Plan((rowNamed("udp"),), (peer("a"),), rounds=2, warmup=0, seconds=1)
        self.assertEqual((plan.measurements(), list(plan.turns([rowNamed("udp")]))), (0, []))

    def test_relays(self) -> None:
        """A row of relays has only those, and takes turns with the echo that it is compared with."""
        relay = replace(peer(RELAY), options={FORWARD: ("--forward", "{upstream}")})
        rows = (rowNamed("1k-10"), rowNamed("forward-1k"))
        plan = Plan(rows, (peer(OURS), relay), rounds=1, warmup=0, seconds=1)
        turns = [(row.name, each.name) for _, row, each in plan.turns(plan.groups()[0])]
        self.assertEqual(turns, [("1k-10", OURS), ("forward-1k", RELAY)])

    def test_possibleRows(self) -> None:
        """A row whose requirements are missing is left out, with a line that names them."""
        reference = peer("uvloop")
        for row, peers, load, count, why in (
            ("latency", [reference], PYTHON, 2, "it needs the load in C"),
            ("latency", [reference], COMPILED, 1, "it needs two cores"),
            ("latency", [peer("c")], COMPILED, 2, "it needs the peer uvloop"),
            ("1k-18000", [reference], PYTHON, 2, "it needs the load in C"),
            ("forward-1k", [reference], PYTHON, 2, "it needs the load in C"),
            ("tls-1k-10", [reference], CompiledLoad("load", missing="no x.h found"), 2, "no x.h found"),
        ):
            said: list[str] = []
            self.assertEqual(possibleRows([rowNamed(row)], peers, load, count, said), [])
            self.assertEqual(said, [f"{rowNamed(row).title}: {why}"])
        self.assertEqual(possibleRows(list(ROWS), [reference], COMPILED, 2, []), list(ROWS))
        inC = ("latency", "1k-18000", "forward-1k", "forward-64k")
        untimed = [row.name for row in ROWS if row.name not in inC]
        left = possibleRows(list(ROWS), [reference], PYTHON, 2, [])
        self.assertEqual([row.name for row in left], untimed)

    def test_descriptors(self) -> None:
        """A row with more connections than descriptors has fewer, or is left out where few are left."""
        rows = [rowNamed("1k-10"), rowNamed("idle")]
        for hard, counts, told in (
            (20_000, [10, 12_000], []),
            (8064, [10, 8000], ["Idle, 12,000 connections: measured with 8,000, since at most 8,064 .*"]),
            (70, [], ["1 KiB, 10 connections: at most 70 .*", "Idle, 12,000 connections: at most 70 .*"]),
        ):
            said: list[str] = []
            with patch("resource.getrlimit", return_value=(64, hard)):
                left = possibleRows(rows, [peer("uvloop")], COMPILED, 2, said)
            self.assertEqual([row.connections for row in left], counts)
            self.assertEqual(len(said), len(told))
            for line, pattern in zip(said, told, strict=True):
                self.assertRegex(line, rf"\A{pattern}\Z")

    def test_wanted(self) -> None:
        """With a row comes the row that it is compared with."""
        names = [[row.name for row in wantedRows(only, False)] for only in (["udp"], ["1k-18000"])]
        self.assertEqual(names, [["udp"], ["1k-1000", "1k-18000"]])
        self.assertEqual(wantedRows([], False), list(ROWS))
        self.assertEqual(wantedRows([], True), [row for row in ROWS if row.quick])

    def test_pythonIdle(self) -> None:
        """The load in Python keeps fewer idle connections."""
        said: list[str] = []
        (row,) = possibleRows([rowNamed("idle")], [peer("c")], PYTHON, 2, said)
        self.assertEqual((row.connections, row.title), (2000, "Idle, 2,000 connections"))
        self.assertRegex(said[0], "measured with 2,000, since more are too many for the load in Python")

    def test_onlyPeers(self) -> None:
        """A row with a list of peers has no other."""
        plan = Plan((rowNamed("idle-60"),), (peer(OURS), peer("c")), rounds=5, warmup=0, seconds=1)
        self.assertEqual(plan.measurements(), 5)

    def test_lines(self) -> None:
        """Without a terminal there is a line for each round, and no bar."""
        console = Console(file=StringIO(), width=120)
        with showProgress(console, 3) as tell:
            for number, name in ((1, "a"), (1, "b"), (2, "a")):
                tell(rowNamed("udp"), number, peer(name))
        assert isinstance(console.file, StringIO)
        self.assertEqual(console.file.getvalue(), "udp, round 1\nudp, round 2\n")

    def test_bar(self) -> None:
        """On a terminal there is a bar that says where it is."""
        console = Console(file=StringIO(), width=120, force_terminal=True)
        with showProgress(console, 3) as tell:
            tell(rowNamed("udp"), 1, peer("a"))
            tell(rowNamed("udp"), 1, peer("b"))
        assert isinstance(console.file, StringIO)
        self.assertIn("1/3", console.file.getvalue())


class CommandLineTests(SynchronousTestCase):
    def test_wrong(self) -> None:
        """A wrong option ends the command with one line that names it, and a status of its own."""
        Path("junk").write_text("{}")
        for wrong in (
            *(
                ["--rounds", "0"],
                ["--rounds", "x"],
                ["--seconds", "-1"],
                ["--seconds", "nan"],
                ["--only", "x"],
            ),
            *(
                ["--peer", "x"],
                ["--json", "/nowhere/x"],
                ["--output", "junk"],
                ["--output", "junk/below"],
                ["--read", "nowhere"],
            ),
            *(["--read", "junk"], ["--unknown"], ["word"], ["--python", "/nowhere"]),
        ):
            said = StringIO()
            with redirect_stderr(said):
                status = self.assertRaises(SystemExit, parse, wrong).code
            self.assertEqual(status, 2)
            self.assertRegex(said.getvalue(), rf"\Abenchmark: .*{wrong[-1]}.*\n\Z")

    def test_python(self) -> None:
        """The Pythons of --python are compared among themselves, and have no page."""
        compared = results(_1k_10={OURS: costs(1)})
        compared.reference = OURS
        Path("compared").write_text(compared.toJson())
        for wrong, named in (
            (["--python", "sh", "--peer", "c"], "--peer"),
            (["--python", "sh", "--output", "new"], "--output"),
            (["--read", "compared", "--output", "new"], "--output"),
        ):
            said = StringIO()
            with redirect_stderr(said):
                self.assertRaises(SystemExit, parse, wrong)
            self.assertRegex(said.getvalue(), rf"\Abenchmark: argument {named}: .*[pP]ython.*\n\Z")
        Path("python").symlink_to(shutil.which("sh") or "")
        found = parse(["--python", "sh", "--python", "./python"]).python
        self.assertEqual(found, [shutil.which("sh"), str(Path("python").absolute())])

    def test_folder(self) -> None:
        """The folder of the report need not exist, nor its parents."""
        wanted = parse(["--output", "new/folder"]).output
        self.assertEqual(wanted, Path("new/folder"))

    def test_help(self) -> None:
        """The help names each row and each peer."""
        shown = parser().format_help()
        for name in [*(row.name for row in ROWS), *CANDIDATES]:
            self.assertIn(f"\n  {name} ", shown)
