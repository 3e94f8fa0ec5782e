"""From settings to a service: its states, its remains, and its log."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import socket
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

from twisted.application.service import IService, MultiService
from twisted.internet import unix
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.endpoints import TCP4ServerEndpoint, UNIXServerEndpoint
from twisted.internet.error import CannotListenError, ConnectionDone
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import LogEvent, LogLevel, capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from echo_app import __version__
from echo_app.access.checkers import checkerOf, portalFor
from echo_app.access.networks import Access
from echo_app.connections.limits import Limits
from echo_app.connections.refusal import Refusal
from echo_app.proxy.gate import ProxyHeaders
from echo_app.responders.answering import AnsweringProtocol
from echo_app.service.echoservice import EchoService
from echo_app.service.listeners import Listener
from echo_app.service.snapshot import Snapshot
from echo_app.stream.protocol import EchoFactory, EchoProtocol
from echo_app.transport.layer import protocolOf
from echo_app.transport.sockets import CountingUNIXServer, Keepalive
from echo_app.udp.port import DatagramEndpoint
from tests.support.fakes import Transport, opened

LOCALHOST = IPv4Address("TCP", "127.0.0.1", 8080)

# Seconds that a peer in the test's own thread waits for what must be there already.
PATIENCE = 10.0


@implementer(IListeningPort)
class FakePort:
    """A port that listens nowhere.

    :param host: where it says it is.
    :param closing: what ``stopListening`` returns, or raises.
    """

    def __init__(self, host: IAddress = LOCALHOST, closing: object = None) -> None:
        self._host = host
        self._closing = closing
        self.closed = 0

    def startListening(self) -> None:
        """It never does."""

    def stopListening(self) -> Any:
        self.closed += 1
        if isinstance(self._closing, Exception):
            raise self._closing
        return self._closing

    def getHost(self) -> IAddress:
        return self._host


@implementer(IStreamServerEndpoint)
class FakeEndpoint:
    """An endpoint of another project.

    :param result: what ``listen`` returns, or raises; None is a Deferred that the test fires.
    """

    def __init__(self, result: object = None) -> None:
        self.result = result
        self.calls: list[tuple[IProtocolFactory, Deferred[Any]]] = []

    def listen(self, protocolFactory: IProtocolFactory) -> Any:
        deferred: Deferred[Any] = Deferred()
        self.calls.append((protocolFactory, deferred))
        if isinstance(self.result, Exception):
            raise self.result
        return deferred if self.result is None else self.result

    def fire(self, result: object) -> None:
        """Ends the latest call."""
        self.calls[-1][1].callback(result)


class ShoutingProtocol(EchoProtocol):
    """Sends back in capitals."""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data.upper())


class ShoutingFactory(EchoFactory):
    """Makes protocols that send back in capitals."""

    protocol = ShoutingProtocol


def named(events: Iterable[LogEvent], *fields: str) -> list[Any]:
    """Returns, of the events that have all these fields, the fields' values."""
    return [
        tuple(event[field] for field in fields)
        for event in events
        if str(event["log_namespace"]).startswith("echo_app") and all(field in event for field in fields)
    ]


def openFiles() -> set[str]:
    """Returns the names of the files and sockets that this process has open."""
    names = set()
    for number in os.listdir("/proc/self/fd"):
        # The listing's own is closed.
        with contextlib.suppress(FileNotFoundError):
            names.add(os.readlink(f"/proc/self/fd/{number}"))
    return names


def openSockets() -> set[str]:
    """Returns the names of the sockets that this process has open."""
    return {name for name in openFiles() if name.startswith("socket:")}


