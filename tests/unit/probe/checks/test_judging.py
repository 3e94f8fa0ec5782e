"""The checks of a stream, and their conclusions."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks import halfclose, identity, latereader, reach, smallwrites
from echo_app.probe.checks.check import Result, Status
from echo_app.probe.checks.halfclose import LARGE, SMALL, Try
from echo_app.probe.checks.identity import Shortfall
from echo_app.probe.checks.latereader import LIMIT, Filled
from echo_app.probe.checks.smallwrites import PAIRS, Pair
from echo_app.probe.net.errors import ErrorKind, Reason, timedOut
from echo_app.probe.results.difference import StreamDifference

FIN, RESET, REFUSED = map(Reason, (ErrorKind.FIN, ErrorKind.RESET, ErrorKind.REFUSED))
CLOSE_NOTIFY, TRUNCATED = map(Reason, (ErrorKind.CLOSE_NOTIFY, ErrorKind.TRUNCATED))


class JudgeTestCase(SynchronousTestCase):
    def check(self, result: Result, status: Status, seen: str) -> None:
        """Checks how a result is and what it says; what is found has a meaning, and nothing else has."""
        self.assertEqual((result.status, result.seen), (status, seen))
        self.assertEqual(bool(result.meaning), status in (Status.WARN, Status.FAIL))


class ResolveTests(JudgeTestCase):
    def test_good(self) -> None:
        """Both families are named, and a family without an address."""
        result = reach.judgeAddresses("lb.example", {"203.0.113.9": None})
        self.check(result, Status.PASS, "A 203.0.113.9, no AAAA")
        self.assertEqual(result.details["address"], "203.0.113.9")
        both = reach.judgeAddresses("lb.example", {"2001:db8::9": None, "203.0.113.9": None})
        self.check(both, Status.PASS, "A 203.0.113.9, AAAA 2001:db8::9")

    def test_excused(self) -> None:
        """A loopback sibling that refuses and a family without a route are no findings; the rest works."""
        for address, reason in (("::1", REFUSED), ("2001:db8::9", Reason(ErrorKind.UNREACHABLE))):
            result = reach.judgeAddresses("lb.example", {address: reason, "203.0.113.9": None})
            self.check(result, Status.PASS, f"A 203.0.113.9, AAAA {address}; {address}: {reason}")
            self.assertEqual(result.details["address"], "203.0.113.9")

    def test_oneOfSeveral(self) -> None:
        """An address that does not work beside one that does is a warning."""
        tried = {"203.0.113.9": timedOut(10).whileConnecting, "203.0.113.10": None}
        seen = "1 of 2 addresses: 203.0.113.9: connect timed out after 10 s"
        self.check(reach.judgeAddresses("lb.example", tried), Status.WARN, seen)

    def test_none(self) -> None:
        """Nothing that works, and nothing that resolves, end the examination."""
        refused = reach.judgeAddresses("127.0.0.1", {"127.0.0.1": REFUSED})
        self.check(refused, Status.FAIL, "127.0.0.1: refused")
        unknown = reach.judgeAddresses("lb.example", {})
        self.check(unknown, Status.FAIL, "the name does not resolve")
        self.assertTrue(refused.isFinal and unknown.isFinal)


class ConnectTests(JudgeTestCase):
    def test_good(self) -> None:
        """Times are said as far as their number allows."""
        seen = "p50 2.00 ms, max 2.00 ms of 20"
        self.check(reach.judgeConnects([0.002] * 20, []), Status.PASS, seen)

    def test_some(self) -> None:
        """Some that are not made are a warning."""
        seen = "1 of 20 not made: refused"
        self.check(reach.judgeConnects([0.002] * 19, [REFUSED]), Status.WARN, seen)

    def test_none(self) -> None:
        """Without a connection the other checks are skipped, with the meaning of the reason."""
        meanings = set()
        for reason in (
            REFUSED,
            timedOut(10).whileConnecting,
            Reason(ErrorKind.CERTIFICATE, "expired"),
            Reason(ErrorKind.TLS, "wrong version number"),
        ):
            result = reach.judgeConnects([], [reason] * 3)
            self.check(result, Status.FAIL, str(reason))
            self.assertTrue(result.isFinal)
            meanings.add(result.meaning)
        self.assertEqual(len(meanings), 4)


class IdentityTests(JudgeTestCase):
    def test_offset(self) -> None:
        """An offset counts from the connection's beginning."""
        for kind in ("changed", "lost", "duplicated", "moved"):
            result = identity.judge(StreamDifference(kind, 5, 2, b"ab"), 1000)
            self.assertEqual((result.status, result.details["offset"]), (Status.FAIL, 1005))
            self.assertIn("1005", result.seen)
            self.assertFalse(result.isFinal)

    def test_foreign(self) -> None:
        """A server's foreign bytes are shown, with control characters escaped."""
        result = identity.judge(StreamDifference("foreign", 5, 0, b"\x1b[2J\nHTTP"), 1000)
        self.assertEqual(result.seen, r"foreign bytes from offset 1005: '\x1b[2J\nHTTP'")
        self.assertFalse(result.isFinal)

    def test_noEcho(self) -> None:
        """A server that answers the very first bytes with others is no echo, and is not asked any more."""
        result = identity.judge(StreamDifference("foreign", 0, 0, b"HTTP/1.1 400"), 0)
        self.check(result, Status.FAIL, "other bytes: 'HTTP/1.1 400'")
        self.assertTrue(result.isFinal)

    def test_nothing(self) -> None:
        """A server that does not answer is not asked any more."""
        silent = identity.judge(Shortfall(0, 256, None), 0)
        self.check(silent, Status.FAIL, "nothing of 256 B came back, then timed out after 10 s")
        closed = identity.judge(Shortfall(0, 256, RESET), 0)
        self.check(closed, Status.FAIL, "nothing of 256 B came back, then reset")
        self.assertTrue(silent.isFinal and closed.isFinal)

    def test_part(self) -> None:
        """A partial echo is reported with its length, its difference and its end."""
        result = identity.judge(Shortfall(10, 20, FIN), 100)
        self.check(result, Status.FAIL, "110 of 120 B came back, then FIN")
        self.assertFalse(result.isFinal)


