"""Streams wait within bounds, and names are resolved within bounds."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.net.addresses import addressesOf
from echo_app.probe.net.errors import ErrorKind, Reason
from echo_app.probe.net.stream import Stream
from echo_app.probe.net.wire import Wire


class FakeWire:
    """A connection that does as a test says."""

    sock = None

    def __init__(self) -> None:
        self.end: Reason | None = None
        self.isCut = False
        self.unsent = 0
        self.done: list[object] = []
        self._reading: Deferred[bytes] | None = None
        self._draining: Deferred[None] | None = None

    def read(self, size: int = 0) -> Deferred[bytes]:
        self.done.append(("read", size))
        self._reading = Deferred()
        return self._reading

    def write(self, data: bytes, last: bool = False) -> None:
        self.done.append(("write", data, last))

    def drained(self) -> Deferred[None]:
        self._draining = Deferred()
        return self._draining

    def abort(self) -> Deferred[None]:
        self.done.append("abort")
        return succeed(None)

    def come(self, data: bytes, end: Reason | None = None) -> None:
        """Answers whoever reads."""
        self.end = end
        assert self._reading is not None
        self._reading.callback(data)

    def take(self, left: int = 0) -> None:
        """The kernel takes the waiting bytes, up to a number."""
        self.unsent = left
        if not left:
            assert self._draining is not None
            self._draining.callback(None)


class StreamTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.wire = FakeWire()
        self.stream = Stream(self.clock, cast(Wire, self.wire))

    def start(self, coroutine: Any) -> Deferred[Any]:
        return Deferred.fromCoroutine(coroutine)

    def test_receive(self) -> None:
        """As many bytes as asked for, in as many reads as they take, and not one more is read."""
        result = self.start(self.stream.receive(5))
        self.wire.come(b"abc")
        self.wire.come(b"de")
        self.assertEqual(self.successResultOf(result), b"abcde")
        self.assertEqual(self.wire.done, [("read", 5), ("read", 2)])

    def test_silence(self) -> None:
        """A read ends after some silent seconds, without an end; each byte begins them anew."""
        result = self.start(self.stream.receive(5, timeout=10))
        self.clock.pump([1] * 9)
        self.wire.come(b"abc")
        self.clock.pump([1] * 9)
        self.assertNoResult(result)
        self.clock.advance(1)
        self.assertEqual((self.successResultOf(result), self.stream.end), (b"abc", None))

    def test_end(self) -> None:
        """A read at the end returns the bytes and the kind of end."""
        result = self.start(self.stream.receiveAll())
        self.wire.come(b"abc")
        self.wire.come(b"", Reason(ErrorKind.RESET))
        self.assertEqual((self.successResultOf(result), self.stream.end), (b"abc", Reason(ErrorKind.RESET)))

    def test_limit(self) -> None:
        """An endless stream is read to a limit."""
        result = self.start(self.stream.receiveAll(limit=5))
        self.wire.come(b"abc")
        self.wire.come(b"abc")
        self.assertEqual(self.successResultOf(result), b"abcabc")

    def test_drained(self) -> None:
        """Everything taken is good, also when there was nothing to take."""
        self.assertTrue(self.successResultOf(self.start(self.stream.drain())))
        self.wire.unsent = 10
        result = self.start(self.stream.drain())
        self.wire.take()
        self.assertTrue(self.successResultOf(result))

    def test_stalled(self) -> None:
        """A kernel that takes nothing for some seconds pushes back; one that takes a little does not."""
        self.wire.unsent = 10
        result = self.start(self.stream.drain(timeout=10))
        self.clock.pump([1] * 5)
        self.wire.take(left=9)
        self.clock.pump([1] * 5)
        self.assertNoResult(result)
        self.clock.pump([1] * 10)
        self.assertFalse(self.successResultOf(result))

    def test_cut(self) -> None:
        """A stream that can't send any more takes no data."""
        self.wire.isCut = True
        self.assertFalse(self.successResultOf(self.start(self.stream.drain())))

    def test_halfClose(self) -> None:
        """The last bytes and the end go together."""
        self.stream.write(b"a")
        self.stream.halfClose(b"b")
        self.assertEqual(self.wire.done, [("write", b"a", False), ("write", b"b", True)])

    def test_left(self) -> None:
        """A stream that is used as a context manager is reset, also after an exception."""

        async def use() -> None:
            async with self.stream:
                raise ZeroDivisionError

        self.failureResultOf(self.start(use()), ZeroDivisionError)
        self.assertEqual(self.wire.done, ["abort"])


class FakeResolving(Clock):
    """A reactor whose names resolve to what a test says, or to nothing for ever."""

    def __init__(self, *found: IPv4Address | IPv6Address, ends: bool = True) -> None:
        super().__init__()
        self._found, self._ends = found, ends
        self.nameResolver = self

    def resolveHostName(self, receiver: Any, *arguments: object) -> None:
        receiver.resolutionBegan(None)
        for each in self._found:
            receiver.addressResolved(each)
        if self._ends:
            receiver.resolutionComplete()


class AddressTests(SynchronousTestCase):
    OLD, NEW = IPv4Address("TCP", "192.0.2.1", 7), IPv6Address("TCP", "2001:db8::1", 7)

    def addresses(self, reactor: FakeResolving, host: str = "lb.example") -> Deferred[list[str]]:
        return Deferred.fromCoroutine(addressesOf(reactor, host, 10))

    def test_order(self) -> None:
        """Each address once, in the resolver's order."""
        found = self.addresses(FakeResolving(self.NEW, self.OLD, self.NEW))
        self.assertEqual(self.successResultOf(found), ["2001:db8::1", "192.0.2.1"])

    def test_literal(self) -> None:
        """An address is not asked for."""
        self.assertEqual(self.successResultOf(self.addresses(FakeResolving(), "::1")), ["::1"])

    def test_unknown(self) -> None:
        """An unknown name has no address."""
        self.assertEqual(self.successResultOf(self.addresses(FakeResolving())), [])

    def test_tooLate(self) -> None:
        """A resolver that does not answer is waited for only so long; its late answer is ignored."""
        reactor = FakeResolving(self.OLD, ends=False)
        found = self.addresses(reactor)
        reactor.pump([1] * 10)
        self.assertEqual(self.successResultOf(found), [])