class MemoryTestCase(SynchronousTestCase):
    """With endpoints, time and transports of memory."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.port = FakePort()
        self.endpoint = FakeEndpoint(succeed(self.port))

    def service(self, *endpoints: Any, **settings: Any) -> EchoService:
        """Returns a service on these endpoints; without any, on ``self.endpoint``, which listens at once."""
        return EchoService(self.reactor, endpoints or (self.endpoint,), **settings)

    def started(self, *endpoints: Any, **settings: Any) -> EchoService:
        """Returns the service, started."""
        service = self.service(*endpoints, **settings)
        service.startService()
        return service

    def connect(self, factory: IProtocolFactory | None = None) -> tuple[Any, StringTransport]:
        """Connects a peer, by default to ``self.endpoint``; returns its protocol and transport."""
        transport = StringTransport()
        protocol: Any = (factory or self.endpoint.calls[-1][0]).buildProtocol(transport.getPeer())
        protocol.makeConnection(transport)
        return protocol, transport

    def leave(self, protocol: Any, stopped: Deferred[None]) -> None:
        """Has the last peer leave, which ends the stop."""
        protocol.connectionLost(Failure(ConnectionDone()))
        self.successResultOf(stopped)


class ListenTests(MemoryTestCase):
    """From closed to listening."""

    def test_interface(self) -> None:
        """A service is an ``IService``."""
        verifyObject(IService, self.service())

    def test_memoryReactor(self) -> None:
        """A service needs only time and its endpoints' part of a reactor."""
        endpoint = TCP4ServerEndpoint(self.reactor, 8080, interface="127.0.0.1")
        service = self.started(endpoint, limits=Limits(drainTimeout=0))
        [(port, factory, _, interface)] = self.reactor.tcpServers
        self.assertEqual((port, interface), (8080, "127.0.0.1"))
        protocol, transport = self.connect(factory)
        protocol.dataReceived(b"x")
        self.assertEqual(transport.value(), b"x")
        stopped = service.stopService()
        self.assertNoResult(stopped)
        self.assertTrue(transport.disconnected)
        self.leave(protocol, stopped)

    def test_nothing(self) -> None:
        """With no endpoint it starts and stops as well."""
        service = EchoService(self.reactor)
        service.startService()
        self.assertEqual(service.getHosts(), [])
        self.successResultOf(service.stopService())

    def test_listenOnce(self) -> None:
        """Every call of listen() succeeds, and the endpoint listens once."""
        service = self.service()
        for _ in range(2):
            self.assertIsNone(self.successResultOf(service.listen()))
        service.privilegedStartService()
        service.startService()
        self.assertEqual(len(self.endpoint.calls), 1)

    def test_concurrent(self) -> None:
        """Calls that come while it is opening wait for the same opening."""
        endpoint = FakeEndpoint()
        service = self.service(endpoint)
        calls = [service.listen(), service.listen()]
        for call in calls:
            self.assertNoResult(call)
        endpoint.fire(self.port)
        for call in calls:
            self.assertIsNone(self.successResultOf(call))
        self.assertEqual(len(endpoint.calls), 1)
        self.assertEqual(service.getHosts(), [LOCALHOST])

    def test_concurrentFailure(self) -> None:
        """All callers of listen() get the same failure; after that, listening can be tried again."""
        endpoint = FakeEndpoint()
        service = self.service(endpoint)
        calls = [service.listen(), service.listen()]
        endpoint.fire(Failure(CannotListenError(None, 1, OSError("taken"))))
        for call in calls:
            self.failureResultOf(call, CannotListenError)
        again = service.listen()
        endpoint.fire(self.port)
        self.successResultOf(again)

    def test_cancel(self) -> None:
        """Cancelling a call changes nothing for the others."""
        endpoint = FakeEndpoint()
        service = self.service(endpoint)
        cancelled, other = service.listen(), service.listen()
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.assertNoResult(other)
        endpoint.fire(self.port)
        self.successResultOf(other)
        self.assertEqual(self.port.closed, 0)

    def test_start(self) -> None:
        """privilegedStartService and startService listen where listen() was not called."""
        for start in (EchoService.privilegedStartService, EchoService.startService):
            endpoint = FakeEndpoint(succeed(self.port))
            service = self.service(endpoint)
            start(service)
            self.assertEqual(len(endpoint.calls), 1)
            self.assertEqual(service.getHosts(), [LOCALHOST])

    def test_order(self) -> None:
        """getHosts() has the bound addresses, in the order of the endpoints, while the service listens."""
        hosts = [IPv4Address("TCP", "127.0.0.1", 1), UNIXAddress(b"x"), IPv6Address("TCP", "::1", 1)]
        service = self.service(*(FakeEndpoint(succeed(FakePort(host))) for host in hosts))
        self.assertEqual(service.getHosts(), [])
        service.startService()
        self.assertEqual(service.getHosts(), hosts)
        self.successResultOf(service.stopService())
        self.assertEqual(service.getHosts(), [])

    def test_factory(self) -> None:
        """The user's factory makes the protocols, which the service counts."""
        factory = ShoutingFactory()
        service = self.started(factory=factory, limits=Limits(maxConnections=1))
        stack, _ = self.endpoint.calls[0]
        protocol, transport = self.connect(stack)
        protocol.dataReceived(b"quiet")
        self.assertEqual(transport.value(), b"QUIET")
        self.assertTrue(self.connect(stack)[1].disconnected)
        self.assertEqual(service.snapshot(), Snapshot(open=1, accepted=1, refused={"max-connections": 1}))

    def test_responder(self) -> None:
        """Without a responder the protocol is the echo's own class; with one it is the responder's."""
        for responder, kind in (("echo", EchoProtocol), ("lines", AnsweringProtocol), (None, EchoProtocol)):
            endpoint = FakeEndpoint(succeed(self.port))
            settings = {} if responder is None else {"responder": responder}
            self.started(endpoint, **settings)
            factory: Any = endpoint.calls[0][0]
            self.assertIs(type(protocolOf(opened(factory))), kind)

    def test_ownResponder(self) -> None:
        """A function answers, is held to its time, and its failures are counted."""
        service = self.started(responder=lambda line: Deferred(), responderTimeout=7)
        protocol, _ = self.connect()
        protocol.dataReceived(b"a\n")
        self.assertEqual(protocol.transport.protocol.pending, 1)
        with capturedLogs():
            protocol.transport.loseWriteConnection = lambda: None
            self.reactor.advance(7)
        self.assertEqual(service.snapshot(), Snapshot(open=1, accepted=1, unanswered={"timeout": 1}))

    def test_unixTransport(self) -> None:
        """A UNIX port counts its bytes; a port whose transport a user chose keeps it."""

        class ChosenServer(unix.Server):
            pass

        for before, after in ((unix.Server, CountingUNIXServer), (ChosenServer, ChosenServer)):
            port: Any = FakePort()
            port.transport = before
            self.started(FakeEndpoint(succeed(port)), direct=False)
            self.assertIs(port.transport, after)


