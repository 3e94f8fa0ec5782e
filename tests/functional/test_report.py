"""The report in a real browser."""

from __future__ import annotations

import html
import json
import re
import sys
from pathlib import Path
from random import Random
from typing import Any
from xml.etree import ElementTree

from echo_app.probe.report.page import page
from echo_app.probe.results.results import Results
from tests.support import programs, warm
from tests.support.ci import onlyInCI
from tests.support.loads import makeResults, makeRun, stalling, steady
from tests.support.service import PATIENCE, ServiceTestCase, needs, reactorName

if reactorName() != "epoll":
    skip = "a browser is a process of its own: the tests' reactor does not matter"

# Tells, in a page around it, what is in a frame that is as wide as a phone: how wide its content is, which
# elements end outside of it, the smallest text, and what two colours are.
MEASURE = """<iframe id="frame" src="report.html" style="width: WIDTHpx; height: 800px; border: 0"></iframe>
<p id="found"></p>
<script>
document.getElementById("frame").onload = function () {
  const page = this.contentDocument, width = this.clientWidth, all = [...page.querySelectorAll("main *")];
  const shown = all.filter(each => each.getClientRects().length && !each.closest("thead"));
  const outside = shown.filter(each => {
    const box = each.getBoundingClientRect();
    return box.right > width + 0.5 || box.left < -0.5;
  });
  const texts = shown.filter(each => [...each.childNodes].some(n => n.nodeType == 3 && n.data.trim()));
  document.getElementById("found").textContent = JSON.stringify({
    width: page.documentElement.scrollWidth,
    outside: outside.map(each => each.tagName + "." + each.getAttribute("class")),
    smallest: Math.min(...texts.map(each => parseFloat(getComputedStyle(each).fontSize))),
    ground: getComputedStyle(page.documentElement).backgroundColor,
    pictures: page.querySelectorAll(".picture").length,
  });
};
</script>
"""
LIGHT, DARK = "rgb(255, 255, 255)", "rgb(22, 24, 27)"


class CommandTests(ServiceTestCase):
    def test_report(self) -> None:
        """A load writes the page and the data, and the data are compared, into the same kind of page."""
        host, port = self.serve().address()
        folder = programs.newFolder(self)
        page, data, both = (str(folder / name) for name in ("page.html", "data.json", "both.html"))
        for arguments in (
            ("load", f"{host}:{port}", "-d", "0.5", "--warmup", "0", "--report", page, "--json", data),
            ("compare", data, data, "--report", both),
        ):
            done = warm.run((sys.executable, "-m", "echo_app.probe", *arguments), ".", programs.TIMEOUT)
            self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("B: too few repeats to tell", done.stdout)
        for path in (page, both):
            root = ElementTree.fromstring(Path(path).read_text())
            self.assertTrue(root.findall(".//path"))


class BrowserTests(ServiceTestCase):
    skip = onlyInCI("it starts a browser, some times over")

    def browse(self, width: int, results: list[Results], isDark: bool = False) -> dict[str, Any]:
        """Opens a report in a window of some pixels; returns what is seen."""
        needs("chromium")
        folder = programs.newFolder(self)
        names = [f"a result with quite a long name, number {n}.json" for n, _ in enumerate(results)]
        (folder / "report.html").write_text(page(results, names))
        (folder / "measure.html").write_text(MEASURE.replace("WIDTH", str(width)))
        command = [
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--allow-file-access-from-files",
            f"--user-data-dir={folder / 'profile'}",
            f"--window-size={width + 50},900",
            f"--blink-settings=preferredColorScheme={0 if isDark else 1}",
            "--virtual-time-budget=10000",
            "--dump-dom",
            (folder / "measure.html").as_uri(),
        ]
        done = programs.run(*command, text=True, timeout=3 * PATIENCE)
        match = re.search(r'<p id="found">(.+?)</p>', done.stdout)
        assert match is not None, done.stdout + done.stderr
        found: dict[str, Any] = json.loads(html.unescape(match[1]))
        return found

    def results(self) -> list[Results]:
        """Returns three results that have everything: repeats, errors, stalls, one that was interrupted."""
        made = []
        for n in range(3):
            target = f"unix:///run/{'a_long_name' * 6}{n}"
            latency = stalling(steady(0.0002 * (n + 1)), every=2.5)
            runs = [
                makeRun(
                    Random(m), latency, target, seconds=5, kinds={"reset": 0.01, "connection timed out": 0.01}
                )
                for m in range(5)
            ]
            runs[4].isInterrupted = True
            runs[4].intervals[2:] = []
            runs[0].differences = ["connection 3: 12 bytes lost at offset 1234567890 of 0123456789abcdef" * 2]
            made.append(makeResults(*runs, duration=5.0))
        return made

    def test_narrow(self) -> None:
        """On a phone nothing is wider than the screen, and no text is smaller than 12 pixels."""
        found = self.browse(360, self.results())
        self.assertEqual((found["width"], found["outside"]), (360, []))
        self.assertEqual(found["pictures"], 7)
        self.assertGreaterEqual(found["smallest"], 12)
        self.assertEqual(found["ground"], LIGHT)

    def test_wide(self) -> None:
        """A report is readable on a wide screen in dark mode."""
        found = self.browse(1280, self.results(), isDark=True)
        self.assertEqual((found["width"], found["outside"], found["ground"]), (1280, [], DARK))
