"""The probe names the faults that our service was told to have, and no others."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from echo_app.probe.checks import halfclose
from echo_app.probe.checks.evidence import CheckSettings
from echo_app.probe.checks.idle import Idle
from echo_app.probe.checks.udp import UDP
from echo_app.probe.cli.ping import Pings, ping
from echo_app.probe.net.waits import together
from echo_app.probe.results.severity import Severity
from echo_app.targets import ClientTLS, parseTarget
from echo_app.testing import EchoProcess
from tests.support.probing import STREAM, Examined, Hurried, context, examined
from tests.support.service import PATIENCE, ServiceTestCase, receiveAll, startSending

# The factor by which silence is waited for faster than usual: still longer than pauses of this machine.
PACE = 5.0

# The same for datagrams, on a path within this machine.
DATAGRAM_PACE = 8.0

# Faults; what the checks see, as a pattern of each; and the causes of the failures that the judge names.
Case = tuple[Sequence[str], Mapping[str, str], set[str]]

PASS, WARN, FAIL = None, Severity.WARN, Severity.FAIL

# Faults that break nothing.
HARMLESS: tuple[Case, ...] = (
    (["latency=15ms,jitter=5ms"], dict.fromkeys(STREAM, "."), set()),
    (["bandwidth=8MiB/s"], dict.fromkeys(STREAM, "."), set()),
    (["chop=2000-9000"], dict.fromkeys(STREAM, "."), set()),
    (["chop=1-7,gap=2ms"], {"small-writes": r"; 64 B in \d+ pieces$"}, set()),
)

# Faults that end streams, to the byte.
ENDING: tuple[Case, ...] = (
    (
        ["reset,after=1000B"],
        {
            "identity": "^1000 of 1286 B came back, then reset",
            "half-close": "^20 of 20 reset$",
            "late-reader": "; 1000 of .* B came back, then reset$",
            "small-writes": "^1000 of 1024 B came back, then reset",
            "burst": "^30 at once in [^,]*, 30 in succession in [^,]*$",
        },
        {"answers-short", "half-close-broken", "late-reader-cut"},
    ),
    (
        ["close,after=1000B"],
        {
            "identity": "^1000 of 1286 B came back, then FIN",
            "half-close": "^20 of 20 truncation$",
            "small-writes": "^1000 of 1024 B came back, then FIN",
        },
        {"answers-short", "half-close-broken"},
    ),
    (
        ["half-close,after=100kB"],
        {
            "identity": "^100000 of 130030 B came back, then FIN",
            "half-close": "10 of 20 truncation",
            "late-reader": "; 100000 of .* B came back, then FIN$",
            "small-writes": ".",
        },
        {"byte-limit"},
    ),
    (["refuse"], {"resolve": "; 127.0.0.1: refused$", "identity": ""}, {"unreachable"}),
    (["reset,probability=20%"], {"burst": r"\d+ fail: reset"}, {"connections-unserved"}),
    (["close,connections=1"], {"identity": "then (FIN|reset); 37 sizes"}, {"connections-unserved"}),
)

# Faults that are silent, and waited for.
SILENT: tuple[Case, ...] = (
    (
        ["blackhole"],
        {"identity": "^nothing of 260 B came back, then timed out after 10 s", "burst": ""},
        {"no-echo"},
    ),
    (
        ["stall,direction=in"],
        {"identity": "^nothing of 260 B came back, then timed out after 10 s"},
        {"no-echo"},
    ),
    (
        ["blackhole,after=1000B"],
        {
            "identity": "^1000 of 1286 B came back, then timed out after 10 s",
            "half-close": "^2 of 2 silence$",
            "late-reader": r"; 1000 of .* B came back, then timed out after \d\d s$",
            "small-writes": "^1000 of 1024 B came back, then timed out after 10 s",
        },
        {"answers-short", "half-close-broken", "late-reader-cut"},
    ),
    (
        ["stall,after=100kB"],
        {
            "identity": "^100000 of 130030 B came back, then timed out after 10 s",
            "half-close": r"2 of \d+ silence",
            "late-reader": r"; 100000 of .* B came back, then timed out after \d\d s$",
        },
        {"byte-limit"},
    ),
    (
        ["stall,connections=1"],
        {"identity": "^nothing of 260 B came back, then timed out after 10 s; 37 sizes"},
        {"connections-unserved"},
    ),
    (
        ["stall,connections=31-"],
        {"burst": "1 in succession in .*, 1 fail: timed out after 10 s"},
        {"connections-unserved"},
    ),
)

# The same over TLS, and the plain text within.
ENCRYPTED: tuple[Case, ...] = (
    (
        ["close,after=1000B"],
        {
            "identity": "^1000 of 1286 B came back, then close_notify",
            "half-close": "^20 of 20 truncation$",
        },
        {"answers-short"},
    ),
    (["reset,after=1000B"], {"identity": "^1000 of 1286 B came back, then reset"}, {"answers-short"}),
    (
        ["corrupt=1%,after=600B"],
        {"small-writes": r"^\d bytes? flipped at offset \d+"},
        {"bytes-changed"},
    ),
)

# The cause, and a pattern of its finding.
DATAGRAMS: tuple[tuple[str, str, str], ...] = (
    ("loss=20%", "datagrams-lost", r", 1\d to 2\d %$"),
    ("duplicate=20%", "datagrams-repeated", r"^\d+ of \d+, 1\d to 2\d %$"),
    ("reorder=20%", "datagrams-reordered", r"^\d+ of \d+, "),
    ("latency=40ms,jitter=30ms", "datagrams-jitter", "^80 % of .* lie between "),
    ("corrupt=1e-3", "datagrams-changed", r"^\d+ answers: \d+ B came back altered"),
    ("truncate=100B", "datagrams-truncated", "^48 answers: 512 B came back as 100 B"),
    ("truncate=4B", "datagrams-truncated", r"^\d+ answers: 12 B came back as 4 B"),
)


class FaultyTestCase(ServiceTestCase):
    """A test case with faulty services."""

    def setUp(self) -> None:
        # However slow the machine is, there are as many tries as there are to be.
        self.patch(halfclose, "BUDGET", PATIENCE)

    def start(self, faults: Sequence[str], *listeners: str) -> EchoProcess:
        """Starts a service with these faults, and the same chance each time."""
        options = [part for each in faults for part in ("--fault", each)]
        return self.serve(*(listeners or ("--port", "0")), "--fault-seed", "5", *options)

    async def check(self, cases: Sequence[Case], reactor: Any = None, kind: str = "tcp") -> list[Examined]:
        """Examines a service for each of the cases, all at the same time; returns what was found."""
        listener = "--tls" if kind == "tls" else "--port"
        servers = [self.start(faults, listener, "0") for faults, *_ in cases]
        targets = ["{}://{}:{}".format(kind, *server.address(kind)) for server in servers]
        found = await gatherResults(
            [
                Deferred.fromCoroutine(
                    examined(context(target, reactor, tls=ClientTLS(isInsecure=True)), *patterns)
                )
                for target, (_, patterns, _) in zip(targets, cases, strict=True)
            ]
        )
        wrong = [
            f"{faults}: {done}"
            for (faults, patterns, causes), done in zip(cases, found, strict=True)
            if not self._isAs(done, patterns, causes)
        ]
        self.assertEqual(wrong, [], "\n\n".join(wrong))
        return found

    def _isAs(self, done: Examined, patterns: Mapping[str, str], causes: set[str]) -> bool:
        """Says whether each check saw what its pattern says, nothing where it is empty; and the failures.

        Warnings about time and loss are also about a busy machine.
        """
        seen = done.evidence.observations
        areSeen = (
            re.search(pattern, str(seen[name])) if pattern else name not in seen
            for name, pattern in patterns.items()
        )
        failures = {cause for cause, severity in done.causes.items() if severity is FAIL}
        return all(areSeen) and failures == causes


class StreamTests(FaultyTestCase):
    """Faults of streams, as the checks see them, and the judge names them."""

    async def test_harmless(self) -> None:
        """A harmless fault is no finding, and is seen in the figures."""
        latency, bandwidth, *_ = await self.check(HARMLESS)
        self.assertGreaterEqual(min(latency.data("small-writes")["whole"]), 0.01)
        self.assertLessEqual(bandwidth.data("identity")["rate"], 1.1 * (8 << 20))

    async def test_ending(self) -> None:
        """An end is told from another one, with the bytes that came before it."""
        await self.check(ENDING)

    async def test_silent(self) -> None:
        """Silence is named, and every check ends."""
        await self.check(SILENT, Hurried(PACE))

    async def test_encrypted(self) -> None:
        """Over TLS they are the same; a broken half-close is a warning."""
        closed, *_ = await self.check(ENCRYPTED, kind="tls")
        self.assertIs(closed.causes["half-close-broken"], WARN)

    async def test_corrupt(self) -> None:
        """The offset of the first changed byte is that of another client with the same random numbers."""
        faults = ("corrupt=2e-5", "corrupt=2e-5,direction=in", "corrupt=1%,after=123456B")
        patterns = {
            "identity": r"^\d bytes? flipped at offset \d+",
            "half-close": r"\d+ of 20 other bytes",
            "late-reader": r"; \d bytes? flipped at offset \d+$",
        }
        found = await self.check([([fault], patterns, {"bytes-changed"}) for fault in faults])
        for fault, done in zip(faults, found, strict=True):
            offset = self._firstChanged(fault)
            self.assertRegex(done.seen("identity"), f"^1 byte flipped at offset {offset}(;|$)", fault)
            match = done.finding("bytes-changed").match
            self.assertIn(f"first at byte {offset:,}", match.seen)

    def _firstChanged(self, fault: str) -> int:
        """Returns the offset on a service's first connection."""
        sock = self.connect(self.start([fault]).address())
        startSending(sock, bytes(1 << 20))
        came = receiveAll(sock)
        return len(came) - len(came.lstrip(b"\0"))