class AccessTests(MemoryTestCase):
    """Access rules, for streams and datagrams."""

    def listening(self, **settings: Any) -> tuple[EchoService, IProtocolFactory]:
        """Returns a service that listens, and the factory that its endpoint has."""
        service = self.service(**settings)
        self.successResultOf(service.listen())
        return service, self.endpoint.calls[0][0]

    def test_denied(self) -> None:
        """A peer that may not come is reset, and counted."""
        service, factory = self.listening(access=Access(deny=["192.0.2.0/24"]))
        self.assertIsInstance(factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 1)), Refusal)
        self.assertNotIsInstance(factory.buildProtocol(IPv4Address("TCP", "192.0.3.1", 1)), Refusal)
        self.assertEqual(service.snapshot().refused, {"denied": 1})

    def test_login(self) -> None:
        """With a portal there is a login before any echo; files of passwords are read again."""
        path: str = self.mktemp()
        Path(path).write_text("alice:secret\n")
        service, factory = self.listening(
            portal=portalFor([checkerOf(f"file:{path}")]), factory=ShoutingFactory()
        )
        Path(path).write_text("bob:x\n")
        service.reload()
        answers = []
        for line in (b"login bob x\n", b"login alice secret\n"):
            transport = Transport()
            transport.protocol = factory.buildProtocol(transport.getPeer())
            transport.protocol.makeConnection(transport)
            transport.protocol.dataReceived(line + b"hello")
            answers.append(transport.value())
        self.assertEqual(answers, [b"ok\nHELLO", b""])
        self.assertEqual(service.snapshot().refused, {"login": 1})

    def test_noLoginForDatagrams(self) -> None:
        """A portal, and datagrams, which have no login, are refused together."""
        endpoint = DatagramEndpoint(cast(Any, self.reactor), 0)
        with self.assertRaisesRegex(ValueError, "datagrams"):
            EchoService(self.reactor, [], [endpoint], portal=portalFor([]))


