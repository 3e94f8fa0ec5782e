"""Rules about datagrams, on records made by hand; tests/unit/probe/checks/test_udp.py judges whole paths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.udprecord import (
    AFTER,
    BEFORE,
    CONTROL,
    EMPTY,
    FAST,
    FRAGMENTABLE,
    FRESH,
    PORTS,
    RETRY,
    SIZE,
    SIZES,
    SMALL,
    STEADY,
    TRIAL,
    WHOLE,
    Datagrams,
    Silence,
    blackoutsIn,
    tooMany,
)
from echo_app.probe.checks.udpsource import Datagram, Stray
from echo_app.probe.judge.baseline import againstBaseline
from echo_app.probe.judge.finding import Confidence
from echo_app.probe.judge.judge import judge
from echo_app.probe.results.severity import Severity
from tests.support.evidence import REFUSED, JudgeTestCase, causes, evidenceOf

FAIL, WARN = Severity.FAIL, Severity.WARN


class Record:
    """Makes the record of an examination, in which answers take 2 ms.

    :ivar seen: the record.
    """

    def __init__(self, **values: Any) -> None:
        self.seen = Datagrams(**values)
        self._now = 0.0
        self._counts: Counter[int] = Counter()

    @property
    def evidence(self) -> Evidence:
        """The evidence with this record."""
        return evidenceOf("udp://lb.example:7", udp=self.seen)

    def send(
        self,
        phase: str,
        count: int = 1,
        *,
        lost: Callable[[int], bool] = lambda n: False,
        sources: Sequence[int] = (0,),
        size: int = SIZE,
        interval: float = 0.01,
    ) -> list[Datagram]:
        """Adds datagrams, from the sources in turn.

        :param lost: says whether the datagram of this place is lost.
        """
        made = []
        for n in range(count):
            source = sources[n % len(sources)]
            index = self._counts[source]
            self._counts[source] += 1
            came = None if lost(n) else self._now + 0.002
            made.append(Datagram(source, index, size, phase, self._now, came))
            self.seen.sent.append(made[-1])
            self.seen.ports[source] = 40_000 + source
            self._now += interval
        return made


def every(step: int) -> Callable[[int], bool]:
    """Returns a loss of each datagram at so many places."""
    return lambda n: n % step == 0


class AnswerTests(JudgeTestCase):
    def test_good(self) -> None:
        """Datagrams that come back are no finding."""
        record = Record()
        record.send(STEADY, 1000)
        self.none(record.evidence)
        self.none(evidenceOf("udp://lb.example:7", udp=Datagrams()))

    def test_nothingSent(self) -> None:
        """Where nothing can be sent, the reason is the finding."""
        self.one(Record(failure=REFUSED).evidence, "datagrams-unanswered", FAIL, "can be sent: refused")

    def test_silent(self) -> None:
        """Where nothing comes back, ICMP's word is said, if there is one; it is likely, and not certain."""
        for refusals, words in ((0, "all 40 datagrams lost"), (3, "all 40 datagrams lost: refused")):
            record = Record(refusals=refusals)
            record.send(PORTS, 40, lost=every(1))
            found = self.one(record.evidence, "datagrams-unanswered", FAIL, words)
            self.assertIs(found.match.confidence, Confidence.LIKELY)

    def test_changed(self) -> None:
        """Altered answers are told from those that are cut, with the number of bits."""
        record = Record()
        for each in record.send(STEADY, 100)[:3]:
            each.came, each.changed, each.bits = None, SIZE, 1
        found = self.one(record.evidence, "datagrams-changed", FAIL, "3 answers: 64 B came back altered")
        self.assertIn("1 to 1 bits differ in an answer", found.match.evidence)

    def test_truncated(self) -> None:
        """Cut answers are named with the lengths, and the largest whole one."""
        record = Record()
        record.send(STEADY, 100)
        for each in record.send(SIZES, 4, size=1232):
            each.came, each.changed, each.isCut = None, 512, True
        found = self.one(record.evidence, "datagrams-truncated", FAIL, "4 answers: 1232 B came back as 512 B")
        self.assertIn("the largest whole answer has 64 B", found.match.evidence)

    def test_padded(self) -> None:
        """Longer answers are told from changed ones, with their lengths, and with what is behind them."""
        for fill, words in ((b"\0", "zeros"), (b"\0\1", "not only zeros")):
            record = Record()
            record.send(STEADY, 100)
            for each in record.send(SMALL, 4, size=12) + record.send(EMPTY, 4, size=0):
                each.came, each.changed, each.tail = None, 18, (fill * 18)[: 18 - each.size]
            found = self.one(record.evidence, "datagrams-padded", FAIL, "8 answers: 0 B came back as 18 B")
            self.assertIn(f"the further bytes are {words}", found.match.evidence)
            self.assertIn("up to 12 B come back longer, and from 64 B on equal", found.match.evidence)

    def test_mixed(self) -> None:
        """An answer with the labels of another source is named with both ports."""
        record = Record()
        record.send(PORTS, 20, sources=(0, 1))
        record.seen.strays += [Stray(0, SIZE, 1, isOurs=True), Stray(0, SIZE, 7)]
        found = self.one(record.evidence, "datagrams-mixed", FAIL, "2 answers came to another source")
        self.assertEqual(found.match.evidence[0], "source port 40000 got an answer for 40001")
        self.assertEqual(found.match.evidence[1], "1 answer for other examinations")

    def test_foreign(self) -> None:
        """Datagrams that answer nothing are a failure, and have a rate, though they may be many."""
        record = Record()
        record.send(PORTS, 10, lost=every(1))
        record.seen.strays += [Stray(0, 512)] * 640
        found = self.one(record.evidence, "datagrams-foreign", FAIL, "640 answers to nothing that was asked")
        self.assertEqual((found.match.hits, found.match.tries), (640, 640))
        verdict = judge(record.evidence)
        self.assertTrue(againstBaseline(verdict, verdict).findings[0].excuse)

    def test_elsewhere(self) -> None:
        """Answers from another address are a failure that names it; they are not lost."""
        record = Record()
        for each in record.send(STEADY, 100):
            each.elsewhere = "192.0.2.9 port 7"
        found = self.one(record.evidence, "datagrams-from-elsewhere", FAIL, "100 of 100 answers")
        self.assertEqual(found.match.evidence, ["100 from 192.0.2.9 port 7"])

    def test_ports(self) -> None:
        """Source ports that lose everything in two rounds are named, unless others lose as well."""
        for others, isFound in ((10**6, True), (20, False)):
            record = Record()
            for phase in (PORTS, f"{PORTS} 2"):
                record.send(phase, 640, sources=range(64), lost=lambda n: n % 64 in (3, 9))
            record.send(STEADY, 400, lost=lambda n, each=others: n % each == 1)  # type: ignore[misc]
            if isFound:
                self.one(record.evidence, "datagrams-by-port", FAIL, "2 of 64 source ports: 40003, 40009")
            else:
                self.none(record.evidence)

    def ports(self, again: Callable[[int], bool]) -> Record:
        """Returns ports of which 8 are dead, and tries them again beside 8 fresh ones and 4 others.

        :param again: says whether a source loses everything then.
        """
        record = Record()
        record.send(PORTS, 640, sources=range(64), lost=lambda n: n % 64 < 8)
        record.send(STEADY, 400, sources=(20,))
        sources = [*range(8), *range(64, 72), *range(20, 24)]
        record.send(f"{PORTS} 2", 200, sources=sources, lost=lambda n: again(sources[n % 20]))
        return record

    def test_freshPorts(self) -> None:
        """Fresh ports that are dead as well are no losses of the others, but all must not be dead."""
        words = "8 of 64 source ports: 40000, 40001, "
        for again in (lambda source: source < 8 or source > 65, lambda source: source not in range(20, 24)):
            found = self.one(self.ports(again).evidence, "datagrams-by-port", FAIL, words)
            self.assertIn("the others lost 0 of ", found.match.evidence[0])
        self.none(self.ports(lambda source: True).evidence)


