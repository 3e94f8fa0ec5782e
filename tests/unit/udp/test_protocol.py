"""The rules for datagrams, by a clock of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.error import MessageLengthError
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.internet.udp import Port
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from echo_app.access.networks import Access
from echo_app.connections.registry import LOG_INTERVAL
from echo_app.udp.protocol import (
    LOSS,
    MAX_STREAK,
    PAUSE,
    RATE,
    SOURCES,
    DatagramRules,
    EchoDatagramProtocol,
    isClientAddress,
)

CLIENT = ("192.0.2.1", 40_000)

# No rate that a test reaches, with the loop breaker in place.
UNREACHED = 1e9


def hostNumber(number: int) -> str:
    """Returns one of 16 million IPv4 literals."""
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


class RulesTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.chance = 0.5

    def rules(self, rate: float | None = 1.0) -> DatagramRules:
        """Returns rules by the test's clock and chance."""
        return DatagramRules(rate, self.clock.seconds, lambda: self.chance)

    def admitted(self, rules: DatagramRules, times: int, source: tuple[str, int] = CLIENT) -> int:
        """Returns how many of so many datagrams are admitted."""
        return sum(rules.admits(*source) for _ in range(times))


class AddressTests(RulesTestCase):
    """Sources that are not clients, by port and by address (docs/dev/contract.rst, 8)."""

    def _refused(self, reason: str, *sources: tuple[str, int]) -> None:
        for source in sources:
            rules = self.rules()
            started(rules, FakeTransport())
            self.assertFalse(rules.admits(*source), source)
            self.assertEqual(rules.dropped.byReason, {reason: 1}, source)

    def _admitted(self, *sources: tuple[str, int]) -> None:
        for source in sources:
            rules = self.rules()
            started(rules, FakeTransport())
            self.assertTrue(rules.admits(*source), source)
            self.assertEqual(rules.dropped.byReason, {}, source)

    def test_serverPorts(self) -> None:
        """Every port below 1024, and 2049, is a server's: no datagram from there is answered."""
        self._refused("server-port", *((CLIENT[0], port) for port in (*range(1024), 2049)))

    def test_clientPorts(self) -> None:
        """The ports beside those are clients'."""
        self._admitted(*((CLIENT[0], port) for port in (1024, 2048, 2050, 7006, 7008, 65535)))

    def test_ownPorts(self) -> None:
        """A datagram from one of the service's own ports is not answered, from any address."""
        self._refused("own-port", (CLIENT[0], 7007), ("127.0.0.1", 7007), ("::1", 7007))

    def test_noHostsAddress(self) -> None:
        """0/8, broadcast, multicast and the unspecified address are no host's, v4-mapped ones too."""
        hosts = (
            *("0.0.0.0", "0.0.0.1", "0.255.255.255", "255.255.255.255", "224.0.0.1", "239.255.255.255"),
            *("::", "ff02::1", "ff0e::1", "ff00::"),
        )
        mapped = [f"::ffff:{host}" for host in hosts if ":" not in host]
        self._refused("address", *((host, CLIENT[1]) for host in (*hosts, *mapped)))

    def test_hostsAddress(self) -> None:
        """The addresses beside those are clients', and so is loopback."""
        hosts = ("1.0.0.0", "223.255.255.255", "127.0.0.1", "::1", "fe80::1", "2001:db8::1")
        self._admitted(*((host, CLIENT[1]) for host in (*hosts, "::ffff:192.0.2.1")))

    def test_memory(self) -> None:
        """The cache of addresses is bounded."""
        self.assertEqual(isClientAddress.cache_info().maxsize, SOURCES)


