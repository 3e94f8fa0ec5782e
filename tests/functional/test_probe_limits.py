"""Limits of ``echo-probe check``: its time, its addresses, and its files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import parse

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred

from echo_app.probe.checks.examination import CHECKS
from echo_app.probe.checks.further import examineFurther
from echo_app.probe.judge.baseline import judgeAll
from tests.functional.test_probe_command import CommandTestCase
from tests.support.probing import Hurried, context, examined
from tests.support.service import ServiceTestCase


class TimeTests(CommandTestCase):
    def test_maxTime(self) -> None:
        """A service that is silent takes no more than the limit; what is left is said, and status is 1."""
        target = self.target(self.serve("--port", "0", "--fault", "blackhole"))
        start = time.monotonic()
        status, output = self.run_("check", target, "--quick", "--max-time", "3")
        # Starting Python takes a part of it.
        self.assertLess(time.monotonic() - start, 60)
        self.assertEqual(status, 1)
        self.assertIn(" connections, 3 s\n", output.partition("\n")[0] + "\n")
        self.assertRegex(output, r"\nVERDICT  .*; not examined: connect, .* \[\d+ connections, [345] s\]\n$")

    def test_quick(self) -> None:
        """A quick examination announces a minute at the most."""
        _, output = self.run_("check", self.target(self.serve()), "--quick", "--only", "resolve,identity")
        self.assertRegex(output, r"connections, \d\d s\n")


class FileTests(CommandTestCase):
    def test_junit(self) -> None:
        """The file has a case for each rule, and its failures are those of the verdict."""
        server = self.serve("--port", "0", "--fault", "corrupt=1e-3", "--fault-seed", "5")
        path = Path(self.mktemp())
        only = ("--quick", "--only", "identity,half-close")
        status, _ = self.run_("check", self.target(server), *only, "--junit", str(path))
        self.assertEqual(status, 1)
        (suite,) = parse(path).getroot()
        failed = [str(each.get("name")) for each in suite if each.find("failure") is not None]
        self.assertEqual([name.rpartition(" ")[2] for name in failed], ["bytes-changed"])
        self.assertGreater(len(suite), 10)

    def test_baseline(self) -> None:
        """A direct route that refuses connections is a finding of its own."""
        target = self.target(self.serve())
        only = ("--quick", "--only", "resolve,identity")
        status, output = self.run_("check", target, *only, "--baseline", "127.0.0.1:1")
        self.assertEqual(status, 1)
        self.assertIn("VERDICT  the direct route was not examined (tcp 127.0.0.1:1: refused)", output)


class Resolver:
    """A resolver that knows some addresses for every name."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    def resolveHostName(self, receiver: Any, name: str, port: int = 0, *more: Any, **named: Any) -> Any:
        """Resolves a name."""
        receiver.resolutionBegan(self)
        for each in self._addresses:
            receiver.addressResolved(IPv4Address("TCP", each, port))
        receiver.resolutionComplete()
        return self


class Resolving(Hurried):
    """The reactor with such a resolver."""

    def __init__(self, *addresses: str) -> None:
        super().__init__(1.0)
        self.nameResolver = Resolver(*addresses)


class AddressTests(ServiceTestCase):
    async def test_one(self) -> None:
        """A fault at one of three addresses is found, with the address."""
        good, bad = ("127.0.0.1", "127.0.0.3"), "127.0.0.2"
        port = self.serve("--port", "0", "--interface", good[0]).address("tcp")[1]
        self.serve("--port", str(port), "--interface", good[1])
        self.serve("--port", str(port), "--interface", bad, "--fault", "corrupt=1e-3", "--fault-seed", "5")
        given = context(f"lb.example:{port}", Resolving(good[0], bad, good[1]))
        await examined(given, "resolve", "identity")
        checks = [each for each in CHECKS if each.name in ("resolve", "identity")]
        reported: list[str] = []
        await Deferred.fromCoroutine(
            examineFurther(given, checks, lambda name, evidence: reported.append(evidence.target.host))
        )
        self.assertEqual(reported, [bad, good[1]])
        verdict = judgeAll(given.evidence)
        self.assertRegex(str(verdict), r"^1 of 3 addresses: bytes are changed \(")
        self.assertEqual(verdict.findings[0].addresses, (bad,))
