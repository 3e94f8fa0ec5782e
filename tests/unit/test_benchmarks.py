"""The benchmark's judgement of its samples, and its command line."""

from __future__ import annotations

import os
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from benchmarks import builds, cores
from benchmarks.builds import Missing, buildC, buildGo, buildTokio
from benchmarks.compiledload import CompiledLoad, compiledLoad
from benchmarks.measuring import Plan
from benchmarks.peers import CANDIDATES, Peer
from benchmarks.probeload import ProbeLoad
from benchmarks.results import Results, Sample
from benchmarks.rows import CPU, MEMORY, OURS, ROWS, TAIL, TARGETS, Target, rowNamed
from tests.support.ci import RUNS_ALL

try:
    from rich.console import Console

    from benchmarks.__main__ import findLoad, parser, possible
    from benchmarks.picture import draw
    from benchmarks.progress import showProgress
    from benchmarks.report import number, page, printTables
except ModuleNotFoundError as error:
    if RUNS_ALL:
        raise
    skip = f"not installed: {error.name}, of the extra [benchmark], which CI has"


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


TENTH = Target("1k-10", CPU, "textbook", 0.4, 0.3)


class ResultsTests(SynchronousTestCase):
    def test_lowest(self) -> None:
        """The lowest of the rounds counts; where there is no sample, or no such number, there is none."""
        measured = results(_1k_10={OURS: costs(5, 4, 6)})
        self.assertEqual(measured.lowest("1k-10", OURS, CPU), 4)
        for nothing in (("1k-10", OURS, TAIL), ("1k-10", "go", CPU), ("udp", OURS, CPU)):
            self.assertIsNone(measured.lowest(*nothing))

    def test_ratio(self) -> None:
        """A ratio is our lowest by the other's lowest, and is graded by both limits."""
        for ours, ratio, grade in ((3, 0.3, "aim met"), (4, 0.4, "must met"), (4.1, 0.41, "not met")):
            verdict = results(_1k_10={OURS: costs(9, ours), "textbook": costs(10, 20)}).verdict(TENTH)
            assert verdict.value is not None
            self.assertAlmostEqual(verdict.value, ratio)
            self.assertEqual(verdict.grade(), grade)

    def test_absolute(self) -> None:
        """A target without a peer is about our own figure."""
        sample = Sample(cpu=1, rate=1, memory=1500)
        verdict = results(memory={OURS: [sample]}).verdict(Target("memory", MEMORY, None, 1536, 1024))
        self.assertEqual((verdict.value, verdict.grade()), (1500, "must met"))

    def test_notMeasured(self) -> None:
        """Without the other's figure, or without ours, there is no ratio."""
        for samples in ({OURS: costs(1)}, {"textbook": costs(1)}, {}):
            verdict = results(_1k_10=samples).verdict(TENTH)
            self.assertEqual((verdict.value, verdict.grade()), (None, "not measured"))

    def test_notJudged(self) -> None:
        """A slow load, and one core for both, give ratios that say nothing; memory is memory anyway."""
        samples = {OURS: costs(1), "textbook": costs(1)}
        for measured in (results("Python", _1k_10=samples), results(cores=1, _1k_10=samples)):
            self.assertEqual(measured.verdict(TENTH).grade(), "not judged")
            memory = Target("memory", MEMORY, None, 1536, 1024)
            measured.samples["memory"] = {OURS: [Sample(cpu=1, rate=1, memory=1)]}
            self.assertEqual(measured.verdict(memory).grade(), "aim met")

    def test_json(self) -> None:
        """Results survive being written and read."""
        measured = results(_1k_10={OURS: costs(5, 4)}, latency={OURS: [Sample(1, 2, 3, 4)]})
        self.assertEqual(Results.fromJson(measured.toJson()), measured)

    def test_badJson(self) -> None:
        """A file that is no results is refused with one clear error."""
        good = results(_1k_10={OURS: costs(1)}).toJson()
        for bad in ("", "[]", "{}", "null", good.replace("1k-10", "2k"), good.replace('"cpu"', '"cup"')):
            self.assertRaises(ValueError, Results.fromJson, bad)

    def test_targets(self) -> None:
        """Each promise names a row, a figure that it has, and a peer that there is."""
        for target in TARGETS:
            self.assertIn(target.figure, rowNamed(target.row).figures)
            self.assertTrue(target.against is None or target.against in CANDIDATES)
            self.assertLess(target.aim, target.must)


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
            *("2026-01-02", "an abacus", "Twisted 2", "70,000 messages", "lowest of 2 rounds of 0.5 s"),
            *("* - 1 KiB, 10 connections, µs\n     - 4.50\n     - 15.0\n     - 4.00", "- 0.30", "aim met"),
            *("- Go: no go found.\n", "keep up with 70,000 messages a second: Twisted, textbook.\n"),
        ):
            self.assertIn(part, made)
        self.assertNotIn("$", made)

    def test_terminal(self) -> None:
        """The terminal shows the same."""
        console = Console(file=StringIO(), width=120)
        printTables(self.measured, console)
        assert isinstance(console.file, StringIO)
        shown = console.file.getvalue()
        for part in (
            "1k-10, µs",
            "4.50",
            "aim met",
            "Go: no go found.",
            "lowest of 2 rounds",
        ):
            self.assertIn(part, shown)

    def test_withoutOurs(self) -> None:
        """Without our own figures there are no promises to judge."""
        del (
            self.measured.versions[OURS],
            self.measured.peers[OURS],
            self.measured.samples["1k-10"][OURS],
            self.measured.samples["latency"][OURS],
        )
        self.assertNotIn(
            "met", page(self.measured).partition("The promises\n")[2].partition("The machine")[0]
        )

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
        shown = [number(value) for value in (None, 0.304, 4.5, 15.04, 104.4, 9876)]
        self.assertEqual(shown, ["—", "0.30", "4.50", "15.0", "104", "9,876"])

    def test_picture(self) -> None:
        """The picture has the numbers, and is the same each time; without costs there is none."""
        for name in ("one", "two"):
            draw(self.measured, Path(), name)
        self.assertEqual(Path("one.svg").read_text(), Path("two.svg").read_text())
        self.assertIn("4.50", Path("one.svg").read_text())
        self.assertTrue(Path("one.png").read_bytes().startswith(b"\x89PNG"))
        draw(results(memory={OURS: [Sample(1, 1, memory=1)]}), Path(), "three")
        self.assertFalse(Path("three.svg").exists())


