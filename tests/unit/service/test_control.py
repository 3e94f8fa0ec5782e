"""Control: observes and changes a running service."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.access.checkers import PasswordChecker, portalFor
from echo_app.faults.plan import FaultPlan
from echo_app.faults.spec import parseFault
from echo_app.service.control import REQUESTS, Control
from echo_app.service.echoservice import EchoService
from echo_app.service.snapshot import OpenConnection, Snapshot
from tests.support.fakes import Transport, opened
from tests.unit.service.test_echoservice import FakeEndpoint, FakePort


class ControlTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.start(faults=FaultPlan([parseFault("latency=1s,connections=2")]))

    def start(self, **settings: Any) -> None:
        """Starts another service."""
        endpoint = FakeEndpoint(FakePort())
        self.service = EchoService(self.clock, [endpoint], **settings)
        self.service.startService()
        self.factory, _ = endpoint.calls[0]
        self.control = Control(self.service)

    def connect(self) -> Transport:
        return opened(self.factory)

    def ask(self, do: str, **arguments: Any) -> Any:
        """Returns the answer to a request, as it is after JSON."""
        request = json.loads(json.dumps({"do": do, **arguments}))
        return json.loads(json.dumps(self.control.handle(request)))

    def test_snapshot(self) -> None:
        """A snapshot has the service's counts."""
        self.connect()
        self.assertEqual(Snapshot(**self.ask("snapshot")["result"]), Snapshot(open=1, accepted=1))

    def test_connections(self) -> None:
        """Each open connection is shown, with its peer, number and faults."""
        first = self.connect()
        self.connect()
        shown = [OpenConnection(**each) for each in self.ask("connections")["result"]]
        self.assertEqual([each.number for each in shown], [1, 2])
        self.assertEqual([each.faults for each in shown], [[], ["latency=1s,connections=2"]])
        self.assertEqual({each.peer for each in shown}, {"127.0.0.1:40000"})
        self.assertEqual({(each.isServed, each.user) for each in shown}, {(True, None)})
        self.assertEqual({(each.received, each.held) for each in shown}, {(None, None)})
        first.end(ConnectionDone())
        self.assertEqual([each["number"] for each in self.ask("connections")["result"]], [2])

    def test_pending(self) -> None:
        """A connection whose login is pending is shown, and its user after the login."""
        self.start(portal=portalFor([PasswordChecker([(b"alice", b"secret")])]))
        transport = self.connect()
        (pending,) = self.ask("connections")["result"]
        self.assertEqual((pending["number"], pending["isServed"], pending["user"]), (1, False, None))
        transport.protocol.dataReceived(b"login alice secret\n")
        (served,) = self.ask("connections")["result"]
        self.assertEqual((served["number"], served["isServed"], served["user"]), (1, True, "alice"))

    def test_setFaults(self) -> None:
        """Faults are replaced, for connections to come."""
        self.assertEqual(self.ask("setFaults", faults=["stall"]), {"result": None})
        first = self.connect()
        self.assertEqual(self.faults(), [["stall"]])
        self.assertEqual(self.ask("setFaults", faults=[]), {"result": None})
        self.connect()
        self.assertEqual(self.faults(), [["stall"], []])
        first.end(ConnectionDone())
        self.assertEqual(self.faults(), [[]])

    def test_setFaultsLive(self) -> None:
        """Faults of open connections are replaced, too, or those of one."""
        self.connect()
        self.connect()
        self.assertEqual(self.ask("setFaults", faults=["stall"], live=True), {"result": None})
        self.assertEqual(self.faults(), [["stall"], ["stall"]])
        self.assertEqual(self.ask("setFaults", faults=["corrupt=1"], live=True, number=2), {"result": None})
        self.assertEqual(self.faults(), [["stall"], ["corrupt=1"]])
        answer = self.ask("setFaults", faults=[], live=True, number=3)
        self.assertEqual(list(answer), ["error"])
        self.assertEqual(list(self.ask("setFaults", faults=[], live=True, nonsense=3)), ["error"])

    def faults(self) -> list[list[str]]:
        """Returns the faults of each open connection."""
        return [each["faults"] for each in self.ask("connections")["result"]]

    def test_wrongFaults(self) -> None:
        """With a wrong fault none is set, and the answer has the reason."""
        for faults, reason in (
            (["stall", "nonsense"], "fault 'nonsense': at 1, 'nonsense' is no fault"),
            (
                ["stall", "loss=1%"],
                "fault 'loss=1%': loss needs messages: --responder with a framing, or --udp",
            ),
            (["stall"] * 33, "33 faults, where 32 is the most"),
        ):
            answer = self.ask("setFaults", faults=faults)
            self.assertEqual(list(answer), ["error"])
            self.assertIn(reason, answer["error"])
        self.connect()
        self.connect()
        self.assertEqual(self.faults(), [[], ["latency=1s,connections=2"]])

    def test_reset(self) -> None:
        """A connection is reset by its number, once."""
        first, second = self.connect(), self.connect()
        self.assertEqual(self.ask("reset", number=1), {"result": None})
        self.assertEqual((first.disconnected, second.disconnected), (True, False))
        self.assertEqual(self.ask("reset", number=1), {"error": "connection 1 is not open"})

    def test_drain(self) -> None:
        """A drain ends the connections, and the service."""
        self.connect().end(ConnectionDone())
        self.assertEqual(self.ask("drain"), {"result": None})
        self.assertFalse(self.service.running)

    def test_wrong(self) -> None:
        """A wrong request is an error that names the known ones."""
        for request in ({}, {"do": "handle"}, {"do": "_service"}, {"do": ["reset"]}, {"do": None}):
            answer = self.control.handle(request)
            self.assertIn(", ".join(REQUESTS), answer["error"])
        for arguments in ({}, {"number": None}, {"number": 1, "more": 2}):
            self.assertEqual(list(self.ask("reset", **arguments)), ["error"])
