"""The command line of ``echo-probe load``."""

from __future__ import annotations

import io
import resource
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.cli.command import NOT_STARTED, main
from echo_app.probe.cli.loadoptions import LoadOptions
from echo_app.probe.cli.options import Options
from echo_app.probe.net.proxyheader import ProxyHeader
from echo_app.probe.results.results import LoadSettings


def load(*arguments: str) -> LoadOptions:
    options = Options()
    options.parseOptions(["load", *arguments])
    assert isinstance(options.subOptions, LoadOptions)
    return options.subOptions


class GoodTests(SynchronousTestCase):
    def test_default(self) -> None:
        """Without any option it is one connection, and a closed loop."""
        options = load("a:1", "tls://b:2", "--insecure")
        self.assertEqual(options.settings, LoadSettings())
        self.assertEqual([str(target) for target in options.targets], ["tcp a:1", "tls b:2"])
        self.assertEqual(options.typed, ("a:1", "tls://b:2", "--insecure"))

    def test_everything(self) -> None:
        """Every option, in its long form or its short one, before and behind the target."""
        options = load(
            *("-c", "20", "-s", "64,1KiB:3,16KiB:0.5", "-r", "2000", "a:1", "--arrivals", "uniform"),
            *("--max-inflight", "5", "--per-connection", "100", "-d", "5m", "--warmup", "0", "-W", "500ms"),
            *("--processes", "3", "--repeat", "4", "--seed", "7", "--json", "-"),
        )
        sizes = ((64, 1.0), (1024, 3.0), (16384, 0.5))
        settings = LoadSettings(sizes, 20, 2000.0, "uniform", 5, 100, 300.0, 0.0, 0.5, 3)
        self.assertEqual(options.settings, settings)
        self.assertEqual((options["repeat"], options["seed"], options["json"]), (4, 7, "-"))

    def test_openLoop(self) -> None:
        """A rate makes an open loop: arrivals by chance, and many messages under way."""
        settings = load("a:1", "-r", "0.5").settings
        self.assertEqual((settings.rate, settings.arrivals, settings.maxInflight), (0.5, "poisson", 1000))

    def test_times(self) -> None:
        """Times are seconds, or have a unit."""
        for text, seconds in (
            ("10", 10),
            ("1.5", 1.5),
            ("250ms", 0.25),
            ("10s", 10),
            ("5m", 300),
            ("2h", 7200),
        ):
            self.assertEqual(load("a:1", "-d", text).settings.duration, seconds)

    def test_ramp(self) -> None:
        """A ramp is an open loop with two rates."""
        found = load("a:1", "--ramp", "100:5k").settings
        self.assertEqual((found.rate, found.rampTo, found.arrivals), (100.0, 5000.0, "poisson"))
        self.assertEqual((found.maxInflight, found.meanRate), (1000, 2550.0))

    def test_steps(self) -> None:
        """Each step is an open loop of its own, and otherwise the same."""
        options = load("a:1", "--steps", "100,0.5,2k", "--arrivals", "uniform", "-c", "3")
        self.assertEqual([each.rate for each in options.steps], [100.0, 0.5, 2000.0])
        self.assertEqual({(each.connections, each.arrivals) for each in options.steps}, {(3, "uniform")})
        self.assertEqual(load("a:1").steps, [LoadSettings()])

    def test_findMax(self) -> None:
        """A search begins at ``--rate``, or where a percentile can be stated."""
        options = load("a:1", "--find-max", "p99<20ms", "--find-max", "errors<1%", "-d", "1")
        self.assertEqual([each.text for each in options.held], ["p99<20ms", "errors<1%"])
        self.assertEqual((options.settings.rate, options.settings.arrivals), (1250.0, "poisson"))
        self.assertEqual(load("a:1", "--find-max", "p50<1s", "-r", "7").settings.rate, 7.0)

    def test_count(self) -> None:
        """A count takes the place of the time, which is then the longest, and has no warm-up by default."""
        for more, duration, warmup in (([], 600, 0), (["-d", "5", "--warmup", "1"], 5, 1)):
            found = load("a:1", "-n", "100", *more).settings
            self.assertEqual((found.count, found.duration, found.warmup), (100, duration, warmup))
        self.assertIsNone(load("a:1").settings.count)

    def test_conditions(self) -> None:
        """``--fail-if`` may be there several times."""
        options = load("a:1", "--fail-if", "p99>50ms", "--fail-if=errors>1%", "--label", "x")
        self.assertEqual([each.text for each in options.failures], ["p99>50ms", "errors>1%"])
        self.assertEqual((load("a:1").failures, options["label"]), ([], "x"))

    def test_proxyHeader(self) -> None:
        """A PROXY header is one of the settings."""
        options = load("a:1", "--send-proxy", "v1", "--proxy-source", "192.0.2.1:5")
        self.assertEqual(options.settings.proxy, ProxyHeader("v1", "192.0.2.1", 5))


