"""What is typed, and the service that comes of it."""

from __future__ import annotations

import os
import resource
import signal
import socket
import threading
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from twisted.application.service import IServiceMaker
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.selectreactor import SelectReactor
from twisted.internet.task import deferLater
from twisted.internet.testing import MemoryReactorClock
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase, TestCase

from echo_app import __version__, process, tap
from echo_app.limits import Keepalive, Limits
from echo_app.protocol import EchoFactory
from echo_app.proxy.gate import ProxyGate, ProxyGateFactory
from echo_app.service import EchoService
from echo_app.tap import Options, makeService
from tests.test_service import FakePort
from twisted import plugins


def parsed(*arguments: str) -> Options:
    """Returns the options of a command line."""
    options = Options()
    options.parseOptions(list(arguments))
    return options


class OptionsTests(SynchronousTestCase):
    def refusal(self, *arguments: str) -> str:
        """Returns the one line that a wrong command line ends with."""
        error = self.assertRaises(SystemExit, parsed, *arguments)
        self.assertRegex(str(error.code), r"\Aecho: .*\Z")
        return str(error.code)

    def test_defaults(self) -> None:
        """Without arguments: 127.0.0.1:8080, no UDP, no caps, and time-outs that are safe."""
        options = parsed()
        self.assertEqual(
            {name: options[name] for name in ("ports", "interfaces", "endpoints", "udp-ports")},
            {"ports": [8080], "interfaces": ["127.0.0.1"], "endpoints": [], "udp-ports": []},
        )
        self.assertEqual((options["idle-timeout"], options["stall-timeout"]), (0, 300))
        self.assertEqual((options["drain-timeout"], options["udp-rate"]), (5, 1000))
        self.assertEqual(str(options["keepalive"]), "60,10,6")

    def test_repeatable(self) -> None:
        """Listeners can be asked for more than once, and by their short names."""
        options = parsed(
            *("-p", "0", "--port", "65535", "-u", "1", "--udp", "2"),
            *("-i", "::1", "--interface", "192.0.2.1", "-l", "tcp:1", "--listen", "unix:x"),
        )
        self.assertEqual(options["ports"], [0, 65535])
        self.assertEqual(options["udp-ports"], [1, 2])
        self.assertEqual(options["interfaces"], ["::1", "192.0.2.1"])
        self.assertEqual(options["endpoints"], ["tcp:1", "unix:x"])

    def test_nothingElseAskedFor(self) -> None:
        """8080 is there only when no other listener was asked for."""
        for arguments in (["--udp", "1"], ["--listen", "tcp:1"]):
            self.assertEqual(parsed(*arguments)["ports"], [])
        self.assertEqual(parsed("--interface", "::1")["ports"], [8080])

    def test_interfaceWithoutUse(self) -> None:
        """--interface without anything that it applies to is an error."""
        self.assertIn("--interface '::1'", self.refusal("--interface", "::1", "--listen", "tcp:1"))

    def test_proxyProtocol(self) -> None:
        """--proxy-protocol needs a --port, which is there by default, and --trust-proxy needs it."""
        self.assertEqual((parsed()["proxy-protocol"], parsed("--proxy-protocol")["proxy-protocol"]), (0, 1))
        options = parsed("--proxy-protocol", "--trust-proxy", "10.0.0.0/8", "--trust-proxy", "::1")
        self.assertEqual([str(each) for each in options["trusted-proxies"]], ["10.0.0.0/8", "::1/128"])
        self.assertIn("--proxy-protocol: ", self.refusal("--proxy-protocol", "--listen", "tcp:1"))
        self.assertIn("--trust-proxy '::1/128': ", self.refusal("--trust-proxy", "::1"))

    def test_values(self) -> None:
        """A value that an option can't have is named, with the option and the reason."""
        folder = self.mktemp()
        os.mkdir(folder)
        for option, values in {
            "port": ("-1", "65536", "abc", "", "1.5", "٣"),
            "udp": ("-1", "65536", "abc", ""),
            "interface": ("localhost", "", "1.2.3", "224.0.0.1", "ff02::1", "255.255.255.255"),
            "trust-proxy": ("", "localhost", "10.0.0.1/8", "10.0.0.0/33", "::1/129"),
            "max-connections": ("-1", "x", "", "1e3"),
            "max-connections-per-peer": ("-1",),
            "idle-timeout": ("-1", "nan", "inf", "x", ""),
            "stall-timeout": ("-1",),
            "drain-timeout": ("nan",),
            "udp-rate": ("-0.5",),
            "responder": ("", "ecoh", "echo_none:x", "os:none", "os:name"),
            "responder-timeout": ("-1", "x"),
            "keepalive": ("1", "1,2", "a,b,c", "0,1,1", "1,1,128", "40000,1,1", ""),
            "ready-file": ("", folder, folder + "/none/ready"),
        }.items():
            for value in values:
                self.assertIn(f"--{option} {value!r}: ", self.refusal(f"--{option}={value}"))

    def test_usage(self) -> None:
        """Options that do not exist, values that are missing, and arguments that nobody asked for."""
        self.assertIn("--frob", self.refusal("--frob"))
        self.assertIn("requires argument", self.refusal("--port"))
        self.assertIn("'stray'", self.refusal("stray"))

    def test_keepalive(self) -> None:
        """Three numbers, or 0 for none."""
        self.assertEqual(parsed("--keepalive", "7,8,9")["keepalive"], Keepalive(7, 8, 9))
        self.assertIs(parsed("--keepalive", "0")["keepalive"], None)

    def test_version(self) -> None:
        """--version says ours."""
        with redirect_stdout(StringIO()) as printed:
            self.assertEqual(self.assertRaises(SystemExit, parsed, "--version").code, 0)
        self.assertEqual(printed.getvalue(), f"echo_app {__version__}\n")

    def test_help(self) -> None:
        """The help fits 80 columns."""
        self.assertLessEqual(max(map(len, str(Options()).splitlines())), 80)