class LossTests(JudgeTestCase):
    def rounds(self, *steps: int) -> Record:
        """Returns steady rounds, each of which loses one datagram in so many."""
        record = Record()
        for number, step in enumerate(steps):
            record.send(f"{STEADY} {number + 1}" if number else STEADY, 1000, lost=every(step))
        return record

    def test_threshold(self) -> None:
        """The lower end of the interval decides: 16 of 1000 may be one per cent by chance, and 17 not."""
        self.assertEqual([tooMany(lost, 1000) for lost in (10, 16, 17, 18)], [False, False, True, True])

    def test_lossy(self) -> None:
        """Loss is a finding when each of the rounds has it, with its interval."""
        self.one(self.rounds(20, 20, 20).evidence, "datagrams-lost", WARN, "150 of 3000, 4.3 to 5.8 %")
        self.none(self.rounds(20, 20, 100).evidence)
        self.none(self.rounds(20, 20).evidence)

    def test_blackout(self) -> None:
        """A run of losses is a blackout, and no random loss; at its end there must be an answer."""
        record = Record()
        record.send(STEADY, 1000, lost=lambda n: 500 <= n < 600)
        found = self.one(record.evidence, "datagrams-blackout", WARN, "1 time, up to 0.99 s")
        self.assertEqual(found.match.evidence, ["100 in a row, 0.99 s, at 5.0 s"])
        endless = Record()
        endless.send(STEADY, 1000, lost=lambda n: n >= 500)
        self.assertEqual(blackoutsIn(endless.seen.sent), [])

    def test_runsByChance(self) -> None:
        """Runs that the general loss makes are no blackout, nor are those of a few hundredths of a second."""
        record = Record()
        halves = record.send(STEADY, 1000, lost=lambda n: n % 20 < 10)
        self.assertEqual(blackoutsIn(halves), [])
        short = record.send(STEADY, 1000, lost=lambda n: 500 <= n < 510, interval=0.005)
        self.assertEqual(blackoutsIn(short), [])

    def trials(self, passes: Callable[[float], float]) -> Record:
        """Returns trials of rates, of which a share passes, without chance."""
        record = Record()
        record.send(STEADY, 1000, lost=every(10))
        record.send(f"{STEADY} 2", 1000, lost=every(10))
        record.send(f"{STEADY} 3", 1000, lost=every(10))
        for number, rate in enumerate((400, 25, 200) * 2):
            share = passes(rate)
            lost = lambda n, share=share: int((n + 1) * share) == int(n * share)  # noqa: E731
            record.send(f"{TRIAL} {number + 1}", 2 * rate, lost=lost, interval=1 / rate)
        return record

    def test_limited(self) -> None:
        """Where fast trials lose more than slow ones and the same rate passes, it is the limit."""
        evidence = self.trials(lambda rate: min(1.0, 80 / rate)).evidence
        found = self.one(evidence, "datagrams-limited", WARN, "about 80 a second pass")
        self.assertIs(found.match.confidence, Confidence.LIKELY)
        self.one(self.trials(lambda rate: 0.9).evidence, "datagrams-lost", WARN)

    def test_limitedOnce(self) -> None:
        """A limit that only one of two fast trials shows is none."""
        record = self.trials(lambda rate: 0.9)
        for each in record.seen.sent:
            if each.phase == f"{TRIAL} 1":
                each.came = None
        self.one(record.evidence, "datagrams-lost", WARN)

    def firsts(self, *phases: str, late: float = 0.0) -> Record:
        """Returns a record in which the first datagrams of these phases are lost, or late."""
        record = Record()
        for number, phase in enumerate((PORTS, FRESH)):
            sources = range(20 * number, 20 * number + 20)
            sent = record.send(phase, 200, sources=sources)
            for each in sent if phase in phases else []:
                if each.index == 0:
                    each.came = each.sent + late if late else None
        return record

    def test_firstLost(self) -> None:
        """First datagrams are lost, when those of fresh sources are lost again."""
        evidence = self.firsts(PORTS, FRESH).evidence
        self.one(evidence, "datagrams-first-lost", WARN, "of 40 of 40 sources")
        self.none(self.firsts(PORTS).evidence)

    def test_firstLate(self) -> None:
        """First answers are late, when those of fresh sources are late again, by more than chance."""
        evidence = self.firsts(PORTS, FRESH, late=0.05).evidence
        self.one(evidence, "datagrams-first-late", WARN, "of 40 of 40 sources, the median 50.0 ms")
        self.none(self.firsts(PORTS, late=0.05).evidence)
        self.none(self.firsts(PORTS, FRESH, late=0.005).evidence)


