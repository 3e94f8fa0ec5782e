"""The loop of a load: real sockets, and moments."""

from __future__ import annotations

import socket
import time

from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.load.loop import IN, OUT, Loop


class LoopTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.loop = Loop()
        self.addCleanup(self.loop.close)

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """Returns two connected sockets."""
        pair = socket.socketpair()
        for each in pair:
            self.addCleanup(each.close)
        return pair

    def test_moments(self) -> None:
        """Calls come in the order of their moments, none before it, however near or far that is."""
        begin, calls = time.monotonic(), []

        def call(moment: float) -> None:
            calls.append((moment, time.monotonic()))
            if len(calls) == 4:
                self.loop.stop()

        for seconds in (0.01, 0.0, 0.0001, 0.0005):
            self.loop.at(begin + seconds, call)
        self.loop.run()
        moments = [moment for moment, _ in calls]
        self.assertEqual(moments, sorted(moments))
        for moment, now in calls:
            self.assertGreaterEqual(now, moment)

    def test_again(self) -> None:
        """A call that returns another moment is called then."""
        begin, calls = time.monotonic(), []

        def call(moment: float) -> float | None:
            calls.append(moment)
            if len(calls) < 5:
                return moment + 0.001
            self.loop.stop()
            return None

        self.loop.at(begin, call)
        self.loop.run()
        for number, moment in enumerate(calls):
            self.assertApproximates(moment, begin + number / 1000, 1e-9)

    def test_exact(self) -> None:
        """Moments that are near are not waited for in whole milliseconds."""
        late = []

        def call(moment: float) -> float | None:
            late.append(time.monotonic() - moment)
            if len(late) < 200:
                # Each at another part of a millisecond.
                return time.monotonic() + 0.00037
            self.loop.stop()
            return None

        self.loop.at(time.monotonic(), call)
        self.loop.run()
        # In whole milliseconds each would be 0.63 ms late; a busy machine is not that late ten times of 200.
        self.assertLess(sorted(late)[10], 0.0003)

    def test_ready(self) -> None:
        """A socket is served while it waits for a moment that is far away."""
        one, other = self.pair()
        seen = []

        def ready(event: int) -> None:
            seen.append((event, one.recv(10)))
            self.loop.stop()

        self.loop.watch(one.fileno(), IN, ready)
        self.loop.at(time.monotonic() + 1000, lambda moment: None)
        self.loop.at(time.monotonic(), lambda moment: other.send(b"x") and None)
        self.loop.run()
        self.assertEqual(seen, [(IN, b"x")])
        self.assertGreater(self.loop.woken, 0)

    def test_since(self) -> None:
        """A socket that was found ready at once may have been so since the loop last looked."""
        one, other = self.pair()
        moments = []

        def ready(event: int) -> None:
            one.recv(1)
            moments.append((self.loop.since, self.loop.woken, time.monotonic()))
            # It is ready again before the loop waits.
            other.send(b"x")
            if len(moments) == 2:
                self.loop.stop()

        self.loop.watch(one.fileno(), IN, ready)
        self.loop.at(time.monotonic() + 0.01, lambda moment: other.send(b"x") and None)
        self.loop.run()
        (since, woken, served), (sinceThen, wokenThen, _) = moments
        self.assertLessEqual(since, woken)
        self.assertLess(sinceThen, served)
        self.assertGreaterEqual(wokenThen, served)

    def test_change(self) -> None:
        """A descriptor's events can change."""
        one, _ = self.pair()
        seen = []

        def ready(event: int) -> None:
            seen.append(event)
            self.loop.stop()

        self.loop.watch(one.fileno(), IN, ready)
        self.loop.change(one.fileno(), IN | OUT, ready)
        self.loop.run()
        self.assertEqual(seen, [OUT])

    def test_forgotten(self) -> None:
        """A descriptor that another call has forgotten is not served, even if it was ready as well."""
        pairs, served = [self.pair(), self.pair()], []

        def ready(event: int) -> None:
            served.append(event)
            for one, _ in pairs:
                self.loop.forget(one.fileno())
            self.loop.stop()

        for one, other in pairs:
            other.send(b"x")
            self.loop.watch(one.fileno(), IN, ready)
        self.loop.run()
        self.assertEqual(served, [IN])

    def test_stopped(self) -> None:
        """Nothing is called after it is stopped."""
        now, calls = time.monotonic(), []

        def call(moment: float) -> None:
            calls.append(moment)
            self.loop.stop()

        self.loop.at(now, call)
        self.loop.at(now, call)
        self.loop.run()
        self.assertEqual(calls, [now])