class WrongTests(SynchronousTestCase):
    def test_oneLine(self) -> None:
        """A wrong value is status 2 and one line that names it."""
        for arguments, part in (
            ([], "no target"),
            (["a"], "'a'"),
            (["tcp:a:1"], "'tcp:a:1': a load takes tcp://"),
            (["a:1", "-c", "0"], "--connections '0'"),
            (["a:1", "-c", "2000000000"], "--connections '2000000000': "),
            (["a:1", "-s", "0"], "--size '0'"),
            (["a:1", "-s", "17MiB"], "--size '17MiB'"),
            (["a:1", "-s", "1KB"], "--size '1KB'"),
            (["a:1", "-s", "64:0"], "--size '64:0': the weight '0'"),
            (["a:1", "-s", "64:nan"], "the weight 'nan'"),
            (["a:1", "-s", "64,"], "--size '64,'"),
            (["a:1", "-s", "1KiB,1024"], "1024 bytes twice"),
            (["udp://a:1", "-s", "64KiB"], "--size '65536': not from 8 to 65507"),
            (["a:1", "udp://a:1", "-s", "7"], "--size '7': not from 8"),
            (["a:1", "-r", "0"], "--rate '0'"),
            (["a:1", "-r", "1e8"], "--rate '1e8'"),
            (["a:1", "--arrivals", "uniform"], "--arrivals 'uniform': there is no --rate"),
            (["a:1", "-r", "1", "--arrivals", "x"], "--arrivals 'x'"),
            (["a:1", "--max-inflight", "-1"], "--max-inflight '-1'"),
            (["a:1", "--per-connection", "x"], "--per-connection 'x'"),
            (["a:1", "-d", "0"], "--duration '0'"),
            (["a:1", "-d", "5d"], "--duration '5d'"),
            (["a:1", "-d", "31536000"], "--duration '31536000'"),
            (["a:1", "--warmup", "-1"], "--warmup '-1'"),
            (
                ["a:1", "-W", "61m"],
                "--wait '61m': not a time, such as 90, 50ms, 1.5s, 5min or 2h, of up to an hour",
            ),
            (["a:1", "--processes", "2"], "--processes '2': more than there are connections (1)"),
            (["a:1", "--repeat", "0"], "--repeat '0'"),
            (["a:1", "--fail-if", "p99>50"], "--fail-if 'p99>50': '50' is not a time"),
            (["a:1", "--fail-if", "p"], "--fail-if 'p': not FIGURE>VALUE"),
            (["a:1", "--fali-if", "p99>1s"], "did you mean --fail-if?"),
            (["a:1", "--ramp", "5"], "--ramp '5': not two rates with a colon"),
            (["a:1", "--ramp", "0:5"], "--ramp '0:5': '0' is not a number a second"),
            (["a:1", "--ramp", "1:x"], "--ramp '1:x': 'x' is not a number a second"),
            (["a:1", "--ramp", "1:5", "--rate", "5"], "--rate and --ramp exclude each other"),
            (["a:1", "--ramp", "1:5", "-n", "5"], "--count '5': --ramp needs a duration"),
            (["a:1", "--steps", "1,,2"], "--steps '1,,2': '' is not a number a second"),
            (["a:1", "--steps", "1,1.0"], "a rate twice"),
            (["a:1", "--steps", ",".join(map(str, range(1, 102)))], "more than 100 rates"),
            (["a:1", "--steps", "1", "--ramp", "1:5"], "--ramp and --steps exclude each other"),
            (["a:1", "--find-max", "p99>2ms"], "did you mean p99<2ms?"),
            (["a:1", "--find-max", "p99<2"], "--find-max 'p99<2': '2' is not a time"),
            (["a:1", "b:1", "--find-max", "p99<2ms"], "'b:1': --find-max takes one target"),
            (["a:1", "--steps", "1,2", "--find-max", "p99<2ms"], "--find-max and --steps exclude each other"),
            (["a:1", "--fail-if", "max>1s", "--find-max", "p99<2ms"], "--find-max and --fail-if exclude"),
            (["a:1", "-n", "0"], "--count '0'"),
            (["a:1", "-n", "10000001"], "--count '10000001': more than 10,000,000"),
            (
                ["a:1", "-n", "2", "-c", "3", "--processes", "3"],
                "--processes '3': more than there are messages (2)",
            ),
            (["a:1", "--label", "x" * 101], "longer than 100 characters"),
            (["udp://a:1", "--send-proxy", "v2"], "--send-proxy 'v2': 'udp://a:1' is no stream"),
            (["a:1", "--json", "/nosuch/x.json"], "--json '/nosuch/x.json': there is no such folder"),
            (["a:1", "--json", "/"], "--json '/': can't be written"),
            (["a:1", "--nosuch\x1b[2J"], r"--nosuch\x1b[2J"),
        ):
            output = io.StringIO()
            self.patch(sys, "stderr", output)
            self.assertEqual(self.assertRaises(SystemExit, main, ["load", *arguments]).code, NOT_STARTED)
            line = output.getvalue()
            self.assertTrue(line.startswith("echo-probe: ") and line.count("\n") == 1, line)
            self.assertIn(part, line)

    def test_descriptors(self) -> None:
        """The connections of one process need a descriptor each; more processes have more of them."""
        self.patch(resource, "getrlimit", lambda kind: (100, 1024))
        load("a:1", "-c", "992")
        load("a:1", "-c", "1984", "--processes", "2")
        self.assertRaisesRegex(Exception, "--connections '993': 1024 descriptors", load, "a:1", "-c", "993")

    def test_fileThatIsThere(self) -> None:
        """A file that is there is written over."""
        path = Path(self.mktemp())
        path.write_text("x")
        self.assertEqual(load("a:1", "--json", str(path))["json"], str(path))