class SizeTests(JudgeTestCase):
    def sizes(self, largest: int, lost: int, unfragmented: int = 1472, loss: int = 10**6) -> Record:
        """Returns the tries of two sizes, each beside a small datagram that comes back."""
        record = Record(unfragmented=unfragmented)
        record.send(STEADY, 1000, lost=lambda n: n % loss == 1)
        for size in (largest, lost) * 6:
            record.send(SIZES, size=size, lost=lambda n, each=size: each == lost)  # type: ignore[misc]
            record.send(CONTROL)
        return record

    def test_limit(self) -> None:
        """A limit is told from lost fragments by the size of a packet."""
        for largest, cause in ((1200, "size"), (1472, "fragments-lost"), (9000, "size")):
            evidence = self.sizes(largest, largest + 1).evidence
            self.one(evidence, f"datagrams-{cause}", WARN, f"{largest} B come back, {largest + 1} B do not")

    def test_fragmentable(self) -> None:
        """ICMP messages are missing only if what routers must not fragment is lost, and the rest not."""
        causes = []
        for isLost in (True, False):
            record = self.sizes(1200, 1201)
            for _ in range(6):
                record.send(WHOLE, size=1201, lost=lambda n: True)
                record.send(CONTROL)
                record.send(FRAGMENTABLE, size=1201, lost=lambda n, each=isLost: each)  # type: ignore[misc]
                record.send(CONTROL)
            causes += [each.rule.cause for each in judge(record.evidence).findings]
        self.assertEqual(causes, ["datagrams-size", "datagrams-mtu-black-hole"])

    def test_someSizes(self) -> None:
        """A size that is lost below one that comes back is named, if not by chance."""
        self.one(self.sizes(9000, 1400).evidence, "datagrams-by-size", WARN, "1400 B, 6 of 6 lost")
        self.none(self.sizes(9000, 1400, loss=2).evidence)

    def test_wide(self) -> None:
        """Fragments that are lost between two sizes that are far apart are only possible."""
        found = self.one(self.sizes(512, 1800).evidence, "datagrams-fragments-lost", WARN)
        self.assertIs(found.match.confidence, Confidence.POSSIBLE)

    def test_loss(self) -> None:
        """On a lossy path the loss of all fragments of a large datagram may be chance."""
        self.none(self.sizes(60_000, 65_000, loss=100).evidence)

    def test_dark(self) -> None:
        """A try whose small neighbour is lost as well is none."""
        record = self.sizes(1200, 1201)
        for each in record.seen.of(CONTROL):
            each.came = None
        self.none(record.evidence)

    def test_empty(self) -> None:
        """Empty datagrams are lost when all are, and their neighbours are not."""
        for isLost, controls, isFound in ((True, False, True), (True, True, False), (False, False, False)):
            record = Record()
            record.send(STEADY, 1000)
            for _ in range(8):
                record.send(EMPTY, size=0, lost=lambda n, each=isLost: each)  # type: ignore[misc]
                record.send(CONTROL, lost=lambda n, each=controls: each)  # type: ignore[misc]
            if isFound:
                self.one(record.evidence, "datagrams-empty-lost", WARN, "8 of 8")
            else:
                self.none(record.evidence)


