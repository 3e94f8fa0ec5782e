"""The probe names the faults that our service was told to have, and no others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from echo_app.probe.checks import halfclose
from echo_app.probe.checks.check import CheckSettings, Context, Result, Status
from echo_app.probe.checks.idle import Idle
from echo_app.probe.checks.udp import UDP
from echo_app.probe.cli.ping import Pings, ping
from echo_app.probe.net.waits import together
from echo_app.targets import ClientTLS, parseTarget
from echo_app.testing import EchoProcess
from tests.support.probing import STREAM, Hurried, context, examined, statusOf
from tests.support.service import PATIENCE, ServiceTestCase, receiveAll, startSending

# The factor by which silence is waited for faster than usual: still longer than pauses of this machine.
PACE = 5.0

# The same for datagrams, on a path within this machine.
DATAGRAM_PACE = 8.0

# Faults; and what the checks say of them: how they come out, and a pattern of what they see.
Case = tuple[Sequence[str], Mapping[str, tuple[Status, str]]]

PASS, WARN, FAIL, SKIP = Status.PASS, Status.WARN, Status.FAIL, Status.SKIP

# Faults that break nothing.
HARMLESS: tuple[Case, ...] = (
    (["latency=15ms,jitter=5ms"], {name: (PASS, ".") for name in STREAM}),
    (["bandwidth=8MiB/s"], {name: (PASS, ".") for name in STREAM}),
    (["chop=2000-9000"], {name: (PASS, ".") for name in STREAM}),
    (["chop=1-7,gap=2ms"], {"small-writes": (PASS, r", 64 B in \d+ pieces$")}),
)

# Faults that end streams, to the byte.
ENDING: tuple[Case, ...] = (
    (
        ["reset,after=1000B"],
        {
            "identity": (FAIL, "^1000 of 1286 B came back, then reset$"),
            "half-close": (FAIL, "^20 of 20: 1000 of 1024 B back, then reset$"),
            "late-reader": (FAIL, "^1000 B of .* came back to a late reader, then reset$"),
            "small-writes": (FAIL, "^1000 of 1024 B came back, then reset$"),
            "burst": (PASS, "."),
        },
    ),
    (
        ["close,after=1000B"],
        {
            "identity": (FAIL, "^1000 of 1286 B came back, then FIN$"),
            "half-close": (FAIL, "^20 of 20: 1000 of 1024 B back, then FIN$"),
            "small-writes": (FAIL, "^1000 of 1024 B came back, then FIN$"),
        },
    ),
    (
        ["half-close,after=100kB"],
        {
            "identity": (FAIL, "^100000 of 130030 B came back, then FIN$"),
            "half-close": (FAIL, "^10 of 20: 100000 of 262144 B back, then FIN$"),
            "late-reader": (FAIL, "^97.7 KiB of .* came back to a late reader, then FIN$"),
            "small-writes": (PASS, "."),
        },
    ),
    (["refuse"], {"resolve": (FAIL, "^127.0.0.1: refused$"), "identity": (SKIP, "after resolve")}),
    (["reset,probability=20%"], {"burst": (WARN, r"^\d+ of 90 connections at once fail: reset")}),
    (["close,connections=1"], {"identity": (FAIL, "then (FIN|reset); all of it on the next connection$")}),
)

# Faults that are silent, and waited for.
SILENT: tuple[Case, ...] = (
    (["blackhole"], {"identity": (FAIL, "^nothing of 260 B .* timed out after 10 s$"), "burst": (SKIP, ".")}),
    (["stall,direction=in"], {"identity": (FAIL, "^nothing of 260 B .* timed out after 10 s$")}),
    (
        ["blackhole,after=1000B"],
        {
            "identity": (FAIL, "^1000 of 1286 B came back, then timed out after 10 s$"),
            "half-close": (FAIL, "^2 of 2: 1000 of 1024 B back, then timed out after 10 s$"),
            "late-reader": (FAIL, "^1000 B of .* came back to a late reader, then timed out after 10 s$"),
            "small-writes": (FAIL, "^1000 of 1024 B came back, then timed out after 10 s$"),
        },
    ),
    (
        ["stall,after=100kB"],
        {
            "identity": (FAIL, "^100000 of 130030 B came back, then timed out after 10 s$"),
            "half-close": (FAIL, r"^2 of \d+: 100000 of 262144 B back, then timed out after 10 s$"),
            "late-reader": (FAIL, "^97.7 KiB of .* came back to a late reader, then timed out after 10 s$"),
        },
    ),
    (
        ["stall,connections=1"],
        {"identity": (FAIL, "timed out after 10 s; all of it on the next connection$")},
    ),
    (
        ["stall,connections=31-"],
        {"burst": (WARN, "^1 of 1 connections in succession fail: timed out after 10 s$")},
    ),
)

# The same over TLS, and the plain text within.
ENCRYPTED: tuple[Case, ...] = (
    (
        ["close,after=1000B"],
        {
            "identity": (FAIL, "^1000 of 1286 B came back, then close_notify$"),
            "half-close": (WARN, "^20 of 20: 1000 of 1024 B back, then close_notify$"),
        },
    ),
    (["reset,after=1000B"], {"identity": (FAIL, "^1000 of 1286 B came back, then reset$")}),
    (["corrupt=1%,after=600B"], {"small-writes": (FAIL, r"^\d bytes? flipped at offset \d+$")}),
)

DATAGRAMS: tuple[tuple[str, Status, str], ...] = (
    ("loss=20%", WARN, r"^1\d\.\d to 2\d\.\d % lost"),
    ("duplicate=20%", PASS, r" \d+ duplicate"),
    ("reorder=20%", PASS, r" \d+ reordered"),
    ("latency=40ms,jitter=30ms", PASS, r"^p50 \d\d.*, \d+ reordered"),
    ("corrupt=1e-3", FAIL, r"^\d+ answers differ: \d+ B came back altered"),
    ("truncate=100B", FAIL, "^48 answers differ: 512 B came back as 100 B"),
    ("truncate=4B", FAIL, r"^\d+ answers differ: 64 B came back as 4 B"),
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

    async def check(
        self, cases: Sequence[Case], reactor: Any = None, kind: str = "tcp"
    ) -> list[dict[str, Result]]:
        """Examines a service for each of the cases, all at the same time; returns what was found."""
        listener = "--tls" if kind == "tls" else "--port"
        servers = [self.start(faults, listener, "0") for faults, _ in cases]
        targets = ["{}://{}:{}".format(kind, *server.address(kind)) for server in servers]
        found = await gatherResults(
            [
                Deferred.fromCoroutine(
                    examined(context(target, reactor, tls=ClientTLS(isInsecure=True)), *names)
                )
                for target, (_, names) in zip(targets, cases, strict=True)
            ]
        )
        for (faults, expected), results in zip(cases, found, strict=True):
            for name, (status, pattern) in expected.items():
                self.assertIs(statusOf(results[name]), status, (faults, results[name]))
                self.assertRegex(results[name].seen, pattern, faults)
        return found


class StreamTests(FaultyTestCase):
    """Faults of streams, as the checks name them."""

    async def test_harmless(self) -> None:
        """A harmless fault is no finding, and is seen in the figures."""
        latency, bandwidth, *_ = await self.check(HARMLESS)
        times: Any = latency["small-writes"].details["whole"]
        self.assertGreaterEqual(min(times), 0.01)
        rate: Any = bandwidth["identity"].details["rate"]
        self.assertLessEqual(rate, 1.1 * (8 << 20))

    async def test_ending(self) -> None:
        """An end is told from another one, with the bytes that came before it."""
        await self.check(ENDING)

    async def test_silent(self) -> None:
        """Silence is named, and every check ends."""
        await self.check(SILENT, Hurried(PACE))

    async def test_encrypted(self) -> None:
        """Over TLS they are the same."""
        await self.check(ENCRYPTED, kind="tls")

    async def test_corrupt(self) -> None:
        """The offset of the first changed byte is that of another client with the same random numbers."""
        faults = ("corrupt=2e-5", "corrupt=2e-5,direction=in", "corrupt=1%,after=123456B")
        flipped = (FAIL, r"\d bytes? flipped at offset \d+")
        names = ("identity", "half-close", "late-reader")
        found = await self.check([([fault], dict.fromkeys(names, flipped)) for fault in faults])
        for fault, results in zip(faults, found, strict=True):
            offset = self._firstChanged(fault)
            self.assertEqual(results["identity"].seen, f"1 byte flipped at offset {offset}", fault)

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
        from twisted.internet import reactor

        faults = ("close,after=1s", "reset,after=1s", "stall,after=1s")
        targets = [self.start([each]).address() for each in faults]
        check = Idle(ages=(0.4,), timeout=1.0)
        results = await together(
            check.run(Context(reactor, parseTarget("{}:{}".format(*target)), CheckSettings(idle=1.6)))
            for target in targets
        )
        for result, words in zip(results, ("FIN", "reset", "silently"), strict=True):
            self.assertIs(result.status, WARN, result)
            self.assertIn(words, result.seen)
            # At which age is not certain: the service counts from the connection, the probe from its words.
            self.assertIn("gone", result.details)


class DatagramTests(FaultyTestCase):
    """Faults of datagrams, as the check names them."""

    async def test_faults(self) -> None:
        """Each fault of datagrams is seen, and only loss or change is a finding."""
        from twisted.internet import reactor

        servers = [self.start([fault], "--udp", "0", "--udp-rate", "0") for fault, _, _ in DATAGRAMS]
        targets = [parseTarget("udp://{}:{}".format(*server.address("udp"))) for server in servers]
        results = await together(
            UDP(pace=DATAGRAM_PACE).run(Context(reactor, target, CheckSettings(isQuick=True), Random(1)))
            for target in targets
        )
        for (fault, status, pattern), result in zip(DATAGRAMS, results, strict=True):
            self.assertIs(result.status, status, (fault, result))
            self.assertRegex(result.seen, pattern, fault)


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

    async def _ping(self, target: str) -> tuple[Status, str]:
        """Returns how three pings came out, and what is said of them."""
        from twisted.internet import reactor

        said: list[str] = []
        pings = Pings(3, interval=0.1, wait=2.0)
        (status,) = await ping(reactor, [parseTarget(target)], pings, Random(1), said.append)
        return status, "\n".join(said)