class IdleTests(FaultyTestCase):
    """Faults that come with time."""

    async def test_endings(self) -> None:
        """Each way of going away is told, with its age."""
        faults = ("close,after=1s", "reset,after=1s", "stall,after=1s")
        targets = ["{}:{}".format(*self.start([each]).address()) for each in faults]
        settings = CheckSettings(idle=1.6)
        found = await together(
            examined(context(target, settings=settings), Idle(ages=(0.4,), timeout=1.0)) for target in targets
        )
        # At which age is not certain: the service counts from the connection, the probe from its words.
        for done, words in zip(found, ("FIN", "reset", "silently"), strict=True):
            self.assertIn(words, done.seen("idle"))
            self.assertTrue(done.causes, done)


class DatagramTests(FaultyTestCase):
    """Faults of datagrams, as the check sees them, and the judge names them."""

    async def test_faults(self) -> None:
        """Each fault of datagrams is named; only jitter reorders as well."""
        servers = [self.start([fault], "--udp", "0", "--udp-rate", "0") for fault, _, _ in DATAGRAMS]
        targets = ["udp://{}:{}".format(*server.address("udp")) for server in servers]
        found = await together(examined(context(target), UDP(pace=DATAGRAM_PACE)) for target in targets)
        # A busy machine may add these.
        jitter = {"datagrams-reordered", "datagrams-jitter"}
        for (fault, cause, pattern), done in zip(DATAGRAMS, found, strict=True):
            self.assertLessEqual(set(done.causes), {cause, *jitter}, f"{fault}: {done}")
            if cause == "datagrams-jitter" and done.evidence.latenessIn(0.0, math.inf) > 0.02:
                # Where the probe itself is as late, it does not tell.
                continue
            self.assertIn(cause, done.causes, f"{fault}: {done}")
            self.assertRegex(done.finding(cause).match.seen, pattern, fault)


