"""Rules about bytes."""

from __future__ import annotations

from random import Random

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.labels import LabelledBytes
from echo_app.probe.judge.finding import Confidence
from echo_app.probe.judge.judge import judge
from echo_app.probe.results.difference import StreamDifference
from echo_app.probe.results.severity import Severity
from tests.support.evidence import (
    FIN,
    FLIPPED,
    OURS,
    RESET,
    JudgeTestCase,
    causes,
    connection,
    evidenceOf,
    whole,
)

FOREIGN = StreamDifference("foreign", 0, 0, b"HTTP/1.1 400")


def bytesOf(number: int, size: int = 96, examination: bytes = OURS) -> bytes:
    """Returns labelled bytes of a connection."""
    return LabelledBytes(examination, number, Random(number)).take(size)


class MixedTests(JudgeTestCase):
    def evidence(self, foreign: bytes) -> Evidence:
        """Returns evidence with a connection 1 that got these bytes; connections 0 and 2 are good."""
        evidence = evidenceOf()
        whole(evidence)
        connection(evidence, "burst", sent=32, came=3, difference=FLIPPED, foreign=foreign)
        whole(evidence, "half-close")
        return evidence

    def test_owner(self) -> None:
        """Bytes of another connection are attributed to it, with its check and their offset there."""
        evidence = self.evidence(bytesOf(2, 128)[37:])
        found = self.one(evidence, "connections-mixed", Severity.FAIL, "1 of 3 connections; first at byte 5")
        self.assertIs(found.match.confidence, Confidence.CERTAIN)
        self.assertEqual(
            list(found.match.evidence),
            ["burst 1", "connection 1 got bytes of connection 2 (half-close), from its byte 64"],
        )
        self.assertEqual((found.match.hits, found.match.tries), (1, 3))

    def test_swapped(self) -> None:
        """Two connections that got each other's answers are one finding."""
        evidence = evidenceOf()
        for number in (0, 1):
            difference = StreamDifference("foreign", 0, 0, b"?")
            connection(evidence, "burst", sent=64, difference=difference, foreign=bytesOf(1 - number, 64))
        found = self.one(evidence, "connections-mixed", Severity.FAIL, "2 of 2 connections")
        self.assertIn("connection 0 got bytes of connection 1 (burst)", found.match.evidence[1])

    def test_piece(self) -> None:
        """One block does not name an owner; beside connections that have one it is of their cause."""
        block = bytesOf(2, 32)
        self.one(self.evidence(block), "bytes-changed", Severity.FAIL)
        evidence = self.evidence(bytesOf(2))
        piece = StreamDifference("foreign", 5, 0, block[:8])
        connection(evidence, "burst", sent=64, came=5, difference=piece, foreign=block[:8])
        found = self.one(evidence, "connections-mixed", Severity.FAIL, "2 of 4 connections")
        self.assertIn("1 more got foreign bytes", found.match.evidence[-1])

    def test_inserted(self) -> None:
        """One block names its owner where the connection's own bytes go on behind it."""
        evidence = self.evidence(bytesOf(2, 40))
        record = evidence.connections[1]
        record.difference = StreamDifference("inserted", 5, 40, b"?")
        found = self.one(evidence, "connections-mixed", Severity.FAIL)
        self.assertIn("connection 2 (half-close)", found.match.evidence[1])
        record.foreign = bytesOf(1, 40)
        self.one(evidence, "bytes-inserted", Severity.FAIL)

    def test_otherExamination(self) -> None:
        """Bytes of another examination are named as such."""
        found = self.one(self.evidence(bytesOf(0, examination=b"else")), "connections-mixed", Severity.FAIL)
        self.assertEqual(found.match.evidence[1], "connection 1 got bytes of another examination")

    def test_own(self) -> None:
        """Bytes of the connection itself, at whatever place, are no mix."""
        self.one(self.evidence(bytesOf(1)[32:]), "bytes-changed", Severity.FAIL)

    def test_corrupt(self) -> None:
        """Many changed bytes of its own are not another connection's."""
        data, random = bytearray(bytesOf(1, 1 << 16)), Random(1)
        for _ in range(300):
            data[random.randrange(len(data))] ^= 1 << random.randrange(8)
        self.one(self.evidence(bytes(data)), "bytes-changed", Severity.FAIL)


