"""Foreign bytes that come on links are attributed to their connections."""

from __future__ import annotations

from echo_app.probe.checks.evidence import CheckSettings, Evidence
from echo_app.probe.checks.link import Link
from echo_app.probe.judge.byterules import ownerOf
from tests.support import paths
from tests.unit.probe.checks.test_link import LinkTestCase


class OwnerTests(LinkTestCase):
    """Foreign bytes, attributed by the judge."""

    def owner(self, link: Link) -> str:
        return ownerOf(self.evidence, link.record)

    def test_swapped(self) -> None:
        """Answers that two connections swap are attributed to each other."""
        stream, link = self.connect()
        for each in (self.link, link):
            each.send(128)
        stream.coming.append(self.stream.written)
        self.stream.coming.append(stream.written)
        for each in (self.link, link):
            self.assertFalse(self.run_(each.receiveRest()))
            self.assertEqual(each.record.came, 0)
        self.assertEqual(self.owner(self.link), "connection 1 (identity), from its byte 0")
        self.assertEqual(self.owner(link), "connection 0 (identity), from its byte 0")

    def test_midst(self) -> None:
        """A connection that goes on with another one's bytes has the owner, and the offset there."""
        stream, link = self.connect()
        for each in (self.link, link):
            each.send(4096)
        self.stream.coming.append(self.stream.written[:1000] + stream.written[1000:])
        self.assertFalse(self.run_(self.link.receiveRest()))
        self.assertEqual(self.record.came, 1000)
        self.assertEqual(self.owner(self.link), "connection 1 (identity), from its byte 1,024")

    def test_otherExamination(self) -> None:
        """Bytes of another examination are told from those of this one."""
        other, link = self.connect(Evidence(paths.TCP, CheckSettings(), b"else"))
        link.send(128)
        self.link.send(128)
        self.stream.coming.append(other.written)
        self.assertFalse(self.run_(self.link.receiveRest()))
        self.assertEqual(self.owner(self.link), "another examination")

    def test_own(self) -> None:
        """Its own bytes, and text, have no other owner."""
        for change in (lambda data: data[32:], lambda data: b"HTTP/1.1 400 Bad Request\r\n" * 20):
            stream, link = self.connect()
            link.send(512)
            stream.coming.append(change(stream.written))
            self.assertFalse(self.run_(link.receiveRest()))
            self.assertEqual(self.owner(link), "")