class PingTests(FaultyTestCase):
    """Faults, as ``ping`` names them."""

    CASES = (
        ("tcp", "latency=50ms", PASS, r"min ([5-9]\d|\d{3})[.\d]* ms"),
        ("tcp", "corrupt=1", FAIL, "number 1: 56 bytes flipped at offset 0\n"),
        ("tcp", "reset,after=56B", FAIL, "number 2: reset\n"),
        ("tcp", "close,after=60B", FAIL, "number 2: FIN\n"),
        ("tcp", "blackhole", FAIL, "number 1: timed out after 2 s\n"),
        ("tcp", "refuse", FAIL, "number 1: no connection: refused\n"),
        ("udp", "loss=100%", FAIL, "3 sent, 0 answered, 3 lost, "),
        ("udp", "duplicate=100%", WARN, "number 1 again\n"),
        ("udp", "reorder=100%", WARN, "[1-9] reordered"),
        ("udp", "corrupt=5%", FAIL, r"number \d: \d+ bytes? flipped at offset \d+\n"),
        ("udp", "truncate=20B", FAIL, "number 1: 20 of 56 bytes\n"),
    )

    async def test_faults(self) -> None:
        """A line has the result of a round trip, and the sums count it."""
        servers = [
            self.start([fault], f"--{'port' if kind == 'tcp' else kind}", "0")
            for kind, fault, *_ in self.CASES
        ]
        results = await together(
            self._ping("{}://{}:{}".format(kind, *server.address(kind)))
            for (kind, *_), server in zip(self.CASES, servers, strict=True)
        )
        for (_, fault, status, pattern), (found, said) in zip(self.CASES, results, strict=True):
            self.assertIs(found, status, (fault, said))
            self.assertRegex(said, pattern, fault)

    async def _ping(self, target: str) -> tuple[Severity | None, str]:
        """Returns how three pings came out, and what is said of them."""
        from twisted.internet import reactor

        said: list[str] = []
        pings = Pings(3, interval=0.1, wait=2.0)
        (status,) = await ping(reactor, [parseTarget(target)], pings, Random(1), said.append)
        return status, "\n".join(said)
