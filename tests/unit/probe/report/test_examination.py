"""The report of an examination, as lines and as data."""

from __future__ import annotations

import json

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks.check import Cost
from echo_app.probe.judge.finding import Confidence, Finding, Match, Rule
from echo_app.probe.judge.judge import Verdict
from echo_app.probe.report.examination import Examination, findingLines
from echo_app.probe.results.severity import Severity
from tests.support.evidence import FIN, connection
from tests.support.probing import Noted, context


def finding(severity: Severity = Severity.FAIL, excuse: str = "", **match: object) -> Finding:
    """Returns a finding."""
    rule = Rule(
        "half-close-broken", severity, "a half-close breaks", "Clients lose answers.", "", "", lambda *_: None
    )
    return Finding(rule, Match(**{"seen": "14 of 20"} | match), excuse)  # type: ignore[arg-type]


class LinesTests(SynchronousTestCase):
    def test_finding(self) -> None:
        """A finding has its title, what was seen and its confidence; below are its meaning and evidence."""
        lines = findingLines(finding(evidence=["14 of 20: reset", "6 of 20: whole"]))
        self.assertEqual(
            lines,
            [
                "FAIL  a half-close breaks: 14 of 20 (certain)",
                "      Clients lose answers.",
                "      14 of 20: reset",
                "      6 of 20: whole",
            ],
        )
        first, *_ = findingLines(finding(Severity.WARN, confidence=Confidence.POSSIBLE))
        self.assertEqual(first, "warn  a half-close breaks: 14 of 20 (possible)")

    def test_excused(self) -> None:
        """An excused finding is marked, with its excuse in place of the meaning."""
        lines = findingLines(finding(excuse="not this path's doing"))
        self.assertEqual(
            lines, ["skip  a half-close breaks: 14 of 20 (certain)", "      not this path's doing"]
        )

    def test_escaped(self) -> None:
        """A peer's characters stay in their line, and do nothing to a terminal."""
        lines = findingLines(finding(seen="\x1b[2J\nFAIL", evidence=["a\rb"]))
        self.assertEqual(lines[0], r"FAIL  a half-close breaks: \x1b[2J\nFAIL (certain)")
        self.assertEqual(lines[2], r"      a\rb")


class ExaminationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.said: list[str] = []
        given = context("lb.example:7", self.clock)
        self.evidence = given.evidence
        self.examination = Examination(given, Cost(64 << 20, 120, 410), 7, self.said.append)

    def see(self, name: str, text: str) -> None:
        """Lets a check see something, and reports it."""
        self.evidence.observations[name] = Noted(text)
        self.examination.ran(name)

    def end(self, *findings: Finding, how: str = "") -> None:
        """Ends the examination after 402 seconds."""
        self.clock.advance(402)
        self.examination.end(Verdict(findings, self.evidence.unfinished), how)

    def test_lines(self) -> None:
        """The report has the costs, a line for each check as it ends, then the findings, and the verdict."""
        self.see("resolve", "A 192.0.2.1, no AAAA")
        self.assertEqual(len(self.said), 2)
        self.see("half-close", "14 of 20 reset")
        connection(self.evidence, sent=7, came=7)
        connection(self.evidence, failure=FIN)
        self.evidence.skipped.update(
            {"tls": "not asked for", "burst": "not over TCP", "udp": "not asked for"}
        )
        self.end(finding(), finding(Severity.WARN))
        self.assertEqual(
            self.said,
            [
                "tcp lb.example:7; at most 64 MiB, 120 connections, 410 s",
                "resolve       A 192.0.2.1, no AAAA",
                "half-close    14 of 20 reset",
                "skipped: tls, udp (not asked for)",
                "skipped: burst (not over TCP)",
                "FAIL  a half-close breaks: 14 of 20 (certain)",
                "      Clients lose answers.",
                "warn  a half-close breaks: 14 of 20 (certain)",
                "      Clients lose answers.",
                "VERDICT  a half-close breaks (14 of 20); and 1 more finding [1 connections, 402 s]",
            ],
        )

    def test_good(self) -> None:
        """Without a finding, and without connections, the verdict says so."""
        self.end()
        self.assertEqual(self.said[1:], ["VERDICT  nothing wrong was found [402 s]"])

    def test_unfinished(self) -> None:
        """A check that has not seen everything has the reason in its line, and in the verdict."""
        self.evidence.unfinished["idle"] = "not done in 35 s"
        self.see("idle", "alive at 5 s")
        self.end()
        self.assertEqual(self.said[1], "idle          alive at 5 s (not done in 35 s)")
        self.assertEqual(self.said[-1], "VERDICT  nothing wrong was found; not examined: idle [402 s]")

    def test_interrupted(self) -> None:
        """The findings before an interruption are said, too."""
        self.end(finding(), how="interrupted: ")
        self.assertEqual(self.said[-1], "VERDICT  interrupted: a half-close breaks (14 of 20) [402 s]")

    def test_escaped(self) -> None:
        """Neither an observation nor the verdict can forge a line."""
        self.see("peer", "a\x1b[2J\nVERDICT  nothing wrong was found")
        self.end(finding(seen="\x1b[2J\n"))
        self.assertEqual(self.said[1], r"peer          a\x1b[2J\nVERDICT  nothing wrong was found")
        self.assertEqual(self.said[-1], r"VERDICT  a half-close breaks (\x1b[2J\n) [402 s]")

    def test_data(self) -> None:
        """JSON has the settings, the verdict, the findings, the observations and the connections."""
        self.see("resolve", "A 192.0.2.1")
        connection(self.evidence, sent=7, came=3, end=FIN, foreign=b"\x00\xff")
        self.evidence.skipped["tls"] = "not asked for"
        self.evidence.unfinished["idle"] = "interrupted"
        self.end(finding())
        data = json.loads(json.dumps(self.examination.data()))
        self.assertEqual([data[key] for key in ("target", "seed", "seconds")], ["tcp lb.example:7", 7, 402.0])
        self.assertEqual(data["settings"], {"quick": True, "thorough": False, "idle": 0})
        self.assertEqual(data["cost"], {"bytes": 64 << 20, "connections": 120, "seconds": 410})
        self.assertEqual(data["verdict"], "a half-close breaks (14 of 20); not examined: idle")
        self.assertEqual([each["cause"] for each in data["findings"]], ["half-close-broken"])
        self.assertEqual(data["checks"], {"resolve": {"seen": "A 192.0.2.1"}})
        self.assertEqual(
            (data["skipped"], data["unfinished"]), ({"tls": "not asked for"}, {"idle": "interrupted"})
        )
        (made,) = data["connections"]
        self.assertEqual((made["number"], made["end"], made["foreign"]), (0, "FIN", "00ff"))
