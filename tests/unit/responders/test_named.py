"""Names of responders, and the responders that they name."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.responders.answering import AnsweringDatagramProtocol, AnsweringProtocol
from echo_app.responders.builtin import ChargenProtocol, DiscardProtocol, PeerProtocol
from echo_app.responders.named import NAMES, makeResponder, responderOf
from echo_app.stream.protocol import EchoProtocol
from echo_app.udp.protocol import DatagramRules, EchoDatagramProtocol
from tests.unit.responders.test_answering import PeerTransport, shout

MODULE = """
class Inner:
    def shout(self, request):
        return request.upper()

inner = Inner()
shout = inner.shout
number = 3
def two(a, b): pass
"""


class NameTests(SynchronousTestCase):
    """``package.module:name``, found from the folder where the command was typed."""

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(folder)
        self.patch(sys, "path", list(sys.path))

    def write(self, name: str, code: str) -> None:
        """Writes a module, which is forgotten at the test's end."""
        Path(f"{name}.py").write_text(code)
        self.addCleanup(sys.modules.pop, name, None)

    def refusal(self, text: str) -> str:
        return str(self.assertRaises(ValueError, responderOf, text))

    def test_ours(self) -> None:
        """A name of ours is itself."""
        self.assertEqual([responderOf(name) for name in NAMES], list(NAMES))

    def test_own(self) -> None:
        """A name in a module may have dots."""
        self.write("echo_own", MODULE)
        for name in ("shout", "inner.shout"):
            responder = responderOf(f"echo_own:{name}")
            assert callable(responder)
            self.assertEqual(responder(b"hello"), b"HELLO")

    def test_wrong(self) -> None:
        """A name without a responder is refused, with the reason."""
        self.write("echo_wrong", MODULE)
        for text, reason in (
            ("ecoh", "neither of echo, discard"),
            ("", "neither of echo, discard"),
            ("echo_wrong:", "neither of echo, discard"),
            (":shout", "neither of echo, discard"),
            ("echo_none:shout", "there is no module echo_none"),
            ("echo_wrong.none:shout", "there is no module echo_wrong.none"),
            ("echo_wrong:none", "has no attribute 'none'"),
            ("echo_wrong:number", "of type int"),
            ("echo_wrong:Inner", "a class"),
            ("echo_wrong:two", "and not one request"),
        ):
            self.assertIn(reason, self.refusal(text))

    def test_wrongModule(self) -> None:
        """A module whose import fails is refused, with any exception."""
        for name, code, reason in (
            ("echo_raises", "1 / 0", "ZeroDivisionError: division by zero"),
            ("echo_exits", "raise SystemExit(3)", "SystemExit: 3"),
            ("echo_syntax", "1 1", "SyntaxError: "),
            ("echo_needs", "import echo_needed", "there is no module echo_needed"),
        ):
            self.write(name, code)
            self.assertIn(reason, self.refusal(f"{name}:shout"))


class MakeTests(SynchronousTestCase):
    def test_streams(self) -> None:
        """Each of ours has its protocol, and the echo's is the echo's own class."""
        for name, kind in (
            ("echo", EchoProtocol),
            ("discard", DiscardProtocol),
            ("chargen", ChargenProtocol),
            ("peer", PeerProtocol),
            ("lines", AnsweringProtocol),
            ("length-prefixed", AnsweringProtocol),
        ):
            self.assertIs(type(makeResponder(name, Clock(), None).stream()), kind)
        responder = makeResponder("echo", Clock(), None)
        self.assertIs(responder.stream, EchoProtocol)
        self.assertIs(responder.datagrams, EchoDatagramProtocol)

    def test_same(self) -> None:
        """Lines, and data with its length before it, come back unchanged, when they are complete."""
        for name, sent, back in (
            ("lines", b"a\r\nb\nc", b"a\r\nb\n"),
            ("length-prefixed", b"\0\0\0\1a\0\0\0\0\0\0\0\1", b"\0\0\0\1a\0\0\0\0"),
        ):
            protocol, transport = makeResponder(name, Clock(), None).stream(), PeerTransport()
            protocol.makeConnection(transport)
            protocol.dataReceived(sent)
            self.assertEqual(transport.value(), back)

    def test_own(self) -> None:
        """A function of the user's serves streams and datagrams, with one count for both."""
        responder = makeResponder(shout, Clock(), 30)
        self.assertIs(type(responder.stream()), AnsweringProtocol)
        self.assertIs(type(responder.datagrams(DatagramRules())), AnsweringDatagramProtocol)
        self.assertEqual(responder.unanswered, {})

    def test_unknown(self) -> None:
        """A name of nothing, and an object that is no responder, are refused."""
        for wrong in ("ecoh", 3):
            self.assertRaises(ValueError, makeResponder, wrong, Clock(), None)
