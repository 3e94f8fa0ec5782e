"""Counts of connections, and their limits."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from echo_app.access.networks import Access
from echo_app.connections.connection import Connection
from echo_app.connections.limits import Limits
from echo_app.connections.refusal import Refusal
from echo_app.connections.registry import ConnectionRegistry, ReasonCounter
from echo_app.interfaces import IStreamTransport
from tests.support.fakes import FakeConnection


class ReasonCounterTests(SynchronousTestCase):
    def test_oneLineAMinute(self) -> None:
        """The first event is logged at once, the next ones as a sum, once a minute at most."""
        clock = Clock()
        counter = ReasonCounter("refused peers", clock.seconds)
        with capturedLogs() as events:
            for _ in range(600):
                counter.add("descriptors")
                counter.add("max-connections")
                clock.advance(0.2)
        self.assertEqual(
            [event["counts"] for event in events],
            ["1 descriptors", "301 descriptors, 300 max-connections"],
        )
        self.assertEqual(counter.byReason, {"descriptors": 600, "max-connections": 600})

    def test_detail(self) -> None:
        """A line has the detail of its last event, escaped."""
        clock = Clock()
        counter = ReasonCounter("refused peers", clock.seconds)
        with capturedLogs() as events:
            counter.add("x", "a\x1bb")
            clock.advance(60)
            counter.add("y")
        self.assertEqual([event["last"] for event in events], [" (the last one: a\\x1bb)", ""])

    def test_nothing(self) -> None:
        """A counter without events reads as 0."""
        self.assertEqual(str(ReasonCounter("x")), "0")


class ConnectionRegistryTests(SynchronousTestCase):
    def counts(self, descriptorLimit: int | None = None, **limits: Any) -> ConnectionRegistry:
        """Returns counts that are held to these limits."""
        return ConnectionRegistry(Limits(**limits), Clock().seconds, descriptorLimit=descriptorLimit)

    def test_cap(self) -> None:
        """Over the cap a peer is refused, and counted as such; an end makes room."""
        counts = self.counts(maxConnections=2)
        first, _ = (FakeConnection(counts).open() for _ in range(2))
        address = first.getPeer()
        self.assertIsInstance(counts.admit(address), Refusal)
        self.assertEqual(counts.refused.byReason, {"max-connections": 1})
        first.end()
        self.assertIsInstance(counts.admit(address), Connection)
        self.assertEqual((len(counts.open), counts.accepted), (1, 2))

    def test_capByPeer(self) -> None:
        """Peers are counted by IPv4 address, mapped or not, and by IPv6 /64; UNIX peers are not."""
        counts = self.counts(maxConnectionsPerPeer=1)
        four = FakeConnection(counts, "192.0.2.1").open()
        FakeConnection(counts, "2001:db8::1").open()
        for host, admitted in (
            (IPv4Address("TCP", "192.0.2.1", 1), False),
            (IPv6Address("TCP", "::ffff:192.0.2.1", 1), False),
            (IPv4Address("TCP", "192.0.2.2", 1), True),
            (IPv6Address("TCP", "2001:db8::2", 1), False),
            (IPv6Address("TCP", "2001:db8:0:1::1", 1), True),
            (UNIXAddress(b"/x"), True),
        ):
            self.assertEqual(isinstance(counts.admit(host), Connection), admitted, host)
        self.assertEqual(counts.refused.byReason, {"max-connections-per-peer": 3})
        four.end()
        self.assertIsInstance(counts.admit(four.getPeer()), Connection)
        self.assertEqual(list(counts.perPeer), ["2001:db8::/64"])

    def test_oneOfTwo(self) -> None:
        """When one of a peer's two connections ends, the other one still counts."""
        counts = self.counts(maxConnectionsPerPeer=2)
        first, second = (FakeConnection(counts, "192.0.2.1").open() for _ in range(2))
        first.end()
        self.assertEqual(counts.perPeer, {"192.0.2.1": 1})
        second.end()
        self.assertEqual(counts.perPeer, {})

    def test_descriptors(self) -> None:
        """A connection whose descriptor is one of the last sixteen is refused."""
        counts = self.counts(descriptorLimit=64)
        for fileno, served in ((47, True), (48, False)):
            connection = FakeConnection(counts)
            connection.fileno = lambda fileno=fileno: fileno  # type: ignore[attr-defined]
            before = len(counts.open)
            connection.open()
            self.assertEqual(len(counts.open) > before, served)
        self.assertEqual(counts.refused.byReason, {"descriptors": 1})
        self.assertEqual((len(counts.open), counts.accepted), (1, 1))

    def test_lost(self) -> None:
        """An end with an error is counted as lost, unless the error is of our making."""
        counts = self.counts()
        for why in (ConnectionDone, ConnectionAborted, ConnectionLost):
            FakeConnection(counts).open().end(why)
        self.assertEqual((counts.accepted, counts.lost, counts.open), (3, 1, {}))

    def test_whenEmpty(self) -> None:
        """A waiter is told of the last connection's end; a late waiter is told at once."""
        counts = self.counts()
        first, second = (FakeConnection(counts).open() for _ in range(2))
        waiting = [counts.whenEmpty(), counts.whenEmpty()]
        first.end()
        self.assertNoResult(waiting[0])
        second.end()
        for each in (*waiting, counts.whenEmpty()):
            self.successResultOf(each)

    def test_log(self) -> None:
        """A connection's beginning and end are logged if that was asked for, the peer as a field."""
        counts = ConnectionRegistry(Limits(), Clock().seconds, logConnections=True)
        with capturedLogs() as events:
            FakeConnection(counts).open().end()
            FakeConnection(self.counts()).open().end()
        self.assertEqual([event["log_level"] for event in events], [LogLevel.debug] * 2)
        self.assertEqual({event["peer"] for event in events}, {"192.0.2.1:4242"})
        self.assertIn("cleanly", events[1]["reason"])


