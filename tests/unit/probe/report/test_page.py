"""The page about a load, and its pictures."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib.resources import files
from random import Random
from typing import Any
from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.error import FlattenerError

from echo_app.probe.report.overtime import Timeline, answersAndErrors, latencyOverTime
from echo_app.probe.report.page import page
from echo_app.probe.report.percentilecurve import percentileCurve
from echo_app.probe.report.svg import apart, element, flattened
from echo_app.probe.report.svgfile import latencySvg, percentileSvg
from echo_app.probe.results.figures import subjects
from echo_app.probe.results.results import Interval, Results
from echo_app.probe.results.statistics import milliseconds
from tests.support.loads import makeResults, makeRun, stalling, steady


class PageTests(SynchronousTestCase):
    def results(self, count: int = 1, **more: Any) -> Results:
        runs = (makeRun(Random(n), steady(), seconds=2, **more) for n in range(count))
        return makeResults(*runs, duration=2.0)

    def check(self, text: str) -> str:
        """Checks what holds of every page, which is well-formed XML too; returns what it says."""
        root = ElementTree.fromstring(text)
        tags = [each.tag for each in root.iter()]
        names = {name for each in root.iter() for name in each.attrib}
        self.assertEqual(names & {"src", "href", "data", "action", "onload"}, set())
        for each in ("script", "link", "image", "img", "iframe"):
            self.assertNotIn(each, tags)
        self.assertNotIn("url(", text)
        self.assertNotIn("@import", text)
        ids = [each.get("id") for each in root.iter() if "id" in each.attrib]
        self.assertEqual(len(ids), len(set(ids)))
        self.assertEqual(tags.count("h1"), 1)
        self.assertEqual(tags.count("desc"), len(root.findall(".//div[@class='picture']")))
        body = root.find("body")
        assert body is not None
        return " ".join(" ".join(body.itertext()).split())

    def test_figures(self) -> None:
        """The page has the figures, the command, the versions and the machine."""
        results = self.results()
        said = self.check(page([results]))
        for each in (
            "p50 A 0.1",
            "rate A 200.0/s",
            results.command[:20],
            "Twisted 26.10.0",
            "Kernel Linux 6.1.0",
        ):
            self.assertIn(each, said)
        self.assertIn("every byte was the one that was sent", said)
        self.assertNotIn("Before you read", said)

    def test_sideBySide(self) -> None:
        """Several results are told apart, each repeat is there, and their differences are judged."""
        slow = makeResults(*(makeRun(Random(n), steady(0.001), seconds=2) for n in range(5)), duration=2.0)
        said = self.check(page([self.results(5), slow], ["before", "after"]))
        self.assertIn("A before, 5 repeats B after, 5 repeats", said)
        self.assertRegex(
            said, r"p50 A 0\.\d+ ms [\d.]+ ms to [\d.]+ ms B [\d. m]+s [\d.]+ ms to [\d.]+ ms x[\d.]+ worse"
        )
        self.assertIn("difference: none", said)
        self.assertIn("B 5 rate", said)

    def test_headline(self) -> None:
        """The page begins with its title, and the main figures or the verdict."""
        said = self.check(page([self.results(3)], title="A <title>"))
        self.assertTrue(said.startswith("A <title> rate 200.0/s, p50 0."), said[:200])
        self.assertIn(", medians of 3 repeats ", said[:200])
        slow = makeResults(*(makeRun(Random(n), steady(0.001), seconds=2) for n in range(5)), duration=2.0)
        said = self.check(page([self.results(5), slow], ["before", "after"]))
        self.assertTrue(said.startswith("Load, side by side B: worse than A in p50, "), said[:200])

    def test_unlike(self) -> None:
        """Of results that were asked for otherwise there is no judgement, and it is said why."""
        other = self.results(5)
        other.settings = makeResults(rate=None, duration=2.0).settings
        said = self.check(page([self.results(5), other], ["open", "closed"]))
        self.assertIn("rate is 200 in open, and none in closed", said)
        self.assertNotIn("difference: none", said)

    def test_probeIsLate(self) -> None:
        """A probe that was late is reported before the figures, with how much of them is its own."""
        said = self.check(page([self.results(late=0.02, rate=1000)]))
        self.assertLess(said.index("this machine woke the probe late"), said.index("Figures"))

    def test_interrupted(self) -> None:
        """An interruption is reported before the figures, and the missing time is shaded."""
        results = self.results(2)
        results.settings = makeResults(duration=10.0).settings
        results.runs[1].isInterrupted = True
        text = page([results])
        said = self.check(text)
        self.assertLess(said.index("A: interrupted after 2.0 s of 10 s"), said.index("Figures"))
        self.assertEqual(text.count('class="void"'), 4)

    def test_errors(self) -> None:
        """Errors are there by kind, with the places of the bytes that were not sent."""
        results = self.results(kinds={"reset": 0.1, "corrupt": 0.1})
        results.runs[0].differences = ["connection 3: 1 byte flipped at offset 49724"]
        said = self.check(page([results]))
        for each in ("reset, a second", "corrupt, a second", "1 byte flipped at offset 49724"):
            self.assertIn(each, said)

    def test_escaped(self) -> None:
        """Nothing from a file or a peer is more than text, wherever it stands."""
        evil = '<script>alert("1")</script>\x00\x1b&\u202e'
        results = self.results(2, target=evil, kinds={evil: 0.5})
        for run in results.runs:
            run.differences = [evil]
            run.started = evil
        results.command = evil
        results.versions = {evil: evil}
        results.machine = {evil: evil}
        other = Results.fromJson(results.toJson())
        other.machine = {evil: "else"}
        for text in (page([results]), page([results, other], [evil, evil + "2"])):
            self.assertIn("alert", self.check(text))
            for each in ("\x00", "\x1b", "\u202e"):
                self.assertNotIn(each, text)

    def test_empty(self) -> None:
        """A page about nothing says so."""
        self.assertIn("There is no run in it.", self.check(page([makeResults()])))

    def test_few(self) -> None:
        """Without a percentile, and without an answer, there is a page."""
        few = makeResults(makeRun(Random(1), steady(), seconds=2, rate=4), duration=2.0)
        self.assertIn("too few answers for a median", self.check(page([few])))
        none = makeResults(makeRun(Random(1), steady(), seconds=2, kinds={"refused": 1.0}))
        self.assertIn("nothing was answered", self.check(page([none])))
        bare = self.results()
        bare.runs[0].intervals.clear()
        self.check(page([bare]))

    def test_oneInterval(self) -> None:
        """A single interval is a picture."""
        run = makeRun(Random(1), steady(), seconds=1)
        self.assertEqual(len(run.intervals), 1)
        self.check(page([makeResults(run, duration=1.0)]))

    def test_large(self) -> None:
        """Five repeats of 600 intervals each are a third of a megabyte, at the most."""
        run = makeRun(Random(1), stalling(steady()), seconds=600, rate=10, kinds={"reset": 0.1})
        results = makeResults(*[run] * 5, duration=600.0)
        text = page([results])
        self.check(text)
        self.assertLess(len(text), 333_000)


class PictureTests(SynchronousTestCase):
    def test_curve(self) -> None:
        """A curve ends where ten answers stand above, and each repeat has a line."""
        runs = [makeRun(Random(n), steady(), seconds=10, rate=100) for n in range(3)]
        picture = percentileCurve(subjects([makeResults(*runs)]))
        assert picture is not None
        text = flattened(picture.tag("x"))
        self.assertEqual(len(re.findall(r'class="line ', text)), 3)
        # The lines are named, and so are the percentiles on them.
        self.assertEqual(re.findall(r">(A\d)<", text), ["A1", "A2", "A3"])
        self.assertEqual(text.count('class="marks line'), 3)
        self.assertIn(">99<", text)
        self.assertNotIn(">99.9<", text)
        self.assertIn("p50 ", picture.description)
        alone = percentileCurve(subjects([makeResults(runs[0])]))
        assert alone is not None
        value = runs[0].latency.percentile(90)
        assert value is not None
        self.assertIn(f">{milliseconds(value)}<", flattened(alone.tag("x")))

    def test_outage(self) -> None:
        """Answers stand where they came, and not where their messages were due."""
        run = makeRun(Random(1), steady(), seconds=3)
        counts = ([100] * 10, [0] * 10, [0] * 5 + [200] * 5)
        run.intervals = [replace(each, came=came) for came, each in zip(counts, run.intervals, strict=True)]
        (picture,) = answersAndErrors(subjects([makeResults(run, duration=3.0)]))
        (line,) = re.findall(r'd="(M[^"]*)"', flattened(picture.tag("x")))
        levels = {1: "26.0", 2: "52.0", 3: "0.0"}
        self.assertEqual(re.sub(r"H[\d.]+(?=V)", "", line).count("V26.0"), 9)
        self.assertTrue(line.startswith(f"M0.0,{levels[1]}H33.3"), line)
        self.assertIn(f"H366.7V{levels[2]}H400.0", line)
        self.assertTrue(line.endswith(f"V{levels[3]}H1000.0"), line)

    def test_gap(self) -> None:
        """A line is not drawn where there is no value, nor from a repeat to the next."""
        run = makeRun(Random(1), steady(), seconds=4)
        run.intervals[1] = Interval(1.0, 1.0)
        timeline = Timeline(subjects([makeResults(run, run, duration=4.0)])[0])
        line = timeline.steps(lambda each: each.percentiles.get(50.0), lambda value: 7.0)
        self.assertEqual(
            line,
            "M0.0,7.0H125.0M250.0,7.0H375.0V7.0H500.0M500.0,7.0H625.0M750.0,7.0H875.0V7.0H1000.0",
        )

    def test_manyRepeats(self) -> None:
        """Without room for the numbers of each repeat, their length is shown."""
        run = makeRun(Random(1), steady(), seconds=2)
        for count, words in ((6, "s since each repeat began"), (40, "repeats, of 2 s each")):
            (picture,) = latencyOverTime(subjects([makeResults(*[run] * count, duration=2.0)]))
            text = flattened(picture.tag("x"))
            self.assertIn(words, text)
            self.assertLessEqual(text.count('class="strong'), 12)

    def test_oneScale(self) -> None:
        """The pictures of several subjects have the same axis."""
        fast, slow = (makeResults(makeRun(Random(1), steady(median))) for median in (0.0001, 0.01))
        compared = subjects([fast, slow])
        for pictures in (latencyOverTime(compared), answersAndErrors(compared)):
            first, second = (
                re.findall(r">([\d.,]+ ms|\d00)<", flattened(each.tag("x"))) for each in pictures
            )
            self.assertEqual(first, second)
            self.assertTrue(first)

    def test_manyKinds(self) -> None:
        """A peer that thinks of many errors does not make the picture any longer."""
        run = makeRun(Random(1), steady(), seconds=2, kinds={f"kind {n}": 0.03 for n in range(30)})
        (picture,) = answersAndErrors(subjects([makeResults(run)]))
        self.assertIn("other kinds, a second", flattened(picture.tag("x")))
        self.assertLess(picture.height, 1000)

    def test_apart(self) -> None:
        """Labels do not lie on each other, keep their order, and stay in the picture."""
        self.assertEqual(apart([50, 10, 12, 51], 10, 100), [50, 10, 20, 60])
        self.assertEqual(apart([95, 97, 30, 100], 10, 100), [80, 90, 30, 100])
        self.assertEqual(apart([], 10, 100), [])

    def test_mistake(self) -> None:
        """A value that is no text is an exception, and no half of a page."""
        self.assertRaises(FlattenerError, flattened, element("p", 1))  # type: ignore[arg-type]


class FileTests(SynchronousTestCase):
    def test_wellFormed(self) -> None:
        """A picture of its own is XML, with a title and its own style."""
        results = [makeResults(makeRun(Random(1), steady())) for _ in range(2)]
        for text in (percentileSvg(results, ["<open>", "closed"]), latencySvg(results, ["<open>", "closed"])):
            root = ElementTree.fromstring(text)
            self.assertEqual(root.tag, "{http://www.w3.org/2000/svg}svg")
            self.assertIn("prefers-color-scheme", text)
            self.assertIn("&lt;open&gt;", text)
            self.assertTrue(root.findall(".//{http://www.w3.org/2000/svg}title"))

    def test_few(self) -> None:
        """Without a median there is no curve."""
        few = makeResults(makeRun(Random(1), steady(), seconds=1, rate=3))
        self.assertRaises(ValueError, percentileSvg, [few])


def _luminance(colour: str) -> float:
    """Returns the relative luminance (WCAG 2.2)."""
    shares = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return sum(weight * each for weight, each in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


class ColourTests(SynchronousTestCase):
    def test_contrast(self) -> None:
        """All text has a contrast of 4.5 and more on its ground (WCAG 2.2, 1.4.3)."""
        sheet = files("echo_app.probe.report").joinpath("picture.css").read_text()
        themes = re.findall(r":root, svg \{(.*?)\}", sheet, re.DOTALL)
        self.assertEqual(len(themes), 2)
        for theme in themes:
            colours = dict(re.findall(r"--(\w+): (#\w{6});", theme))
            ground = _luminance(colours["ground"])
            for name in set(colours) - {"ground", "grid", "edge"}:
                low, high = sorted((ground, _luminance(colours[name])))
                self.assertGreater((high + 0.05) / (low + 0.05), 4.5, name)