class FlowTests(JudgeTestCase):
    def silences(self, fates: Sequence[tuple[float, int]], fresh: bool = True) -> Record:
        """Returns pairs of sources that were silent for some seconds, of which so many were forgotten."""
        record = Record()
        record.send(STEADY, 1000)
        for place, (seconds, gone) in enumerate(fates):
            one, two, new = (3 * place + n + 1 for n in range(3))
            record.send(BEFORE, 6, sources=(one, two))
            lost = lambda n, gone=gone: n % 3 < gone or (n % 3 == 2 and not fresh)  # noqa: E731
            record.send(AFTER, 9, sources=(one, two, new), lost=lost)
            record.seen.silences.append(Silence(seconds, (one, two), new))
        return record

    def test_forgotten(self) -> None:
        """A source is forgotten between the longest silence that it survived and a longer one."""
        evidence = self.silences([(4.0, 0), (5.0, 2), (6.0, 2)]).evidence
        words = "answered after 4 s of silence, not after 5 s"
        found = self.one(evidence, "datagrams-forgotten", FAIL, words)
        self.assertIs(found.match.confidence, Confidence.LIKELY)
        found = self.one(self.silences([(5.0, 0), (6.0, 2)]).evidence, "datagrams-forgotten", FAIL)
        self.assertIs(found.match.confidence, Confidence.POSSIBLE)

    def test_notForgotten(self) -> None:
        """One of a pair is no finding, nor is a shorter silence, nor one beside a lost fresh source."""
        self.none(self.silences([(5.0, 0), (6.0, 1)]).evidence)
        self.none(self.silences([(5.0, 2), (6.0, 0)]).evidence)
        self.none(self.silences([(5.0, 0), (6.0, 2)], fresh=False).evidence)

    def test_ends(self) -> None:
        """Busy sources end when two do, each while another source is answered."""
        for others, count in ((True, 2), (True, 1), (False, 2)):
            record = Record()
            for round in range(count):
                busy, fresh = 2 * round, 2 * round + 1
                record.send(f"{STEADY} {round + 1}", 1000, sources=(busy,), lost=lambda n: n >= 500)
                lost = lambda n, others=others: n % 2 == 1 or not others  # noqa: E731
                record.send(RETRY, 20, sources=(fresh, busy), lost=lost)
            if others and count > 1:
                words = "2 sources that were busy, after 5 to 5 s"
                found = self.one(record.evidence, "datagrams-source-ends", FAIL, words)
                self.assertEqual(found.match.evidence[0], "after 500 to 500 datagrams")
            else:
                self.assertNotIn("datagrams-source-ends", causes(judge(record.evidence)))

    def test_remapped(self) -> None:
        """A mapping is new, when the service reports another port for both sources."""
        record = self.silences([(5.0, 0), (6.0, 0)])
        for each in record.seen.of(BEFORE, AFTER):
            isNew = each.phase == AFTER and each.source in (4, 5)
            each.seenAs = f"203.0.113.9:{2000 + 2 * each.source + isNew}"
        self.one(record.evidence, "datagrams-remapped", WARN, "the same after 5 s of silence, new after 6 s")

    def test_repeated(self) -> None:
        """Copies are named when they are more than one in a thousand."""
        for count, isFound in ((20, True), (2, False)):
            record = Record()
            for each in record.send(STEADY, 1000)[:count]:
                each.copies = 2
            if isFound:
                found = self.one(record.evidence, "datagrams-repeated", WARN, "20 of 1000, 1.3 to 3.1 %")
                self.assertEqual(found.match.evidence, ["40 further answers in all"])
            else:
                self.none(record.evidence)

    def test_reordered(self) -> None:
        """The extent of reordering is in datagrams, and in seconds."""
        record = Record()
        for each in record.send(STEADY, 1000)[:990:50]:
            each.came, each.overtaken = each.sent + 0.032, 2
        found = self.one(record.evidence, "datagrams-reordered", WARN, "20 of 1000")
        self.assertEqual(found.match.evidence[0], "by up to 2 datagrams")
        self.assertIn("up to 20.0 ms behind", found.match.evidence[1])

    def late(self, *places: int) -> Record:
        """Returns a record with late answers at these places."""
        record = Record()
        sent = record.send(STEADY, 1000)
        for place in places:
            sent[place].came = sent[place].sent + 2
        return record

    def test_late(self) -> None:
        """Late answers count when they come at several moments, and the probe was not late itself."""
        self.one(self.late(100, 101, 800).evidence, "datagrams-late", WARN, "3 of 1000 later than 1 s")
        self.none(self.late(100, 101, 102).evidence)
        evidence = self.late(100, 101, 800).evidence
        evidence.lateness += [(2.9, 1.8), (9.9, 1.8)]
        self.none(evidence)

    def test_jitter(self) -> None:
        """Round trips that vary in most parts are jitter, unless this process was late as much."""
        for late, isFound in ((0.0, True), (0.2, False)):
            record = Record()
            for n, each in enumerate(record.send(FAST, 0) + record.send(STEADY, 1000)):
                each.came = each.sent + (0.01, 0.08)[n % 2]
            evidence = record.evidence
            evidence.lateness += [(second + 0.5, late) for second in range(10)] if late else []
            if isFound:
                self.one(evidence, "datagrams-jitter", WARN, "between 10.00 ms and 80.0 ms")
            else:
                self.none(evidence)