class AccessTests(SynchronousTestCase):
    def test_denied(self) -> None:
        """A peer that may not come is refused before any cap, with its address in the log."""
        access = Access(deny=["192.0.2.0/24"])
        counts = ConnectionRegistry(Limits(maxConnections=1), access=access)
        FakeConnection(counts, "198.51.100.1").open()
        with capturedLogs() as events:
            self.assertIsInstance(counts.admit(IPv6Address("TCP", "::ffff:192.0.2.1", 1)), Refusal)
        self.assertEqual(counts.refused.byReason, {"denied": 1})
        self.assertEqual([event["last"] for event in events], [" (the last one: 192.0.2.1:1)"])

    def test_unknown(self) -> None:
        """A connection whose peer is not known yet is judged, and numbered, when the peer is known."""
        counts = ConnectionRegistry(Limits(maxConnections=1), access=Access(allow=["192.0.2.1"]))
        connection = counts.expect()
        assert isinstance(connection, Connection)
        connection.begin(cast(IStreamTransport, FakeConnection(counts)))
        self.assertIsInstance(counts.expect(), Refusal)
        self.assertIsInstance(connection.admit(IPv4Address("TCP", "192.0.2.2", 1)), Refusal)
        self.assertEqual(connection.number, 0)
        self.assertIsNone(connection.admit(IPv4Address("TCP", "192.0.2.1", 1)))
        self.assertEqual(connection.number, 1)

    def test_user(self) -> None:
        """A login is logged together with connections, with the user's name escaped."""
        for isAsked in (False, True):
            counts = ConnectionRegistry(Limits(), logConnections=isAsked)
            with capturedLogs() as events:
                FakeConnection(counts).open()
                next(iter(counts.open)).loggedIn("a\x1bb")
            users = [event["user"] for event in events if "user" in event]
            self.assertEqual(users, ["a\\x1bb"] if isAsked else [])