class NoEchoTests(JudgeTestCase):
    def test_silence(self) -> None:
        """Where no byte comes back on any connection, that is the one finding."""
        evidence = evidenceOf()
        for silence in (10.0, 0.5, 10.0):
            connection(evidence, sent=32, silence=silence)
        found = self.one(
            evidence, "no-echo", Severity.FAIL, "nothing comes back on 3 connections; silence for 10 s on 2"
        )
        self.assertEqual((found.match.hits, found.match.tries), (3, 3))

    def test_end(self) -> None:
        """The most common end is named."""
        evidence = evidenceOf()
        for end in (RESET, FIN, RESET):
            connection(evidence, sent=32, end=end)
        self.one(evidence, "no-echo", Severity.FAIL, "reset on 2")

    def test_other(self) -> None:
        """Bytes of another service are shown, with control characters escaped."""
        evidence = evidenceOf()
        other = StreamDifference("foreign", 0, 0, b"\x1b[2J\n220 ready")
        connection(evidence, sent=32, difference=other, foreign=other.found)
        self.one(evidence, "no-echo", Severity.FAIL, r"other bytes come: '\x1b[2J\n220 ready'")

    def test_notAsked(self) -> None:
        """Connections on which nothing was sent say nothing."""
        evidence = evidenceOf()
        connection(evidence, "peer")
        connection(evidence, "resolve", failure=RESET)
        connection(evidence, "resolve")
        self.assertNotIn("no-echo", [each.rule.cause for each in self.findings(evidence)])


class DifferenceTests(JudgeTestCase):
    def test_kinds(self) -> None:
        """Each kind of difference is a failure, with its share of the connections and its first offset."""
        for kind in ("changed", "lost", "duplicated", "moved", "inserted", "foreign"):
            evidence = evidenceOf()
            whole(evidence, count=3)
            connection(
                evidence, sent=100, came=50, difference=StreamDifference(kind, 1005, 2, b"\x1b["), end=FIN
            )
            seen = "1 of 4 connections; first at byte 1,005"
            found = self.one(evidence, f"bytes-{kind}", Severity.FAIL, seen)
            isShown = kind in ("inserted", "foreign")
            self.assertEqual(r"'\x1b['" in found.match.seen, isShown)
            self.assertEqual(found.match.evidence[0], "identity 1")

    def test_firstBytes(self) -> None:
        """Bytes that are lost at the begin of each connection have a title of their own."""
        for offsets, title in (
            ((0, 0), "the first bytes of connections are lost"),
            ((0, 7), "bytes are lost"),
        ):
            evidence = evidenceOf()
            whole(evidence)
            for offset in offsets:
                connection(
                    evidence, sent=64, came=offset, difference=StreamDifference("lost", offset, 3, b"x")
                )
            self.assertIn(title, self.one(evidence, "bytes-lost", Severity.FAIL).title)

    def test_several(self) -> None:
        """Connections of several checks with the same kind are one finding; another kind is another one."""
        evidence = evidenceOf()
        whole(evidence)
        for check in ("identity", "half-close", "half-close"):
            connection(evidence, check, sent=100, came=5, difference=FLIPPED)
        connection(evidence, sent=100, came=5, difference=StreamDifference("lost", 5, 9, b""))
        changed, lost = self.findings(evidence)
        self.assertEqual((changed.rule.cause, lost.rule.cause), ("bytes-changed", "bytes-lost"))
        self.assertEqual(changed.match.evidence[0], "identity 1, half-close 2")
        self.assertEqual((changed.match.hits, changed.match.tries), (3, 5))