class FailureTests(MemoryTestCase):
    """A service that can't listen closes the listeners that it has opened, and raises."""

    def test_closes(self) -> None:
        """When one can't be opened, those before it are closed and those after it never opened."""
        error = CannotListenError("127.0.0.1", 1, OSError("taken"))
        last = FakeEndpoint(succeed(FakePort()))
        service = self.service(FakeEndpoint(succeed(self.port)), FakeEndpoint(fail(error)), last)
        self.assertIs(self.failureResultOf(service.listen()).value, error)
        self.assertEqual(self.port.closed, 1)
        self.assertEqual(last.calls, [])
        self.assertEqual(service.getHosts(), [])

    def test_otherExceptions(self) -> None:
        """Any failure or exception of an endpoint, now or later, becomes a CannotListenError."""
        for how in ("raise", "fail", "later"):
            error = OverflowError("port must be 0-65535")
            endpoint = FakeEndpoint(error if how == "raise" else fail(error) if how == "fail" else None)
            listening = self.service(endpoint).listen()
            if how == "later":
                endpoint.fire(Failure(error))
            failed = self.failureResultOf(listening, CannotListenError).value
            self.assertIs(failed.socketError, error)
            self.assertIs(failed.__cause__, error)
            self.assertIn("FakeEndpoint", str(failed.port))

    def test_datagramException(self) -> None:
        """So does what a datagram endpoint raises, which the failure names, also beside streams."""
        for endpoints in ((), (FakeEndpoint(succeed(self.port)),)):
            datagrams: Any = DatagramEndpoint(self.reactor, 70_000)  # type: ignore[arg-type]
            service = EchoService(self.reactor, endpoints, [datagrams])
            failure = self.failureResultOf(service.listen(), CannotListenError)
            self.assertIsInstance(failure.value.socketError, OverflowError)
            self.assertIn("DatagramEndpoint", str(failure.value))
            self.assertEqual(self.port.closed, len(endpoints))

    def test_start(self) -> None:
        """A start raises an immediate failure, and the service does not run."""
        for start in (EchoService.privilegedStartService, EchoService.startService):
            service = self.service(FakeEndpoint(CannotListenError(None, 1, OSError("taken"))))
            self.assertRaises(CannotListenError, start, service)
            self.assertFalse(service.running)
            self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_later(self) -> None:
        """A failure that comes after the start is logged, once, as critical."""
        endpoint = FakeEndpoint()
        service = self.service(endpoint)
        service.privilegedStartService()
        with capturedLogs() as events:
            endpoint.fire(Failure(CannotListenError(None, "here", OSError("taken"))))
        [(level, reason)] = named(events, "log_level", "reason")
        self.assertIs(level, LogLevel.critical)
        self.assertIn("taken", reason)

    def test_laterStop(self) -> None:
        """A service that started, and failed to listen later, leaves nothing behind when it is stopped."""
        endpoint = FakeEndpoint()
        service = self.started(endpoint)
        endpoint.fire(Failure(CannotListenError(None, "here", OSError("taken"))))
        self.successResultOf(service.stopService())
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_multiService(self) -> None:
        """A running parent's setServiceParent raises; the parent can stop as ever."""
        parent = MultiService()
        parent.startService()
        service = self.service(
            FakeEndpoint(succeed(self.port)), FakeEndpoint(CannotListenError(None, 1, OSError("taken")))
        )
        self.assertRaises(CannotListenError, service.setServiceParent, parent)
        self.assertEqual(self.port.closed, 1)
        self.successResultOf(parent.stopService())

    def test_closingFails(self) -> None:
        """A port that can't be closed either is logged, and the others are closed."""
        for closing in (fail(RuntimeError("no")), RuntimeError("no")):
            other = FakePort()
            service = self.service(
                FakeEndpoint(succeed(FakePort(closing=closing))), FakeEndpoint(succeed(other))
            )
            service.startService()
            self.successResultOf(service.stopService())
            self.assertEqual(other.closed, 1)
            self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class StopTests(MemoryTestCase):
    """From running to draining, and closed again."""

    def test_neverStarted(self) -> None:
        """A stop or an abort of a service that was never started is harmless."""
        service = self.service()
        with capturedLogs() as events:
            self.successResultOf(service.stopService())
            service.abort()
        self.assertEqual(self.port.closed, 0)
        self.assertEqual(named(events, "counts"), [])

    def test_signals(self) -> None:
        """A service handles no signal, from its start to its end."""
        before = {number: signal.getsignal(number) for number in signal.valid_signals()}
        service = self.service(FakeEndpoint(succeed(self.port)))
        service.privilegedStartService()
        service.startService()
        self.assertEqual({number: signal.getsignal(number) for number in before}, before)
        self.successResultOf(service.stopService())
        self.assertEqual({number: signal.getsignal(number) for number in before}, before)

    def test_listeningOnly(self) -> None:
        """A stop closes a service that listens but was never started."""
        service = self.service()
        service.listen()
        self.successResultOf(service.stopService())
        self.assertEqual(self.port.closed, 1)

    def test_twice(self) -> None:
        """Two stops at a time are one stop, and both fire; a third finds nothing to do."""
        closing: Deferred[None] = Deferred()
        service = self.started(FakeEndpoint(succeed(FakePort(closing=closing))))
        with capturedLogs() as events:
            stops = [service.stopService(), service.stopService()]
            for stop in stops:
                self.assertNoResult(stop)
            closing.callback(None)
            for stop in stops:
                self.assertIsNone(self.successResultOf(stop))
            self.successResultOf(service.stopService())
        self.assertEqual(len(named(events, "counts")), 1)

    def test_cancel(self) -> None:
        """Cancelling a stop changes nothing: it goes on."""
        service = self.started()
        protocol, transport = self.connect()
        first, second = service.stopService(), service.stopService()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertNoResult(second)
        self.assertFalse(transport.disconnected)
        protocol.connectionLost(Failure(ConnectionDone()))
        self.successResultOf(second)

    def test_whileOpening(self) -> None:
        """A stop that comes during the opening waits for it, and closes the opened listeners."""
        endpoint = FakeEndpoint()
        service = self.service(endpoint)
        opening = service.listen()
        stopped = service.stopService()
        self.assertNoResult(stopped)
        endpoint.fire(self.port)
        self.successResultOf(opening)
        self.successResultOf(stopped)
        self.assertEqual(self.port.closed, 1)
        self.assertEqual(service.getHosts(), [])

    def test_whileOpeningFails(self) -> None:
        """A stop that waits for an opening fires also if the opening fails."""
        endpoint = FakeEndpoint()
        service = self.service(endpoint)
        opening = service.listen()
        stopped = service.stopService()
        endpoint.fire(Failure(CannotListenError(None, "here", OSError("taken"))))
        self.failureResultOf(opening, CannotListenError)
        self.assertIsNone(self.successResultOf(stopped))

    def test_again(self) -> None:
        """A service starts and stops again, any number of times, and the counts add up."""
        service = self.service()
        for times in (1, 2, 3):
            service.startService()
            self.assertEqual(len(self.endpoint.calls), times)
            self.assertEqual(service.getHosts(), [LOCALHOST])
            protocol, _ = self.connect()
            stopped = service.stopService()
            self.leave(protocol, stopped)
            self.assertFalse(service.running)
            self.assertEqual(self.port.closed, times)
            self.assertEqual(service.snapshot(), Snapshot(accepted=times))
            self.assertEqual(self.reactor.getDelayedCalls(), [])
            self.endpoint.result = succeed(self.port)

    def test_startWhileDraining(self) -> None:
        """A service that is started again while it drains listens, and is one running service after that."""
        service = self.started()
        protocol, _ = self.connect()
        stopped = service.stopService()
        self.endpoint.result = succeed(FakePort())
        service.startService()
        self.leave(protocol, stopped)
        self.assertTrue(service.running)
        self.assertEqual(service.getHosts(), [LOCALHOST])
        self.assertEqual(len(self.reactor.getDelayedCalls()), 1)
        self.successResultOf(service.stopService())
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_abortFirst(self) -> None:
        """An abort that comes before the stop is not lost, nor is it kept for the stop after that."""
        service = self.service()
        for aborted in (1, 1):
            service.startService()
            protocol, _ = self.connect()
            if service.snapshot().aborted == 0:
                service.abort()
            stopped = service.stopService()
            self.assertEqual(service.snapshot().aborted, aborted)
            self.leave(protocol, stopped)
            self.endpoint.result = succeed(self.port)

    def test_stopAgainWhileDraining(self) -> None:
        """A service that is started and stopped again while it drains is stopped in the end."""
        service = self.started()
        protocol, _ = self.connect()
        service.stopService()
        second = FakePort()
        self.endpoint.result = succeed(second)
        service.startService()
        stopped = service.stopService()
        self.leave(protocol, stopped)
        self.assertEqual(second.closed, 1)
        self.assertEqual(service.getHosts(), [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stopAgainWhileReopening(self) -> None:
        """A service whose second start does not listen at once is stopped in the end too."""
        service = self.started()
        protocol, _ = self.connect()
        service.stopService()
        self.endpoint.result = None
        service.startService()
        stopped = service.stopService()
        protocol.connectionLost(Failure(ConnectionDone()))
        second = FakePort()
        self.endpoint.fire(second)
        self.successResultOf(stopped)
        self.assertEqual(second.closed, 1)
        self.assertEqual(service.getHosts(), [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_sweep(self) -> None:
        """While it runs it looks at its connections once a second; afterwards no timer is left."""
        service = self.service(limits=Limits(idleTimeout=10))
        service.listen()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        service.startService()
        for _ in range(3):
            self.assertEqual(len(self.reactor.getDelayedCalls()), 1)
            self.reactor.advance(1)
        self.successResultOf(service.stopService())
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_refusalsLogged(self) -> None:
        """Refused peers are logged once a minute, of the reactor's time, for any number of them."""
        self.started(limits=Limits(maxConnections=1))
        lines = []
        self.connect()
        for seconds in (1, 58, 1):
            with capturedLogs() as events:
                for _ in range(3):
                    self.connect()
            lines.append(len(named(events, "what")))
            self.reactor.pump([1] * seconds)
        with capturedLogs() as events:
            self.connect()
        self.assertEqual([*lines, len(named(events, "what"))], [1, 0, 0, 1])

    def test_logged(self) -> None:
        """The counts are logged at the stop, as a field."""
        service = self.service(limits=Limits(maxConnections=1))
        with capturedLogs() as events:
            service.startService()
            protocol, _ = self.connect()
            self.connect()
            protocol.connectionLost(Failure(ValueError("ours")))
            service.stopService()
        expected = Snapshot(accepted=1, refused={"max-connections": 1}, lost=1)
        self.assertEqual(named(events, "counts", "sums")[0][0], expected)
        self.assertIn("1 connections (1 refused, 0 timed out,", expected.summary(hasTLS=False))
        self.assertEqual(named(events, "version"), [(__version__,)])


class ListenerLogTests(MemoryTestCase):
    def _logged(self, host: IAddress) -> Any:
        service = self.service(FakeEndpoint(succeed(FakePort(host))))
        with capturedLogs() as events:
            service.startService()
        [found] = named(events, "address", "transport", "everywhere", "log_level")
        return found

    def test_listener(self) -> None:
        """Each listener is logged once, with its address and transport."""
        for host, address, transport in (
            (LOCALHOST, "127.0.0.1:8080", "tcp"),
            (IPv6Address("TCP", "::1", 8080), "[::1]:8080", "tcp"),
            (IPv4Address("UDP", "127.0.0.1", 7), "127.0.0.1:7", "udp"),
            (UNIXAddress(b"/run/echo"), "/run/echo", "unix"),
        ):
            self.assertEqual(self._logged(host), (address, transport, "", LogLevel.info))

    def test_pending(self) -> None:
        """A gate counts its connections with the service's."""
        endpoint = FakeEndpoint(succeed(FakePort()))
        listener = Listener(endpoint, proxy=ProxyHeaders(self.reactor, ["192.168.1.1"]))
        service = self.started(listener, limits=Limits(maxConnections=1))
        stack, _ = endpoint.calls[0]
        _, transport = self.connect(stack)
        self.assertEqual(service.snapshot().open, 1)
        self.assertIsInstance(stack.buildProtocol(transport.getPeer()), Refusal)

    def test_header(self) -> None:
        """A listener whose connections begin with a header is logged as such."""
        proxied = Listener(FakeEndpoint(succeed(FakePort())), proxy=ProxyHeaders(self.reactor))
        with capturedLogs() as events:
            self.started(proxied, FakeEndpoint(succeed(self.port)))
        self.assertEqual(
            named(events, "address", "header"),
            [("127.0.0.1:8080", ", PROXY protocol"), ("127.0.0.1:8080", "")],
        )

    def test_wildcard(self) -> None:
        """A listener that every interface reaches is logged as such."""
        for host in (
            IPv4Address("TCP", "0.0.0.0", 7),
            IPv6Address("TCP", "::", 7),
            IPv4Address("UDP", "0.0.0.0", 7),
        ):
            self.assertIn("every interface", self._logged(host)[2], host)

    def test_failed(self) -> None:
        """Nothing is logged as listening when not everything does."""
        service = self.service(
            FakeEndpoint(succeed(self.port)), FakeEndpoint(CannotListenError(None, 1, OSError("taken")))
        )
        with capturedLogs() as events:
            self.failureResultOf(service.listen())
        self.assertEqual(named(events, "address"), [])


def full(*_: object) -> None:
    """Fails as on a full disk."""
    raise OSError(errno.ENOSPC, "No space left on device")


class ReadyFileTests(MemoryTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.path = Path(self.mktemp())
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def test_written(self) -> None:
        """The file has a line for each listener, in their order, and every user may read it."""
        hosts = [LOCALHOST, IPv6Address("TCP", "::1", 7), UNIXAddress(b"/run/echo")]
        service = self.service(
            *(FakeEndpoint(succeed(FakePort(host))) for host in hosts), readyFile=str(self.path)
        )
        service.listen()
        self.assertFalse(self.path.exists())
        service.startService()
        self.reactor.advance(0)
        self.assertEqual(self.path.read_text(), "tcp 127.0.0.1:8080\ntcp [::1]:7\nunix /run/echo\n")
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o644)
        self.assertEqual(os.listdir(self.path.parent), [self.path.name])

    def test_removed(self) -> None:
        """The file is gone from the beginning of a stop on, and there again after the next start."""
        service = self.started(readyFile=str(self.path))
        self.reactor.advance(0)
        protocol, _ = self.connect()
        stopped = service.stopService()
        self.assertNoResult(stopped)
        self.assertFalse(self.path.exists())
        self.leave(protocol, stopped)
        self.endpoint.result = succeed(self.port)
        service.startService()
        self.reactor.advance(0)
        self.assertTrue(self.path.exists())

    def test_privileged(self) -> None:
        """It is written before privileges are shed."""
        service = self.service(readyFile=str(self.path))
        service.privilegedStartService()
        self.assertTrue(self.path.exists())

    def test_failure(self) -> None:
        """Where it can't be written, the start fails, and what was opened is closed."""
        real = fcntl.flock
        self.patch(fcntl, "flock", full)
        service = self.service(FakeEndpoint(succeed(self.port)), readyFile=str(self.path))
        self.failureResultOf(service.listen(), CannotListenError)
        self.patch(fcntl, "flock", real)
        self.successResultOf(service.listen())
        self.patch(fcntl, "flock", full)
        self.assertRaises(CannotListenError, service.startService)
        self.assertEqual((self.port.closed, service.running), (1, False))
        self.assertEqual(os.listdir(self.path.parent), [])

    def test_removedByHand(self) -> None:
        """A stop does not mind that the file is gone already."""
        service = self.started(readyFile=str(self.path))
        self.reactor.advance(0)
        self.path.unlink()
        self.successResultOf(service.stopService())

    def test_stale(self) -> None:
        """The file of a killed service is gone before a port listens."""
        self.path.write_text("tcp 127.0.0.1:1\n")
        endpoint = FakeEndpoint()
        service = self.service(endpoint, readyFile=str(self.path))
        service.listen()
        self.assertFalse(self.path.exists())

    def test_late(self) -> None:
        """With an endpoint that listens later, the file is written later: it never lacks a line."""
        endpoint = FakeEndpoint()
        self.started(FakeEndpoint(succeed(self.port)), endpoint, readyFile=str(self.path))
        self.reactor.advance(0)
        self.assertFalse(self.path.exists())
        endpoint.fire(FakePort(UNIXAddress(b"/run/echo")))
        self.reactor.advance(0)
        self.assertEqual(self.path.read_text(), "tcp 127.0.0.1:8080\nunix /run/echo\n")

    def test_neverReady(self) -> None:
        """With an endpoint that fails later, the file is never written."""
        endpoint = FakeEndpoint()
        self.started(endpoint, readyFile=str(self.path))
        self.reactor.advance(0)
        endpoint.fire(Failure(CannotListenError(None, "here", OSError("taken"))))
        self.reactor.advance(0)
        self.assertFalse(self.path.exists())

    def test_relative(self) -> None:
        """A name without a folder is in the current one."""
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.path.parent)
        self.started(readyFile="ready")
        self.reactor.advance(0)
        self.assertEqual(os.listdir("."), ["ready"])


class LoopbackTests(TestCase):
    """On the reactor's own ports; time is the test's own where the test advances it."""

    timeout = 30

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.clock = Clock()

    async def turn(self) -> None:
        """Lets the reactor have a turn."""
        await deferLater(self.reactor, 0)
        await deferLater(self.reactor, 0)

    def serve(self, *endpoints: Any, clock: Any = None, **settings: Any) -> EchoService:
        """Starts a service, on a free port unless told otherwise; it is stopped at the test's end."""
        found = endpoints or (self.endpoint(),)
        service = EchoService(clock or self.clock, found, **settings)

        def stop() -> Deferred[None]:
            stopped = service.stopService()
            service.abort()
            return stopped

        self.addCleanup(stop)
        service.startService()
        return service

    def endpoint(self, port: int = 0) -> TCP4ServerEndpoint:
        return TCP4ServerEndpoint(self.reactor, port, interface="127.0.0.1")

    def takenPort(self) -> int:
        """Returns a port that somebody listens on."""
        sock = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(sock.close)
        return int(sock.getsockname()[1])

    def connect(self, service: EchoService, index: int = 0) -> socket.socket:
        """Connects; the service sees it in the reactor's next turn."""
        host: Any = service.getHosts()[index]
        isUNIX = isinstance(host, UNIXAddress)
        sock = socket.socket(socket.AF_UNIX if isUNIX else socket.AF_INET)
        self.addCleanup(sock.close)
        sock.settimeout(PATIENCE)
        sock.connect(host.name if isUNIX else (host.host, host.port))
        return sock

    async def until(self, condition: Callable[[], object]) -> None:
        """Lets the reactor have turns until something is so."""
        for _ in range(3000):
            if condition():
                return
            await deferLater(self.reactor, 0.005)
        self.fail("it never was so")

    async def receive(self, sock: socket.socket, size: int = 1 << 30) -> bytes:
        """Returns what comes, up to so many bytes or the end of the stream."""
        sock.setblocking(False)
        received = bytearray()
        isAtEnd = False

        def look() -> bool:
            nonlocal isAtEnd
            try:
                chunk = sock.recv(min(65536, size - len(received)))
            except BlockingIOError:
                return False
            received.extend(chunk)
            isAtEnd = not chunk
            return isAtEnd or len(received) >= size

        await self.until(look)
        return bytes(received)

    async def test_again(self) -> None:
        """A service on a free port serves, stops, and serves again."""
        service = self.serve(clock=self.reactor)
        for _ in range(2):
            peer = self.connect(service)
            peer.sendall(b"x")
            peer.shutdown(socket.SHUT_WR)
            self.assertEqual(await self.receive(peer), b"x")
            [host] = service.getHosts()
            assert isinstance(host, IPv4Address)
            await service.stopService()
            with self.assertRaises(ConnectionRefusedError):
                socket.create_connection((host.host, host.port), PATIENCE)
            self.assertEqual(self.reactor.getDelayedCalls(), self._ownCalls())
            service.startService()
        self.assertEqual(service.snapshot(), Snapshot(accepted=2))

    def _ownCalls(self) -> list[Any]:
        """Returns the delayed calls that are the test runner's: this test's time-out."""
        return [call for call in self.reactor.getDelayedCalls() if "echo_app" not in call.func.__module__]

    async def test_taken(self) -> None:
        """When a port is taken, no port, descriptor, socket file or access log of the others stays."""
        await self.turn()
        path, accessLog = self.mktemp(), os.path.abspath(self.mktemp())
        taken = self.takenPort()
        before = openSockets()
        datagrams = [DatagramEndpoint(self.reactor, 0)]
        for parent in (None, MultiService()):
            service = EchoService(
                self.clock,
                [self.endpoint(), UNIXServerEndpoint(self.reactor, path), self.endpoint(taken)],
                datagrams,
                accessLog=accessLog,
            )
            if parent is None:
                with self.assertRaises(CannotListenError):
                    service.startService()
            else:
                parent.startService()
                with self.assertRaises(CannotListenError):
                    service.setServiceParent(parent)
            self.assertEqual(service.getHosts(), [])
            self.assertFalse(service.running)
            await self.turn()
            self.assertEqual(openSockets(), before)
            self.assertFalse(os.path.exists(path))
            self.assertNotIn(accessLog, openFiles())
            self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_takenDatagramPort(self) -> None:
        """A UDP port that is taken is a CannotListenError."""
        taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(taken.close)
        taken.bind(("127.0.0.1", 0))
        await self.turn()
        before = openSockets()
        service = EchoService(
            self.clock,
            [self.endpoint()],
            [DatagramEndpoint(self.reactor, 0), DatagramEndpoint(self.reactor, taken.getsockname()[1])],
        )
        failed = None
        try:
            await service.listen()
        except CannotListenError as error:
            failed = error
        assert failed is not None
        self.assertEqual((failed.interface, failed.port), ("127.0.0.1", taken.getsockname()[1]))
        await self.turn()
        self.assertEqual(openSockets(), before)

    async def test_takenPath(self) -> None:
        """A UNIX socket's path that is taken is a CannotListenError, also while the error is kept."""
        path = self.mktemp()
        live = socket.socket(socket.AF_UNIX)
        self.addCleanup(live.close)
        live.bind(path)
        live.listen()
        await self.turn()
        before = openSockets()
        service = EchoService(self.clock, [self.endpoint(), UNIXServerEndpoint(self.reactor, path)])
        failures: list[Failure] = []
        await service.listen().addErrback(failures.append)
        self.assertIsInstance(failures[0].value, CannotListenError)
        await self.turn()
        self.assertEqual(openSockets(), before)
        # Twisted forgets the socket that it could not bind: Python closes it, and says so.
        self.flushWarnings()

    async def test_options(self) -> None:
        """Connections have the options that are set on a TCP listener."""
        transports: list[Any] = []

        class NotingFactory(EchoFactory):
            class protocol(EchoProtocol):
                def connectionMade(self) -> None:
                    super().connectionMade()
                    transports.append(self.transport)

        for keepalive, expected in ((Keepalive(11, 12, 13), (1, 11, 12, 13)), (None, (0,))):
            transports.clear()
            self.connect(self.serve(keepalive=keepalive, factory=NotingFactory()))
            await self.until(lambda: transports)
            sock = transports[0].getHandle()
            self.assertEqual(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), 1)
            found = [sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)] + [
                sock.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            ]
            self.assertEqual(tuple(found[: len(expected)]), expected)

    async def test_queuedAtStop(self) -> None:
        """Connections that the kernel holds when the stop comes are accepted, and served."""
        path = self.mktemp()
        service = self.serve(self.endpoint(), UNIXServerEndpoint(self.reactor, path), clock=self.reactor)
        peers = [self.connect(service, index) for index in (0, 1) for _ in range(10)]
        for number, peer in enumerate(peers):
            peer.sendall(b"%d" % number)
            peer.shutdown(socket.SHUT_WR)
        self.assertEqual(service.snapshot().accepted, 0)
        await service.stopService()
        for number, peer in enumerate(peers):
            self.assertEqual(await self.receive(peer), b"%d" % number)
        self.assertEqual(service.snapshot(), Snapshot(accepted=20))

    async def test_queuedDatagramAtStop(self) -> None:
        """A datagram that the kernel holds when the stop comes is answered."""
        service = self.serve(datagramEndpoints=[DatagramEndpoint(self.reactor, 0)])
        host: Any = service.getHosts()[1]
        peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(peer.close)
        peer.settimeout(PATIENCE)
        peer.sendto(b"x", (host.host, host.port))
        await service.stopService()
        self.assertEqual(peer.recv(10), b"x")
        self.assertEqual(service.snapshot(), Snapshot(answered=1))

    async def test_abort(self) -> None:
        """abort() resets the connections that a stop waits for; before a stop it does nothing."""
        service = self.serve(limits=Limits(drainTimeout=1e6))
        peer = self.connect(service)
        await self.until(lambda: service.snapshot().open == 1)
        service.abort()
        peer.sendall(b"x")
        self.assertEqual(await self.receive(peer, 1), b"x")
        stopped = service.stopService()
        self.assertNoResult(stopped)
        service.abort()
        service.abort()
        await stopped
        service.abort()
        self.assertRaises(ConnectionResetError, peer.recv, 1)
        self.assertEqual(service.snapshot(), Snapshot(accepted=1, aborted=1))

    async def test_drainTimeout(self) -> None:
        """When the drain time-out is over, a busy connection is reset and counted."""
        service = self.serve(limits=Limits(drainTimeout=3))
        peer = self.connect(service)
        await self.until(lambda: service.snapshot().open == 1)
        stopped = service.stopService()
        for _ in range(14):
            peer.sendall(b"x")
            self.assertEqual(await self.receive(peer, 1), b"x")
            self.clock.advance(0.2)
            self.assertNoResult(stopped)
        self.clock.pump([0.2, 0.1])
        await stopped
        self.assertEqual(service.snapshot(), Snapshot(accepted=1, aborted=1))

    async def test_descriptorLimit(self) -> None:
        """A service that is told of a descriptor limit refuses peers that come near it."""
        service = self.serve(descriptorLimit=16)
        peer = self.connect(service)
        await self.until(lambda: service.snapshot().refused)
        self.assertRaises(ConnectionResetError, peer.recv, 1)
        self.assertEqual(service.snapshot(), Snapshot(refused={"descriptors": 1}))

    async def _logged(self, service: EchoService, peer: Callable[[], socket.socket]) -> list[Any]:
        """Returns what is logged of one connection with a peer that resets nothing."""
        with capturedLogs() as events:
            sock = peer()
            sock.shutdown(socket.SHUT_WR)
            self.assertEqual(await self.receive(sock), b"")
            await self.until(lambda: service.snapshot().accepted == 1 and not service.snapshot().open)
        return named(events, "peer", "log_level")

    async def test_logConnections(self) -> None:
        """Beginning and end are logged at debug level, with the peer as a field, if that is asked for."""
        names: list[str] = []
        for logConnections in (True, False):
            service = self.serve(logConnections=logConnections)

            def connect(service: EchoService = service) -> socket.socket:
                sock = self.connect(service)
                names[:] = ["{}:{}".format(*sock.getsockname())]
                return sock

            logged = await self._logged(service, connect)
            self.assertEqual(logged, [(names[0], LogLevel.debug)] * 2 * logConnections)

    async def test_logUNIXPeer(self) -> None:
        """Control characters in a UNIX peer's own name are escaped."""
        service = self.serve(UNIXServerEndpoint(self.reactor, self.mktemp()), logConnections=True)
        [host] = service.getHosts()
        assert isinstance(host, UNIXAddress)
        folder = os.path.dirname(self.mktemp())
        name = "a\nb\x1b[31mc\u2028d\0"[:-1]

        def connect() -> socket.socket:
            sock = socket.socket(socket.AF_UNIX)
            self.addCleanup(sock.close)
            path = os.path.join(folder, name)
            sock.bind(path)
            self.addCleanup(os.unlink, path)
            sock.connect(host.name or b"")
            return sock

        logged = await self._logged(service, connect)
        self.assertEqual(logged, [(os.path.join(folder, r"a\nb\x1b[31mc\u2028d"), LogLevel.debug)] * 2)

    async def test_logUnnamedUNIXPeer(self) -> None:
        """A UNIX peer without a name is called so."""
        service = self.serve(UNIXServerEndpoint(self.reactor, self.mktemp()), logConnections=True)
        logged = await self._logged(service, lambda: self.connect(service))
        self.assertEqual(logged, [("unnamed", LogLevel.debug)] * 2)
