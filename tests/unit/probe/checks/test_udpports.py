"""The check of datagrams, judged, on paths that treat some source ports or small datagrams in another way."""

from __future__ import annotations

from random import Random

from echo_app.probe.checks.udp import PORT_COUNT
from echo_app.probe.checks.udprecord import PORTS
from tests.support.datagrampaths import Answers, DatagramPathTestCase, examined, lossy, when
from tests.support.paths import FakeSource


class PortTests(DatagramPathTestCase):
    def test_ports(self) -> None:
        """Source ports that lose everything are named; the main question is not asked from one of them."""
        result = examined(when(lambda source, data: source.port % 8 == 1 and source.number < PORT_COUNT))
        self.check(result, "datagrams-by-port", "8 of 64 source ports: 40001, 40009, ")
        self.assertEqual(result.data("udp")["silentPorts"], list(range(40_001, 40_065, 8)))

    def test_portsAll(self) -> None:
        """Ports that are dead at random are found, though some of the fresh ones are dead as well."""
        for seed in range(8):
            isDead = when(lambda source, data, seed=seed: Random(f"{seed} {source.port}").random() < 0.33)  # type: ignore[misc]
            self.check(examined(isDead), "datagrams-by-port", " of 64 source ports: ")

    def test_portsExhausted(self) -> None:
        """Ports are found though all fresh ones are dead, as behind a NAT without a port left."""
        self.check(examined(when(lambda source, data: source.number >= 60)), "datagrams-by-port", "4 of 64")

    def test_portsQuick(self) -> None:
        """With --quick, one of four ports is enough."""
        result = examined(when(lambda source, data: source.number in (1, 6)), isQuick=True)
        self.check(result, "datagrams-by-port", "1 of 4 source ports: 40002")

    def test_portsDark(self) -> None:
        """A port that is silent is none of them if nothing at all is answered when it is tried again."""
        isDark = when(lambda source, data: source.number == 3 or source.sent[-1].phase == f"{PORTS} 2")
        self.check(examined(isDark), "")

    def test_portsOnce(self) -> None:
        """A port that is silent in one round is none of them."""
        self.check(examined(when(lambda source, data: source.port == 40_001 and source.now < 5)), "")


class LossyPortTests(DatagramPathTestCase):
    def lossy(self, share: float, loss: float, seed: int) -> Answers:
        """Returns a path that loses datagrams of some source ports, and none of the others."""
        chance = Random(seed)

        def isLost(source: FakeSource, data: bytes) -> bool:
            isHit = Random(f"{seed} {source.port}").random() < share
            return isHit and chance.random() < loss

        return when(isLost)

    def test_lossy(self) -> None:
        """Ports that lose some datagrams beside ports that lose none are no limit, and no general loss."""
        for seed in range(8):
            result = examined(self.lossy(0.3, 0.4, seed))
            self.check(result, "datagrams-lost-by-port", " of 64 source ports lose ")

    def test_quick(self) -> None:
        """With --quick, where few ports are tried, such a path has no other name."""
        causes = {cause for seed in range(40) for cause in examined(self.lossy(0.3, 0.4, seed), True).causes}
        self.assertEqual(causes, {"datagrams-lost-by-port"})

    def test_everywhere(self) -> None:
        """Losses that all ports have are no matter of the port, though some lose none in one round."""
        for loss in (0.05, 0.2):
            self.check(examined(lossy(loss)), "datagrams-lost")


class SmallTests(DatagramPathTestCase):
    def test_emptyLost(self) -> None:
        """Empty datagrams that are lost are named."""
        self.check(examined(when(lambda source, data: not data)), "datagrams-empty-lost", "8 of 8")

    def test_padded(self) -> None:
        """Small answers that are longer than their datagrams are named, and nothing beside them."""
        for fill in (b"\0", b"\x17"):
            result = examined(lambda source, data, fill=fill: [(0.002, data.ljust(18, fill))])  # type: ignore[misc]
            self.check(result, "datagrams-padded", "0 B came back as 18 B")
        result = examined(lambda source, data: [(0.002, data.ljust(1, b"\0"))], isQuick=True)
        self.check(result, "datagrams-padded", "0 B came back as 1 B")
        result = examined(lambda source, data: [(0.002, data + b"\0" * 4)], isQuick=True)
        self.check(result, "datagrams-padded", "0 B came back as 4 B")

    def test_paddedTwice(self) -> None:
        """A longer answer that comes twice is no answer to nothing."""
        result = examined(lambda source, data: [(each, data.ljust(18, b"\0")) for each in (0.002, 0.003)])
        self.assertEqual(set(result.causes), {"datagrams-padded", "datagrams-repeated"}, result)

    def test_emptyElse(self) -> None:
        """A line that answers empty datagrams is no padding, as the others come back whole."""
        result = examined(lambda source, data: [(0.002, data or b"ERROR")], isQuick=True)
        self.assertNotIn("datagrams-padded", result.causes, result)
        self.assertIn("datagrams-foreign", result.causes, result)