PYTHON = ProbeLoad()
COMPILED = CompiledLoad("load", "load_tls")


def peer(name: str) -> Peer:
    """Returns a peer that can't be run."""
    return Peer(name, name.title(), ("false",), "1", {"tcp": ("--port", "0")})


class PlanTests(SynchronousTestCase):
    def test_interleaved(self) -> None:
        """All peers of a row take turns in each round, and each is the first in its turn."""
        plan = Plan((rowNamed("1k-10"),), (peer("a"), peer("b")), rounds=2, warmup=0, seconds=1)
        turns = [(number, each.name) for number, each in plan.turns(rowNamed("1k-10"))]
        self.assertEqual(turns, [(1, "a"), (1, "b"), (2, "b"), (2, "a")])
        self.assertEqual(plan.measurements(), 4)

    def test_transports(self) -> None:
        """A row has those peers that do its transport."""
        plan = Plan((rowNamed("udp"),), (peer("a"),), rounds=2, warmup=0, seconds=1)
        self.assertEqual((plan.measurements(), list(plan.turns(rowNamed("udp")))), (0, []))

    def test_possible(self) -> None:
        """A row whose requirements are missing is left out, with a line that names them."""
        reference = peer("uvloop")
        for row, peers, load, count, why in (
            ("latency", [reference], PYTHON, 2, "it needs the load in C"),
            ("latency", [reference], COMPILED, 1, "it needs two cores"),
            ("latency", [peer("c")], COMPILED, 2, "it needs the peer uvloop"),
            ("tls-1k-10", [reference], CompiledLoad("load", missing="no x.h found"), 2, "no x.h found"),
        ):
            said: list[str] = []
            self.assertEqual(possible([rowNamed(row)], peers, load, count, said), [])
            self.assertEqual(said, [f"{rowNamed(row).title}: {why}"])
        self.assertEqual(possible(list(ROWS), [reference], COMPILED, 2, []), list(ROWS))
        untimed = [row for row in ROWS if row.name != "latency"]
        self.assertEqual(possible(list(ROWS), [reference], PYTHON, 2, []), untimed)

    def test_descriptors(self) -> None:
        """A row with more connections than descriptors is left out, and told."""
        said: list[str] = []
        with patch("resource.getrlimit", return_value=(64, 512)):
            rows = possible([rowNamed("1k-10"), rowNamed("memory")], [peer("uvloop")], COMPILED, 2, said)
        self.assertEqual(rows, [rowNamed("1k-10")])
        self.assertRegex(said[0], r"at most 512 descriptors are allowed")

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
            *(["--peer", "x"], ["--json", "/nowhere/x"], ["--output", "nowhere"], ["--read", "nowhere"]),
            *(["--read", "junk"], ["--unknown"], ["word"]),
        ):
            said = StringIO()
            with redirect_stderr(said):
                status = self.assertRaises(SystemExit, parser().parse_args, wrong).code
            self.assertEqual(status, 2)
            self.assertRegex(said.getvalue(), rf"\Abenchmark: .*{wrong[-1]}.*\n\Z")

    def test_help(self) -> None:
        """The help names each row and each peer."""
        shown = parser().format_help()
        for name in [*(row.name for row in ROWS), *CANDIDATES]:
            self.assertIn(f"\n  {name} ", shown)


class ToolTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        ours = {"PATH": str(self.folder), "XDG_CACHE_HOME": str(self.folder / "cache")}
        self.patch(os, "environ", {**os.environ, **ours})

    def tool(self, name: str, script: str) -> None:
        """Puts a program where programs are looked for."""
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def test_missing(self) -> None:
        """A missing tool is named, with the package to install."""
        for build, package in (
            (lambda: buildC(builds.HERE / "load.c"), "gcc libc6-dev"),
            (lambda: buildGo(builds.SERVERS / "echo.go"), "golang-go"),
            (buildTokio, "cargo librust-tokio-dev"),
        ):
            self.assertRegex(
                str(self.assertRaises(Missing, build)), rf"found; on Debian: apt-get install {package}\Z"
            )

    def test_noCompiler(self) -> None:
        """Without a compiler the load is the one in Python, and the reason is told."""
        said: list[str] = []
        self.assertIsInstance(findLoad(said), ProbeLoad)
        self.assertRegex("\n".join(said), r"\Athe load in C: .*apt-get install gcc libc6-dev\Z")

    def test_noHeaders(self) -> None:
        """Without OpenSSL's headers the load in C does no TLS, and names the package to install."""
        self.tool("cc", '[ $1 = --version ] || { [ $1 != -E ] && echo >"$5"; }')
        load = compiledLoad()
        self.assertEqual(load.tlsCommand, "")
        self.assertRegex(load.missing, r"\Ano openssl/ssl.h found; on Debian: apt-get install libssl-dev\Z")

    def test_headers(self) -> None:
        """With them there are two programs of one source, one of which does TLS."""
        self.tool("cc", '[ $1 = --version ] || [ $1 = -E ] || echo "$@" >"$5"')
        load = compiledLoad()
        self.assertEqual(load.missing, "")
        over = load.commandFor(rowNamed("tls-1k-10"))
        self.assertIn("-DTLS -lssl -lcrypto", Path(over).read_text())
        self.assertNotIn("-DTLS", Path(load.commandFor(rowNamed("1k-10"))).read_text())

    def test_noCrates(self) -> None:
        """Without Tokio's sources there is no Tokio, and nothing is fetched."""
        self.tool("cargo", "exit 1")
        self.patch(builds, "DEBIAN_CRATES", Path("nowhere"))
        self.assertRegex(str(self.assertRaises(Missing, buildTokio)), "apt-get install librust-tokio-dev")

    def test_fails(self) -> None:
        """A build that fails is told by the last line of the tool's errors."""
        self.tool("cc", "echo one >&2; echo 'the reason' >&2; exit 1")
        error = self.assertRaises(Missing, buildC, builds.HERE / "load.c")
        self.assertEqual(str(error), "load can't be built: the reason")

    def test_cached(self) -> None:
        """A build is used again, until its source or its tool changes."""
        source, log, version = (self.folder / name for name in ("x.c", "log", "version"))
        source.write_text("1")
        version.write_text("v1")
        self.tool("cc", f'[ $1 = --version ] && /bin/cat {version} || {{ echo built >>{log}; echo >"$5"; }}')
        first = buildC(source)
        self.assertEqual(buildC(source), first)
        self.assertEqual((log.read_text(), first.version), ("built\n", "v1"))
        source.write_text("2")
        self.assertNotEqual(buildC(source).path, first.path)
        version.write_text("v2")
        self.assertEqual(buildC(source).version, "v2")
        header = self.folder / "x.h"
        for content in ("1", "1", "2"):
            header.write_text(content)
            buildC(source, header)
        self.assertEqual(log.read_text(), "built\n" * 5)


class CoreTests(SynchronousTestCase):
    def choose(self, allowed: set[int], siblings: set[int]) -> tuple[int, int]:
        """Returns the chosen cores, where the last core has these siblings."""
        self.patch(os, "sched_getaffinity", lambda pid: allowed)
        self.patch(cores, "_siblings", lambda core: siblings)
        return cores.chooseCores()

    def test_two(self) -> None:
        """The server and the load each have one."""
        self.assertEqual(self.choose({0, 1}, {1}), (1, 0))

    def test_siblings(self) -> None:
        """Two halves of one core are not two cores, as long as there is another."""
        self.assertEqual(self.choose({0, 1, 2, 3}, {0, 3}), (3, 1))
        self.assertEqual(self.choose({0, 1}, {0, 1}), (1, 0))

    def test_one(self) -> None:
        """With one core they share it, and it is counted as one."""
        chosen = self.choose({5}, {5})
        self.assertEqual(chosen, (5, 5))
        self.assertEqual(cores.Cores(*chosen).distinct(), 1)

    def test_pinned(self) -> None:
        """A program started inside runs on the core; afterwards everything is as before."""
        before = os.sched_getaffinity(0)
        with cores.pinned(min(before)):
            self.assertEqual(os.sched_getaffinity(0), {min(before)})
        self.assertEqual(os.sched_getaffinity(0), before)
