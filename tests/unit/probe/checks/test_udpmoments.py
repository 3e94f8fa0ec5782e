"""The check of datagrams, judged, on paths that lose datagrams of bursts, or after a rest."""

from __future__ import annotations

from random import Random

from echo_app.probe.checks.udp import BURST_COUNT, BURSTS
from echo_app.probe.checks.udprecord import BURST
from tests.support.datagrampaths import DatagramPathTestCase, echo, examined, recordOf, when
from tests.support.paths import FakeSource
from tests.support.probing import Examined


class BurstTests(DatagramPathTestCase):
    def queue(self, size: float, rate: float) -> Examined:
        """Examines a path with a queue of so many datagrams, of which so many a second are taken."""
        state = {"room": size, "at": 0.0}

        def isLost(source: FakeSource, data: bytes) -> bool:
            state["room"] = min(size, state["room"] + (source.now - state["at"]) * rate)
            state["at"] = source.now
            if state["room"] < 1:
                return True
            state["room"] -= 1
            return False

        return examined(when(isLost))

    def test_shortQueue(self) -> None:
        """Bursts whose first datagrams alone pass are named, with the number of those."""
        for size in (5, 12, 40):
            left = 180 - 3 * size
            said = f"first {size} to {size} pass, of {left} behind them {left} are lost"
            self.check(self.queue(size, 1500), "datagrams-burst-lost", said)

    def test_limited(self) -> None:
        """A limit below the rates that are tried is one on the rate."""
        self.check(self.queue(20, 100), "datagrams-limited")

    def test_lossy(self) -> None:
        """Losses of bursts that other datagrams have as well are losses."""
        chance = Random(1)
        result = examined(when(lambda source, data: chance.random() < 0.2))
        self.check(result, "datagrams-lost")

    def test_onlyOnce(self) -> None:
        """A burst that is cut once is no finding."""
        result = examined(when(lambda source, data: source.sent[-1].phase == f"{BURST} 2"))
        self.check(result, "")
        self.assertEqual(len(recordOf(result).of(BURST)), BURSTS * BURST_COUNT)

    def test_quick(self) -> None:
        """With --quick there are no bursts."""
        self.assertEqual(recordOf(examined(echo, isQuick=True)).of(BURST), [])


class RestTests(DatagramPathTestCase):
    def test_afterRest(self) -> None:
        """A first datagram that is lost after a rest is named, with the silences between which it is."""

        def isLost(source: FakeSource, data: bytes) -> bool:
            return len(source.sent) > 1 and source.now - source.sent[-2].sent > 3.5

        result = examined(when(isLost))
        self.check(result, "datagrams-lost-after-rest", "after 4 s of silence, not after 3")

    def test_once(self) -> None:
        """One silence after which the first datagrams are lost may be a short outage."""
        isLost = when(
            lambda source, data: len(source.sent) > 1 and 3.5 < source.now - source.sent[-2].sent < 4.5
        )
        self.check(examined(isLost), "")

    def test_lossy(self) -> None:
        """On a lossy path no first datagrams are named."""
        for seed in range(6):
            chance = Random(seed)
            isLost = when(lambda source, data, chance=chance: chance.random() < 0.3)  # type: ignore[misc]
            self.assertNotIn("datagrams-lost-after-rest", examined(isLost).causes)