class TranslatedTests(JudgeTestCase):
    def evidence(self, *records: tuple[bytes, bytes]) -> Evidence:
        """Returns evidence of connections on which the first bytes were due, and the second ones came."""
        evidence = evidenceOf()
        whole(evidence)
        for due, foreign in records:
            difference = StreamDifference("inserted", 100, 0, foreign)
            connection(
                evidence, sent=100 + len(due), came=100, difference=difference, due=due, foreign=foreign
            )
        return evidence

    def test_lineEnds(self) -> None:
        """Line ends that are translated on two connections are named as such."""
        evidence = self.evidence(*[(b"\nabc" * 20, b"\r\nabc" * 20)] * 2)
        self.one(evidence, "bytes-translated", Severity.FAIL, "CR LF for LF; 2 of 3 connections")

    def test_all(self) -> None:
        """Each translation has its name."""
        random = Random(1).randbytes(200)
        for due, foreign, name in (
            (b"\nabc" * 20, b"\r\nabc" * 20, "CR LF for LF"),
            (b"\r\nabc" * 20, b"\nabc" * 20, "LF for CR LF"),
            (b"\rabc" * 20, b"\nabc" * 20, "LF for CR"),
            (random, bytes(each & 0x7F for each in random), "the highest bit cleared"),
            (b"a\x11b\x13" * 20, b"ab" * 20, "XON and XOFF removed"),
            (b"\0ab" * 20, b"ab" * 20, "zero bytes removed"),
            (b"ab\xff" * 20, b"\xff" + b"ab\xff\xff" * 20, "0xFF doubled"),
            (random, random.decode("utf-8", "replace").encode(), "U+FFFD for what is no UTF-8"),
            (random, random.decode("latin-1").encode(), "UTF-8 for Latin-1"),
            (b"some text " * 9, b"SOME TEXT " * 9, "capitals for small letters"),
            (b"SOME TEXT " * 9, b"some text " * 9, "small letters for capitals"),
        ):
            evidence = self.evidence(*[(due, foreign)] * 3)
            self.one(evidence, "bytes-translated", Severity.FAIL, f"{name}; 3 of 4 connections")

    def test_doubled(self) -> None:
        """A value that comes twice is an escape if it is the same on three connections, and on most."""
        due = b"abcdefgh" * 8
        for values, isFound in ((b"xxx", True), (b"xx", False), (b"xyz", False), (b"xxxyzyz", False)):
            evidence = self.evidence(*[(due, bytes([each]) + due) for each in values])
            found = causes(judge(evidence))
            self.assertEqual("bytes-translated" in found, isFound, values)

    def test_removedAtTheEnd(self) -> None:
        """An answer that lacks at its end the bytes alone that are removed is no short one."""
        removed = [(b"a\x11b\x13" * 20, b"ab" * 20)] * 2
        for due, sent, found in (
            (b"\x13", 64, ["bytes-translated"]),
            (b"a\x13", 65, ["bytes-translated", "answers-short"]),
            # More was due than was kept.
            (b"\x13", 65, ["bytes-translated", "answers-short"]),
            (b"", 64, ["bytes-translated", "answers-short"]),
        ):
            evidence = self.evidence(*removed)
            connection(evidence, sent=sent, came=63, silence=10.0, due=due)
            self.assertEqual(causes(judge(evidence)), found, (due, sent))

    def test_share(self) -> None:
        """A translation must explain half of the differences."""
        good, other = (b"\nabc" * 20, b"\r\nabc" * 20), (b"abcd" * 20, b"abed" * 20)
        for others, cause in ((2, "bytes-translated"), (3, "bytes-inserted")):
            self.one(self.evidence(good, good, *[other] * others), cause, Severity.FAIL)

    def test_few(self) -> None:
        """Two bytes that agree are enough, one is not: every other byte has a bit that may be cleared."""
        for size, cause in ((2, "bytes-translated"), (1, "bytes-inserted")):
            evidence = self.evidence(*[(b"\x81\x82"[:size], b"\x01\x02"[:size])] * 2)
            self.one(evidence, cause, Severity.FAIL)

    def test_flipped(self) -> None:
        """One bit that is cleared in each stream is no translation, where later bytes are as sent."""
        due = b"\xc1\xc2\xc3\xc4" * 20
        evidence = self.evidence(*[(due, b"\x41" + due[1:])] * 2)
        self.one(evidence, "bytes-inserted", Severity.FAIL)

    def test_once(self) -> None:
        """One connection is not enough."""
        evidence = self.evidence((b"\nabc" * 20, b"\r\nabc" * 20))
        self.one(evidence, "bytes-inserted", Severity.FAIL)

    def test_surplus(self) -> None:
        """Bytes that come after everything that was due are no translation of nothing."""
        self.one(self.evidence(*[(b"", b"bye\r\n")] * 2), "bytes-inserted", Severity.FAIL)


class ShortTests(JudgeTestCase):
    def test_end(self) -> None:
        """A partial echo is reported with its length and its end."""
        evidence = evidenceOf()
        whole(evidence)
        connection(evidence, sent=1286, came=1000, end=FIN)
        self.one(
            evidence,
            "answers-short",
            Severity.FAIL,
            "1 of 2 connections; 1,000 of 1,286 B came back, then FIN",
        )

    def test_silence(self) -> None:
        """A partial echo that stops is reported with the wait."""
        evidence = evidenceOf()
        connection(evidence, sent=1286, came=1000, silence=10.0)
        self.one(evidence, "answers-short", Severity.FAIL, "then nothing for 10 s")

    def test_underWay(self) -> None:
        """Bytes that were still under way when a check was ended are not missing."""
        evidence = evidenceOf()
        connection(evidence, sent=1286, came=1000)
        connection(evidence, sent=1286)
        self.none(evidence)