class AccessTests(RulesTestCase):
    """Access rules for datagrams."""

    def test_denied(self) -> None:
        """A denied datagram is dropped, from an IPv4-mapped source too, and costs no allowance."""
        rules = DatagramRules(1.0, self.clock.seconds, access=Access(allow=["192.0.2.0/24"]))
        for host in ("192.0.3.1", "::ffff:192.0.3.1", "2001:db8::1"):
            self.assertFalse(rules.admits(host, 5000))
        self.assertTrue(rules.admits("::ffff:192.0.2.1", 5000))
        self.assertEqual(rules.dropped.byReason, {"denied": 3})


class RateTests(RulesTestCase):
    """A source has so many answers a second, and as many at once."""

    def test_burst(self) -> None:
        """As many as the rate are answered at once, and not one more."""
        rules = self.rules(100)
        self.assertEqual(self.admitted(rules, 150), 100)
        self.assertEqual(rules.dropped.byReason, {"rate": 50})

    def test_refill(self) -> None:
        """A source that asks more than the rate is answered at the rate."""
        rules = self.rules(100)
        self.admitted(rules, 150)
        answered = 0
        for _ in range(1000):
            self.clock.advance(0.01)
            answered += self.admitted(rules, 5)
        self.assertLessEqual(abs(answered - 1000), 1)

    def test_noHoard(self) -> None:
        """Silence, however long, saves no more than one burst."""
        rules = self.rules(100)
        self.admitted(rules, 1)
        self.clock.advance(3600)
        self.assertEqual(self.admitted(rules, 300), 100)

    def test_lessThanOneASecond(self) -> None:
        """At a rate of one in ten seconds the first is answered at once, and the next ten seconds on."""
        rules = self.rules(0.1)
        self.assertEqual(self.admitted(rules, 2), 1)
        self.clock.advance(9.5)
        self.assertEqual(self.admitted(rules, 1), 0)
        self.clock.advance(1)
        self.assertEqual(self.admitted(rules, 2), 1)

    def test_oneSource(self) -> None:
        """All ports of an IPv4 address are one source, and so are all addresses of an IPv6 /64."""
        for sources in (
            [("192.0.2.1", 5000 + number) for number in range(150)],
            [(f"2001:db8::{number:x}:1", 5000) for number in range(150)],
        ):
            rules = self.rules(100)
            self.assertEqual(sum(rules.admits(*source) for source in sources), 100)

    def test_mappedAddress(self) -> None:
        """A v4-mapped address is the same source as the IPv4 address."""
        rules = self.rules(1)
        self.assertTrue(rules.admits("192.0.2.1", 5000))
        self.assertFalse(rules.admits("::ffff:192.0.2.1", 5000))

    def test_others(self) -> None:
        """Another IPv4 address, or another IPv6 /64, is a source of its own."""
        rules = self.rules(1)
        for host in ("192.0.2.1", "192.0.2.2", "2001:db8:0:1::1", "2001:db8:0:2::1"):
            self.assertTrue(rules.admits(host, 5000), host)
            self.assertFalse(rules.admits(host, 5000), host)

    def test_refusedAreFree(self) -> None:
        """Datagrams that are refused for their port use up nothing of their address's allowance."""
        rules = self.rules(1)
        self.admitted(rules, 100, (CLIENT[0], 53))
        self.assertEqual(self.admitted(rules, 2), 1)

    def test_none(self) -> None:
        """A rate of None is no limit and no loop breaker."""
        rules = self.rules(None)
        self.chance = 0.0
        self.assertEqual(self.admitted(rules, 3 * MAX_STREAK), 3 * MAX_STREAK)
        self.assertEqual(rules.dropped.byReason, {})

    def test_clockSetBack(self) -> None:
        """A clock that is set back an hour, as wall clocks are, silences no source."""
        rules = self.rules(100)
        self.clock.rightNow = 10_000.0
        self.admitted(rules, 10)
        self.clock.rightNow -= 3600
        self.assertEqual(self.admitted(rules, 10), 10)
        self.clock.advance(1)
        self.assertEqual(self.admitted(rules, 100), 100)