class PluginTests(SynchronousTestCase):
    def test_found(self) -> None:
        """The plugin is found, and its module has what twistd looks for."""
        echo: Any
        (echo,) = (each for each in getPlugins(IServiceMaker, plugins) if each.tapname == "echo")
        self.assertEqual(
            (echo.module, echo.options, echo.makeService), ("echo_app.tap", Options, makeService)
        )


class MakeServiceTests(TestCase):
    def make(self, *arguments: str, reactor: Any = reactor) -> EchoService:
        """Makes a service on the real reactor; it is stopped at the test's end."""
        service = makeService(parsed(*arguments), reactor)
        self.addCleanup(service.stopService)
        return service

    def test_listens(self) -> None:
        """What is returned listens already: on each port at each interface, and on each endpoint."""
        service = self.make(
            *("--port", "0", "--udp", "0", "--interface", "127.0.0.1", "--interface", "::1"),
            *("--listen", "tcp:0:interface=127.0.0.2"),
        )
        hosts = [(type(host).__name__, host.type, host.host) for host in service.getHosts()]  # type: ignore[attr-defined]
        self.assertEqual(
            hosts,
            [
                ("IPv4Address", "TCP", "127.0.0.1"),
                ("IPv6Address", "TCP", "::1"),
                ("IPv4Address", "TCP", "127.0.0.2"),
                ("IPv4Address", "UDP", "127.0.0.1"),
                ("IPv6Address", "UDP", "::1"),
            ],
        )

    def test_gates(self) -> None:
        """With --proxy-protocol there is a gate before each port's protocols, and no other's."""
        listened: list[object] = []

        class Endpoint:
            def __init__(self, *arguments: object) -> None:
                pass

            def listen(self, factory: object) -> Deferred[Any]:
                listened.append(factory)
                return succeed(FakePort())

        for name in ("TCP4ServerEndpoint", "TCP6ServerEndpoint", "endpointFromDescription"):
            self.patch(tap, name, Endpoint)
        self.make("--proxy-protocol", "--port", "1", "-i", "127.0.0.1", "-i", "::1", "--listen", "x")
        self.assertEqual([type(each) for each in listened], [ProxyGateFactory, ProxyGateFactory, EchoFactory])
        self.make("--proxy-protocol", "--port", "1", "--trust-proxy", "192.0.2.0/24")
        for factory, hosts in ((listened[0], ["127.0.0.1"]), (listened[-1], ["192.0.2.1"])):
            assert isinstance(factory, ProxyGateFactory)
            trusted = [
                host
                for host in ("127.0.0.1", "192.0.2.1")
                if isinstance(factory.buildProtocol(IPv4Address("TCP", host, 1)), ProxyGate)
            ]
            self.assertEqual(trusted, hosts)

    def test_globalReactor(self) -> None:
        """Without a reactor it is the global one."""
        service = makeService(parsed("--port", "0"))
        self.addCleanup(service.stopService)
        self.assertEqual(len(service.getHosts()), 1)

    def test_settings(self) -> None:
        """Every setting arrives; 0 is None where it means never, or no cap."""
        made: dict[str, Any] = {}

        class Recorded(EchoService):
            def __init__(self, *arguments: Any, **settings: Any) -> None:
                made.update(settings)
                super().__init__(*arguments, **settings)

        self.patch(tap, "EchoService", Recorded)
        self.make("--port", "0", "--stall-timeout", "0", "--udp-rate", "0", "--keepalive", "0")
        self.assertEqual(made["limits"], Limits(stallTimeout=None))
        self.assertEqual((made["datagramRate"], made["keepalive"]), (None, None))
        self.assertEqual((made["responder"], made["responderTimeout"]), ("echo", 30))
        self.make("--port", "0", "--responder", "os:fsencode", "--responder-timeout", "0")
        self.assertEqual((made["responder"], made["responderTimeout"]), (os.fsencode, None))
        ready = str(Path(self.mktemp()).absolute())
        self.make(
            *("--port", "0", "--max-connections", "7", "--max-connections-per-peer", "2"),
            *("--idle-timeout", "1.5", "--stall-timeout", "40", "--drain-timeout", "0"),
            *("--udp-rate", "3", "--keepalive", "1,2,3", "--ready-file", ready, "--log-connections"),
        )
        self.assertEqual(
            made["limits"],
            Limits(
                maxConnections=7,
                maxConnectionsPerPeer=2,
                idleTimeout=1.5,
                stallTimeout=40,
                drainTimeout=0,
            ),
        )
        self.assertEqual((made["datagramRate"], made["keepalive"]), (3, Keepalive(1, 2, 3)))
        self.assertEqual((made["readyFile"], made["logConnections"]), (ready, True))

    async def test_taken(self) -> None:
        """What can't be opened is named by what was typed, and what was opened before it closes."""
        turns: list[float] = []
        self.patch(reactor, "iterate", turns.append)
        folder = Path(self.mktemp())
        folder.mkdir()
        with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket(type=socket.SOCK_DGRAM) as udp:
            udp.bind(("127.0.0.1", 0))
            port, udpPort = taken.getsockname()[1], udp.getsockname()[1]
            for arguments, reason in (
                ([f"--port={port}"], f"--port {port} on 127.0.0.1: Address already in use"),
                ([f"--udp={udpPort}"], f"--udp {udpPort} on 127.0.0.1: Address already in use"),
                ([f"--listen=tcp:{port}:interface=127.0.0.1"], "Address already in use"),
                (["--listen=frob:1"], "--listen 'frob:1': Unknown endpoint type: 'frob'"),
                (["--listen=tcp:70000"], "--listen 'tcp:70000': "),
            ):
                command = parsed(f"--listen=unix:{folder}/s", *arguments)
                error = self.assertRaises(SystemExit, makeService, command, reactor)
                self.assertRegex(str(error.code), r"\Aecho: .*\Z")
                self.assertIn(reason, str(error.code))
                # The turn, which is not to be had within another one.
                await deferLater(reactor, 0)
                self.assertEqual(os.listdir(folder), [])
        self.assertEqual(turns, [0, 0, 0, 0])

    def test_notAtOnce(self) -> None:
        """An endpoint that does not listen at once would be a half-started service."""

        class Later:
            def listen(self, factory: object) -> Deferred[object]:
                return Deferred()

        self.patch(tap, "endpointFromDescription", lambda *_: Later())
        self.patch(reactor, "iterate", lambda delay: None)
        error = self.assertRaises(SystemExit, makeService, parsed("--listen", "x"), reactor)
        self.assertIn("does not listen at once", str(error.code))