FLIPPED = StreamDifference("changed", 5, 1, b"x")


class HalfCloseTests(JudgeTestCase):
    def test_good(self) -> None:
        """Everything and then the end, also over TLS, with and without close_notify."""
        tries = [Try(SMALL, SMALL, end) for end in (FIN, CLOSE_NOTIFY, TRUNCATED)]
        self.check(halfclose.judge(tries), Status.PASS, "3 of 3 whole, then the end")

    def test_kinds(self) -> None:
        """The ways to fail are told apart."""
        for bad, kind, text in (
            (Try(SMALL, 0, FIN), "immediate close", "0 of 1024 B back, then FIN"),
            (Try(LARGE, 500, FIN), "truncation", "500 of 262144 B back, then FIN"),
            (Try(SMALL, 0, RESET), "reset", "0 of 1024 B back, then reset"),
            (Try(SMALL, SMALL, RESET), "reset", "1024 of 1024 B back, then reset"),
            (Try(SMALL, SMALL, None), "no end", "1024 of 1024 B back, then timed out after 10 s"),
            (Try(SMALL, 7, None), "silence", "7 of 1024 B back, then timed out after 10 s"),
            (Try(SMALL, 7, FIN, FLIPPED), "other bytes", "1 byte flipped at offset 5, then FIN"),
        ):
            self.assertEqual(bad.kind, kind)
            tries = [bad, Try(SMALL, SMALL, FIN)]
            self.check(halfclose.judge(tries), Status.FAIL, f"1 of 2: {text}")

    def test_mostCommon(self) -> None:
        """The kind that most of the tries show is the one that is said."""
        tries = [Try(LARGE, 5, FIN), Try(SMALL, 0, FIN), Try(SMALL, 0, FIN)]
        self.check(halfclose.judge(tries), Status.FAIL, "3 of 3: 0 of 1024 B back, then FIN")

    def test_tls(self) -> None:
        """Over TLS, where few clients read on, it is a warning."""
        result = halfclose.judge([Try(SMALL, 0, CLOSE_NOTIFY)], isTLS=True)
        self.check(result, Status.WARN, "1 of 1: 0 of 1024 B back, then close_notify")


class LateReaderTests(JudgeTestCase):
    FILLED = Filled(6 << 20, 2 << 20, 1 << 20, isPushedBack=True)

    def test_good(self) -> None:
        """Push-back is good, wherever it comes; the kernel's share of it is said."""
        seen = "push-back after 6 MiB, 3 MiB of it in this kernel"
        self.check(latereader.judge(self.FILLED, None), Status.PASS, seen)

    def test_noBound(self) -> None:
        """A server that takes everything is a warning; a merely slow one is not."""
        endless = latereader.judge(Filled(LIMIT, 0, 0, False), None)
        self.check(endless, Status.WARN, "no push-back within 64 MiB")
        slow = latereader.judge(Filled(1 << 20, 0, 0, False), None)
        self.check(slow, Status.PASS, "no push-back within 1 MiB and 20 s; whole")

    def test_lost(self) -> None:
        """An echo that is cut off, hangs or changes is a failure."""
        cut = latereader.judge(self.FILLED, Shortfall(1 << 20, 6 << 20, RESET))
        self.check(cut, Status.FAIL, "1 MiB of 6 MiB came back to a late reader, then reset")
        stuck = latereader.judge(self.FILLED, Shortfall(1 << 20, 6 << 20, None))
        self.check(stuck, Status.FAIL, "1 MiB of 6 MiB came back to a late reader, then timed out after 10 s")
        self.assertNotEqual(cut.meaning, stuck.meaning)
        other = latereader.judge(self.FILLED, StreamDifference("changed", 7, 1, b"x"))
        self.check(other, Status.FAIL, "1 byte flipped at offset 7")