class LoopBreakerTests(RulesTestCase):
    """A source that never pauses loses one in a thousand after ten thousand."""

    def test_patience(self) -> None:
        """The first ten thousand are answered, with any draw."""
        self.chance = 0.0
        rules = self.rules(UNREACHED)
        self.assertEqual(self.admitted(rules, MAX_STREAK), MAX_STREAK)
        self.assertEqual(self.admitted(rules, 1), 0)
        self.assertEqual(rules.dropped.byReason, {"loop": 1})

    def test_oneInAThousand(self) -> None:
        """From there on one in a thousand is lost."""
        rules = DatagramRules(UNREACHED, self.clock.seconds, Random(1).random)
        self.admitted(rules, MAX_STREAK)
        lost = 100_000 - self.admitted(rules, 100_000)
        self.assertLess(abs(lost - 100_000 / LOSS), 40)

    def test_threshold(self) -> None:
        """Chance loses a datagram below one in a thousand, and not at it."""
        rules = self.rules(UNREACHED)
        self.admitted(rules, MAX_STREAK)
        self.chance = 1 / LOSS
        self.assertEqual(self.admitted(rules, 1), 1)
        self.chance = 0.999 / LOSS
        self.assertEqual(self.admitted(rules, 1), 0)

    def test_pause(self) -> None:
        """Ten seconds of silence make a source new; a little less does not."""
        self.chance = 0.0
        rules = self.rules(UNREACHED)
        self.admitted(rules, MAX_STREAK)
        self.clock.advance(PAUSE - 0.01)
        self.assertEqual(self.admitted(rules, 1), 0)
        self.clock.advance(PAUSE)
        self.assertEqual(self.admitted(rules, MAX_STREAK + 1), MAX_STREAK)

    def test_slowSource(self) -> None:
        """A source that asks every nine seconds never pauses, and loses an answer in the end."""
        self.chance = 0.0
        rules = self.rules(UNREACHED)
        for _ in range(MAX_STREAK):
            self.assertTrue(rules.admits(*CLIENT))
            self.clock.advance(9)
        self.assertFalse(rules.admits(*CLIENT))


class MemoryTests(RulesTestCase):
    """The memory of sources is bounded."""

    def _others(self, rules: DatagramRules, first: int, last: int) -> None:
        for number in range(first, last):
            rules.admits(hostNumber(number), 5000)

    def test_remembered(self) -> None:
        """As long as no more sources than there is room for are heard, none is forgotten."""
        rules = self.rules()
        self.admitted(rules, 1)
        self._others(rules, 1, SOURCES)
        self.assertEqual(self.admitted(rules, 1), 0)

    def test_forgotten(self) -> None:
        """With one source more, the one that was silent longest is forgotten."""
        rules = self.rules()
        self.admitted(rules, 1)
        self._others(rules, 0, SOURCES)
        self.assertEqual(self.admitted(rules, 1), 1)

    def test_heardAgain(self) -> None:
        """A source that is heard again is not the one that was silent longest."""
        rules = self.rules()
        self.admitted(rules, 1)
        self._others(rules, 1, SOURCES)
        self.admitted(rules, 1)
        self._others(rules, SOURCES, SOURCES + 10)
        self.assertEqual(self.admitted(rules, 1), 0)


class CountTests(RulesTestCase):
    def test_byReason(self) -> None:
        """Dropped datagrams are counted by their reason."""
        rules = self.rules()
        started(rules, FakeTransport())
        self.admitted(rules, 2, (CLIENT[0], 53))
        self.admitted(rules, 3, (CLIENT[0], 7007))
        self.admitted(rules, 4, ("0.0.0.1", 5000))
        self.admitted(rules, 6)
        self.assertEqual(rules.dropped.byReason, {"server-port": 2, "own-port": 3, "address": 4, "rate": 5})

    def test_oneLineAMinute(self) -> None:
        """However many are dropped, one line a minute says so."""
        rules = self.rules()
        seconds = 600
        with capturedLogs() as events:
            for _ in range(seconds):
                self.admitted(rules, 10, (CLIENT[0], 53))
                self.clock.advance(1)
        lines = [event for event in events if event.get("what") == "dropped datagrams"]
        self.assertEqual(len(lines), seconds / LOG_INTERVAL)
        self.assertEqual([event["counts"] for event in lines][:2], ["1 server-port", "601 server-port"])


