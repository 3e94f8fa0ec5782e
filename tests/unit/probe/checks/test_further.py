"""The further addresses of a name are examined by the cheap checks."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks import further
from echo_app.probe.checks.bill import Bill
from echo_app.probe.checks.check import Cost
from echo_app.probe.checks.evidence import CheckSettings
from echo_app.probe.checks.further import BRIEF, examineFurther
from echo_app.probe.checks.reach import Addresses
from echo_app.probe.net.errors import ErrorKind, Reason
from tests.support.probing import FakeCheck, context

REFUSED = Reason(ErrorKind.REFUSED)


class FurtherTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reported: list[str] = []
        self.revised: list[Cost] = []
        checks = [FakeCheck(name, lambda given: str(given.target)) for name in ("connect", "identity")]
        self.patch(further, "BRIEF", checks)

    def examine(self, *names: str, target: str = "lb.example:7") -> None:
        """Examines the addresses that the check ``resolve`` has seen."""
        self.given = context(target, Clock(), settings=CheckSettings(isThorough=True, maxTime=9))
        tried = {"192.0.2.1": REFUSED, "192.0.2.2": None, "192.0.2.3": None, "192.0.2.4": None}
        self.given.evidence.observations["resolve"] = Addresses("lb.example", tried)
        bill = Bill(self.given, Cost(50, 1, 1), lambda cost, why: self.revised.append(cost))
        self.successResultOf(
            Deferred.fromCoroutine(
                examineFurther(
                    self.given,
                    [FakeCheck(each) for each in names],
                    lambda name, evidence: self.reported.append(f"{name} at {evidence.target.host}"),
                    bill,
                )
            )
        )

    def test_all(self) -> None:
        """Each address that works, but the first of them, has evidence of its own."""
        self.examine("resolve", "connect", "identity", "burst")
        found = self.given.evidence.further
        self.assertEqual(list(found), ["192.0.2.3", "192.0.2.4"])
        seen = found["192.0.2.3"].observations
        self.assertEqual(
            {name: str(each) for name, each in seen.items()}, dict.fromkeys(seen, "tcp 192.0.2.3:7")
        )
        self.assertEqual(self.reported[:2], ["connect at 192.0.2.3", "identity at 192.0.2.3"])

    def test_settings(self) -> None:
        """They are quick, within the same limit, and their labels tell the addresses apart."""
        self.examine("connect")
        one, other = self.given.evidence.further.values()
        self.assertEqual(one.settings, CheckSettings(isQuick=True, maxTime=9))
        self.assertEqual(len({self.given.evidence.examination, one.examination, other.examination}), 3)

    def test_cost(self) -> None:
        """Their cost is told before they begin."""
        self.examine("connect", "identity")
        self.assertEqual(self.revised[0], Cost(400, 8, 4))

    def test_only(self) -> None:
        """Checks that were not asked for do not run; and over UDP none does."""
        self.examine("identity")
        self.assertEqual(self.reported, ["identity at 192.0.2.3", "identity at 192.0.2.4"])
        self.examine("burst")
        self.assertEqual(self.given.evidence.further, {})
        self.examine("connect", target="udp://lb.example:7")
        self.assertEqual(self.given.evidence.further, {})


class BriefTests(SynchronousTestCase):
    def test_names(self) -> None:
        """The cheap checks are those of bytes and ends."""
        self.assertEqual([each.name for each in BRIEF], ["connect", "tls", "identity", "half-close"])