class SmallWritesTests(JudgeTestCase):
    """Conclusions from pairs of rounds, which differ in our acknowledgements."""

    # Seconds of the rounds: without a delay, and late by a delayed acknowledgement, or by the machine.
    GOOD, LATE = 0.002, 0.046

    def pairs(self, longer: int, shorter: int = 0, both: int = 0) -> list[Pair]:
        """Returns a batch: pairs of which one or the other round is late, or both are."""
        late = [Pair(self.LATE, self.GOOD)] * longer + [Pair(self.GOOD, self.LATE)] * shorter
        late += [Pair(self.LATE, self.LATE)] * both
        return late + [Pair(self.GOOD, self.GOOD)] * (PAIRS - len(late))

    def judge(self, *batches: list[Pair], whole: float = GOOD, pieces: int = 1) -> Result:
        """Judges batches, and rounds in one write that all took as long."""
        return smallwrites.judge(batches, [whole] * PAIRS, pieces)

    def test_good(self) -> None:
        """Times are said, and pieces."""
        seen = "p50 2.00 ms, max 2.00 ms of 24, none waits for an acknowledgement"
        self.check(self.judge(self.pairs(0)), Status.PASS, seen)
        self.check(self.judge(self.pairs(0), pieces=3), Status.PASS, f"{seen}, 64 B in 3 pieces")

    def test_delayed(self) -> None:
        """Delayed acknowledgements alone make rounds longer: that is the far end's algorithm."""
        result = self.judge(self.pairs(24))
        self.check(result, Status.WARN, "24 of 24 wait 44.0 ms more where we delay acknowledgements")
        self.assertIn("in one piece", result.meaning)

    def test_uncured(self) -> None:
        """An answer in pieces waits, however it was asked for: one write is no advice then."""
        result = self.judge(self.pairs(24), whole=self.LATE)
        self.assertEqual((result.status, "in one piece" in result.meaning), (Status.WARN, False))

    def test_sometimes(self) -> None:
        """A far end that delays one answer of four is found when there are enough of them."""
        batches = [self.pairs(6)] * 4
        self.assertEqual([smallwrites.doWait(batches[:n]) for n in range(5)], [None, None, None, None, True])
        seen = "24 of 96 wait 44.0 ms more where we delay acknowledgements"
        self.check(self.judge(*batches), Status.WARN, seen)

    def test_delayedOnLateMachine(self) -> None:
        """A delay is found also beside rounds that are late by themselves."""
        self.assertIs(smallwrites.doWait([self.pairs(20, shorter=1, both=2)] * 2), True)

    def test_lateMachine(self) -> None:
        """A machine that is late now and then is so in rounds of either kind, which pairs in plenty tell."""
        batches = [self.pairs(1, shorter=2, both=3), self.pairs(2, shorter=2), self.pairs(0)]
        self.assertEqual([smallwrites.doWait(batches[:n]) for n in (1, 2)], [None, None])
        seen = "hardly any waits: 3 of 72 late with delayed acknowledgements, 4 with prompt ones"
        self.check(self.judge(*batches), Status.PASS, f"p50 2.00 ms, max 46.0 ms of 72, {seen}")

    def test_unsteady(self) -> None:
        """With rounds that are late too often there is no conclusion."""
        result = self.judge(*[self.pairs(9, shorter=5, both=10)] * 3, pieces=2)
        seen = "27 of 72 late with delayed acknowledgements, 15 with prompt ones, 64 B in 2 pieces"
        said = f"p50 46.0 ms, max 46.0 ms of 72, too unsteady to tell whether answers wait: {seen}"
        self.check(result, Status.SKIP, said)

    def test_slowPath(self) -> None:
        """A path whose round trip takes as long as a delay has no delay of its own."""
        for seconds, said in ((0.041, "41.0 ms"), (0.3, "300 ms")):
            result = self.judge([Pair(seconds, seconds)] * PAIRS, whole=seconds)
            seen = f"p50 {said}, max {said} of 24, none waits for an acknowledgement"
            self.check(result, Status.PASS, seen)