class FakeTransport:
    """A datagram transport that remembers what is written, or does with it what it is told."""

    def __init__(self, host: IAddress | None = None, send: Callable[[bytes, Any], None] | None = None):
        self.written: list[tuple[bytes, Any]] = []
        self._host = IPv4Address("UDP", "192.0.2.7", 7007) if host is None else host
        self._send = send

    def getHost(self) -> IAddress:
        """Returns the address that it was made with."""
        return self._host

    def write(self, data: bytes, addr: Any = None) -> None:
        """Remembers a datagram once it is sent."""
        if self._send is not None:
            self._send(data, addr)
        self.written.append((data, addr))


def started(rules: DatagramRules | None, transport: FakeTransport) -> EchoDatagramProtocol:
    """Returns a protocol that has this transport."""
    protocol = EchoDatagramProtocol(rules)
    protocol.makeConnection(transport)  # type: ignore[arg-type]
    return protocol


class EchoDatagramProtocolTests(RulesTestCase):
    def test_echo(self) -> None:
        """Each datagram, an empty one too, goes back once to where it came from."""
        transport = FakeTransport()
        protocol = started(self.rules(100), transport)
        for data in (b"", b"hello", b"\r\n\0", b"x" * 65_507):
            protocol.datagramReceived(data, CLIENT)
            self.assertEqual(transport.written, [(data, CLIENT)])
            transport.written.clear()
        self.assertEqual(protocol.rules.answered, 4)

    def test_refused(self) -> None:
        """A datagram that the rules refuse is not answered, and not counted as answered."""
        transport = FakeTransport()
        protocol = started(self.rules(), transport)
        protocol.datagramReceived(b"hello", (CLIENT[0], 53))
        self.assertEqual((transport.written, protocol.rules.answered), ([], 0))

    def test_ownPort(self) -> None:
        """The port is one of the rules' own from its start to its stop."""
        rules = self.rules()
        protocol = started(rules, FakeTransport())
        self.assertEqual(set(rules.ownPorts), {7007})
        protocol.doStop()
        self.assertEqual(set(rules.ownPorts), set())

    def test_samePortTwice(self) -> None:
        """A port that is open at two addresses stays one's own until both are closed."""
        rules = self.rules(100)
        first, second = started(rules, FakeTransport()), started(rules, FakeTransport())
        first.doStop()
        self.assertFalse(rules.admits("127.0.0.1", 7007))
        second.doStop()
        self.assertTrue(rules.admits("127.0.0.1", 7007))

    def test_noPort(self) -> None:
        """On a transport that has no port there is none to make known."""
        rules = self.rules()
        protocol = started(rules, FakeTransport(UNIXAddress(b"socket")))
        self.assertEqual(set(rules.ownPorts), set())
        protocol.doStop()

    def test_rulesOfItsOwn(self) -> None:
        """Without rules it has rules of its own, with the default rate."""
        transport = FakeTransport()
        protocol = started(None, transport)
        for _ in range(RATE):
            protocol.datagramReceived(b"", CLIENT)
        self.assertEqual(len(transport.written), RATE)

    def test_unsendable(self) -> None:
        """An answer that can't be sent is counted; nothing is raised, and the next is answered."""
        errors: list[Exception] = [OSError(11, "full"), MessageLengthError("long"), OSError(101, "far")]

        def send(data: bytes, addr: Any) -> None:
            if errors:
                raise errors.pop()

        transport = FakeTransport(send=send)
        protocol = started(self.rules(100), transport)
        for _ in range(4):
            protocol.datagramReceived(b"hello", CLIENT)
        self.assertEqual(protocol.rules.dropped.byReason, {"unsendable": 3})
        self.assertEqual((len(transport.written), protocol.rules.answered), (1, 1))

    def test_unwritable(self) -> None:
        """An address that Twisted's own port refuses to write to is counted like any other."""
        protocol = EchoDatagramProtocol(self.rules(100))
        port = Port(0, protocol, "127.0.0.1", reactor=MemoryReactorClock())
        port.startListening()
        self.addCleanup(port.connectionLost)
        protocol.datagramReceived(b"hello", ("2001:db8::1", 5000))
        self.assertEqual(protocol.rules.dropped.byReason, {"unsendable": 1})


