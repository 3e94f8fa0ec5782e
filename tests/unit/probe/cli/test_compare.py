"""``echo-probe compare``: its input, its output and its refusals."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from random import Random
from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.cli import command
from echo_app.probe.results.results import Results, Run
from tests.support.loads import makeResults, makeRun, steady


def repeated(median: float = 0.0002, count: int = 5, target: str = "127.0.0.1:8080") -> Results:
    """Returns repeats that take turns being a little faster and slower."""
    random = Random(1)
    runs = [
        makeRun(random, steady(median * (1 + n % 2 / 20)), target, seconds=1, rate=1500) for n in range(count)
    ]
    return makeResults(*runs, duration=1.0, rate=1500.0)


class CompareTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.said: list[str] = []
        self.errors = io.StringIO()
        self.patch(command, "say", self.said.append)
        self.patch(sys, "stderr", self.errors)
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def file(self, name: str, results: Results | str) -> str:
        """Writes a file; returns its path."""
        path = self.folder / name
        path.write_text(results if isinstance(results, str) else results.toJson())
        return str(path)

    def compare(self, *arguments: str) -> int:
        """Runs the command; returns its status."""
        with self.assertRaises(SystemExit) as caught:
            command.main(["compare", *arguments])
        return int(str(caught.exception.code))

    def refused(self, *arguments: str) -> str:
        """Returns the line with which it is refused."""
        self.assertEqual(self.compare(*arguments), 2)
        self.assertEqual(self.said, [])
        line = self.errors.getvalue()
        self.errors.truncate(0)
        self.errors.seek(0)
        self.assertEqual(line.count("\n"), 1)
        self.assertTrue(line.startswith("echo-probe: "), line)
        return line.strip()

    def test_same(self) -> None:
        """Of the same thing twice there is no difference."""
        one = self.file("one.json", repeated())
        self.assertEqual(self.compare(one, one), 0)
        self.assertEqual(self.said[-1], "B: no difference to A")
        self.assertEqual(self.said[1], f"A  {one}, 5 repeats")

    def test_worse(self) -> None:
        """A worse figure is reported, with status 1 if the user asked for that."""
        one, two = self.file("one.json", repeated()), self.file("two.json", repeated(0.0004))
        self.assertEqual(self.compare(one, two), 0)
        self.assertIn("B: worse than A in p50, p90, p99", self.said[-1])
        line = next(each for each in self.said if each.startswith("p50"))
        self.assertRegex(line, r"^p50 +A  0\.\d+ ms +0\.\d+ ms to 0\.\d+ ms$")
        self.assertRegex(self.said[self.said.index(line) + 1], r"^ +B .* (x\d|\+\d+ %).* worse$")
        self.assertEqual(self.compare(one, two, "--fail-if-worse"), 1)
        self.assertEqual(self.compare(two, one, "--fail-if-worse"), 0)
        self.assertIn("B: better than A in p50, p90, p99", self.said[-1])

    def test_targets(self) -> None:
        """The targets of one file are compared with each other."""
        results = repeated()
        results.runs += repeated(0.0004, target="tls://b:1").runs
        self.compare(self.file("one.json", results))
        self.assertEqual(self.said[1:3], ["A  127.0.0.1:8080, 5 repeats", "B  tls://b:1, 5 repeats"])
        self.assertIn("worse than A", self.said[-1])

    def test_tooFew(self) -> None:
        """One repeat allows no conclusion, which is reported; a job can't depend on it."""
        one, two = self.file("one.json", repeated(count=1)), self.file("two.json", repeated(0.0004))
        self.assertEqual(self.compare(one, two), 0)
        self.assertIn("B: too few repeats to tell; 3 of each are needed", self.said[-1])
        self.said.clear()
        self.assertIn("is certain from 3 repeats on, not of 1", self.refused(one, two, "--fail-if-worse"))
        self.assertIn("is alone", self.refused(two, "--fail-if-worse"))

    def test_notStated(self) -> None:
        """A figure without a conclusion is named beside the conclusions about the others."""
        one, other = repeated(), repeated()
        other.runs[4] = makeRun(Random(1), steady(), seconds=1, rate=900)
        self.compare(self.file("one.json", one), self.file("two.json", other))
        self.assertIn("B: no difference to A; it can't be told of p99", self.said)

    def test_remarks(self) -> None:
        """Remarks about a run, or about its machine, come last."""
        other = repeated()
        other.runs[0].isInterrupted = True
        other.machine = {**other.machine, "Kernel": "Linux\x1b[2J"}
        self.compare(self.file("one.json", repeated()), self.file("two.json", other))
        self.assertIn("B: interrupted after 1.0 s of 1 s", self.said)
        self.assertIn("B: 1 interrupted repeat left out of the figures", self.said)
        self.assertIn("Kernel is Linux 6.1.0, x86_64 and Linux\\x1b[2J", self.said[-1])

    def test_json(self) -> None:
        """As data it is one text, with every repeat's value."""
        one, two = self.file("one.json", repeated()), self.file("two.json", repeated(0.0004))
        self.compare(one, two, "--json", "-")
        data = json.loads("".join(self.said))
        self.assertEqual([each["source"] for each in data["subjects"]], [one, two])
        (p50,) = (each for each in data["figures"] if each["name"] == "p50")
        self.assertEqual([len(values) for values in p50["values"].values()], [5, 5])
        self.assertEqual(
            (p50["differences"]["B"]["verdict"], p50["differences"]["B"]["is"]), ("higher", "worse")
        )

    def test_jsonFile(self) -> None:
        """The data goes to a file, beside the text; no result of a load is overwritten."""
        one, two = self.file("one.json", repeated()), self.file("two.json", repeated(0.0004))
        path = str(self.folder / "both.json")
        for _ in range(2):
            self.assertEqual(self.compare(one, two, "--json", path), 0)
            data = json.loads(Path(path).read_text())
            self.assertEqual((data["format"], data["remarks"]), ("echo-probe compare 1", []))
        self.assertIn("B: worse than A in p50, p90, p99", self.said[-1])
        self.said.clear()
        self.assertIn("it has the result of a load, which would be lost", self.refused("--json", one, two))
        self.assertEqual(self.compare(one, two, "--json", "/dev/full"), 2)

    def test_turns(self) -> None:
        """Results that were measured one after the other are remarked on, by their times."""

        def at(*seconds: int) -> str:
            results = repeated(count=len(seconds))
            for run, second in zip(results.runs, seconds, strict=True):
                run.started = f"2026-11-25T12:00:{second:02}+00:00"
            return self.file(f"{seconds[0]}.json", results)

        for first, other, said in (
            (at(0, 2, 4), at(1, 3, 5), ""),
            (at(0, 3, 4), at(1, 2, 5), ""),
            (at(0), at(1, 2, 3), ""),
            (at(0, 1, 2), at(3, 4, 5), "A and B were not measured in turns (A A A B B B): "),
            (at(3, 4, 5), at(0, 1, 2), "A and B were not measured in turns (B B B A A A): "),
        ):
            self.said.clear()
            self.compare(first, other)
            self.assertEqual("in turns" in self.said[-1], bool(said), self.said)
            self.assertTrue(self.said[-1].startswith(said) if said else True)

    def test_junit(self) -> None:
        """Each verdict is a test case, and so are the answers of each subject."""
        one, two = self.file("one.json", repeated()), self.file("two.json", repeated(0.0004))
        path = self.folder / "cases.xml"
        self.assertEqual(self.compare(one, two, "--junit", str(path)), 0)
        suite = ElementTree.parse(path).getroot()[0]
        found = {case.attrib["name"]: [each.tag for each in case] for case in suite}
        self.assertEqual(found[f"A {one}: answered without errors"], [])
        self.assertEqual(found[f"B {two}: no worse than A in p50"], ["failure"])
        self.assertEqual(found[f"B {two}: no worse than A in errors"], [])
        self.assertEqual(int(suite.attrib["tests"]), len(found))
        few = self.file("few.json", repeated(0.0004, count=1))
        self.compare(one, few, "--junit", str(path))
        suite = ElementTree.parse(path).getroot()[0]
        self.assertGreater(int(suite.attrib["skipped"]), 3)
        self.assertEqual(suite.attrib["failures"], "0")

    def test_report(self) -> None:
        """The command writes the page, too."""
        one = self.file("one.json", repeated())
        path = self.folder / "page.html"
        self.assertEqual(self.compare(one, one, "--report", str(path)), 0)
        self.assertIn("<h2>Latency by percentile</h2>", path.read_text())

    def test_unlike(self) -> None:
        """Unlike settings are refused by one line that names the setting and both values."""
        other = repeated()
        other.settings = makeResults(duration=1.0, rate=20.0).settings
        one, two = self.file("one.json", repeated()), self.file("two.json", other)
        self.assertIn(f"rate is 20 in '{two}' and 1,500 in '{one}'", self.refused(one, two))

    def test_files(self) -> None:
        """A file that is missing, empty, something else or damaged is one line."""
        whole = json.loads(repeated(count=1).toJson())
        whole["runs"][0]["seconds"] = "long"
        (self.folder / "binary").write_bytes(b"\xff\xfe")
        for name, text, reason in (
            ("a", "", "no JSON"),
            ("nested", "[" * 100_000, "no JSON"),
            ("b", "[]", "not written by echo-probe load --json"),
            ("c", json.dumps(whole), "damaged: runs[0].seconds is 'long'"),
            ("d", makeResults().toJson(), "there is no run in it"),
        ):
            self.assertIn(reason, self.refused(self.file(name, text)))
        self.assertIn("No such file or directory", self.refused("nothing\x1b.json"))
        self.assertIn("Is a directory", self.refused(str(self.folder)))
        self.assertIn("no JSON", self.refused(str(self.folder / "binary")))

    def test_bounded(self) -> None:
        """Files that others have written are bounded: their length, their runs, and small numbers."""
        one = repeated(count=1)
        self.assertIn("more than 64 MiB", self.refused("/dev/zero"))
        one.runs[0].seconds = 1e-320
        self.assertIn("runs[0].seconds is 1e-320", self.refused(self.file("one.json", one)))
        many = Results("", {}, {}, one.settings, [Run("x", "")] * 501)
        self.assertIn("501 runs, more than 500", self.refused(self.file("many.json", many)))

    def test_ownOutput(self) -> None:
        """Standard output is not read: that would wait for this command itself."""
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        with open(write, "w") as output:
            self.patch(sys, "stdout", output)
            self.assertIn("standard output", self.refused(f"/dev/fd/{write}"))

    def test_arguments(self) -> None:
        """No file, an unknown option, and a report that can't be written are one line."""
        one = self.file("one.json", repeated(count=1))
        self.assertIn("no file, such as", self.refused())
        self.assertIn("--nonsense", self.refused(one, "--nonsense"))
        self.assertIn("there is no such folder", self.refused(one, "--report", "/nowhere/page.html"))
        self.assertIn("can't be written", self.refused(one, "--report", str(self.folder)))

    def test_reportFails(self) -> None:
        """A disk that is full is one line."""
        one = self.file("one.json", repeated(count=1))
        self.assertEqual(self.compare(one, "--report", "/dev/full"), 2)
        self.assertEqual(
            self.errors.getvalue(), "echo-probe: --report '/dev/full': No space left on device\n"
        )

    def test_nobodyReads(self) -> None:
        """A closed output, as after ``head``, is no error."""
        read, write = os.pipe()
        os.close(read)
        one = self.file("one.json", repeated(count=1))
        with open(write, "w") as output:
            self.patch(sys, "stdout", output)
            self.patch(command, "say", lambda line: command._output.say(line))
            self.assertEqual(self.compare(one), 0)
        self.assertEqual(self.errors.getvalue(), "")