class DescriptorLimitTests(SynchronousTestCase):
    def limited(self, soft: int, hard: int, on: object) -> tuple[int | None, list[tuple[int, int]]]:
        """Returns the limit to heed, and what the process's limit was set to."""
        limits: list[tuple[int, int]] = []
        self.patch(resource, "getrlimit", lambda which: (soft, hard))
        self.patch(resource, "setrlimit", lambda which, pair: limits.append(pair))
        return process.raiseDescriptorLimit(on), limits

    def test_raised(self) -> None:
        """The soft limit becomes the hard one."""
        self.assertEqual(self.limited(256, 4096, MemoryReactorClock()), (4096, [(4096, 4096)]))
        self.assertEqual(self.limited(4096, 4096, MemoryReactorClock()), (4096, []))
        unlimited = resource.RLIM_INFINITY
        self.assertEqual(self.limited(unlimited, unlimited, MemoryReactorClock()), (None, []))

    def test_select(self) -> None:
        """Under select the limit stays, and descriptors stay within its set."""
        on = SelectReactor.__new__(SelectReactor)
        self.assertEqual(self.limited(256, 4096, on), (256, []))
        self.assertEqual(self.limited(4096, 4096, on), (1024, []))
        self.assertEqual(self.limited(resource.RLIM_INFINITY, resource.RLIM_INFINITY, on), (1024, []))


class SignalTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.heard: list[object] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
            signal.signal(number, lambda number, frame: self.heard.append(number))

    def abort(self) -> None:
        """The service's."""
        self.heard.append("abort")

    def callFromThread(self, function: Any) -> None:
        """The reactor's."""
        function()

    def test_second(self) -> None:
        """The first signal is the reactor's, each later one, of either kind, aborts."""
        process.abortOnSecondSignal(self, self)  # type: ignore[arg-type]
        os.kill(os.getpid(), signal.SIGTERM)
        self.assertEqual(self.heard, [signal.SIGTERM])
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        self.assertEqual(self.heard, [signal.SIGTERM, "abort", "abort"])

    def test_ignored(self) -> None:
        """A signal that nobody handles stays as it is."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        process.abortOnSecondSignal(self, self)  # type: ignore[arg-type]
        self.assertIs(signal.getsignal(signal.SIGINT), signal.SIG_IGN)

    def test_otherThread(self) -> None:
        """Off the main thread, where Python allows no handlers, there are none."""
        before = signal.getsignal(signal.SIGTERM)
        thread = threading.Thread(target=process.abortOnSecondSignal, args=(self, self))
        thread.start()
        thread.join()
        self.assertIs(signal.getsignal(signal.SIGTERM), before)