class LoopTests(SynchronousTestCase):
    """Two services that were told of each other fall silent, and do not exceed the rate until then."""

    # More than twice what a loop of so many datagrams has ever needed.
    STEPS = 200_000

    def _loop(self, delay: float, datagrams: int) -> tuple[list[list[float]], list[DatagramRules]]:
        """Returns when each of the two answered, and their rules, after silence."""
        clock = Clock()
        chance = Random(1).random
        answers: list[list[float]] = [[], []]
        protocols: list[EchoDatagramProtocol] = []

        def sendsTo(other: int) -> Callable[[bytes, Any], None]:
            source = ("192.0.2.1", 7001) if other else ("192.0.2.2", 7002)

            def send(data: bytes, addr: Any) -> None:
                answers[1 - other].append(clock.seconds())
                clock.callLater(delay, protocols[other].datagramReceived, data, source)

            return send

        for number in (0, 1):
            host = IPv4Address("UDP", f"192.0.2.{number + 1}", 7001 + number)
            rules = DatagramRules(RATE, clock.seconds, chance)
            protocols.append(started(rules, FakeTransport(host, sendsTo(1 - number))))
        for _ in range(datagrams):
            protocols[0].datagramReceived(b"", ("192.0.2.2", 7002))
        for _ in range(self.STEPS):
            calls = clock.getDelayedCalls()
            if not calls:
                return answers, [protocol.rules for protocol in protocols]
            clock.rightNow = min(call.getTime() for call in calls)
            clock.advance(0)
        self.fail(f"not silent after {self.STEPS} datagrams")

    def _check(self, roundTrip: float, datagrams: int = 1) -> int:
        """Returns how many answers the loop was worth."""
        answers, rules = self._loop(roundTrip / 2, datagrams)
        self.assertEqual([len(times) for times in answers], [each.answered for each in rules])
        self.assertEqual(sum(sum(each.dropped.byReason.values()) for each in rules), datagrams)
        for times in answers:
            for window in (1, 10):
                most = RATE + RATE * window
                for first, last in zip(times, times[most:], strict=False):
                    self.assertGreaterEqual(last - first, window)
        return sum(len(times) for times in answers)

    def test_noTime(self) -> None:
        """Without a round-trip time, the loop ends with the burst."""
        self.assertEqual(self._check(0.0), 2 * RATE)

    def test_loopback(self) -> None:
        """A round trip of 0.1 ms is faster than the rate: the loop ends when the burst is spent."""
        self.assertLess(abs(self._check(0.0001) - 2 * RATE / 0.9), 10)

    def test_broken(self) -> None:
        """Round trips from 5 ms to 5 s are within the rate: the loop ends after ten thousand by chance."""
        for roundTrip in (0.005, 0.5, 5.0):
            answers = self._check(roundTrip)
            self.assertGreater(answers, 2 * MAX_STREAK - 2)
            self.assertLess(answers, 2 * MAX_STREAK + 10 * LOSS)

    def test_manyAtOnce(self) -> None:
        """Twenty datagrams that go round together stay within the rate, and end."""
        for roundTrip in (0.0001, 0.005, 0.5):
            self._check(roundTrip, 20)
