"""The fault options: their checks, and the fault plan that they make."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.python.usage import Options, UsageError

from echo_app.cli.listenerkinds import DATAGRAMS, STREAMS, isAsked, listed
from echo_app.faults.fault import BadSpec, Fault
from echo_app.faults.flowlayer import CAP
from echo_app.faults.plan import FaultPlan
from echo_app.responders.named import hasFraming


class FaultOptions(Options):
    """Checks the fault options against the listeners, and makes the fault plan."""

    def checkFaults(self) -> None:
        """Refuses fault options without a listener or a fault that they apply to.

        :raise UsageError: names the option.
        """
        self.checkApplies(self["fault"])
        if self["fault-preamble"] and not isAsked(STREAMS, self):
            raise UsageError(f"--fault-preamble: there is no {listed(STREAMS)} that it applies to")
        for option in ("fault-seed", "fault-buffer"):
            if self[option] is not None and not self._hasFaults():
                raise UsageError(f"--{option} {self[option]}: there is no --fault that it applies to")

    def checkApplies(self, faults: Iterable[Fault]) -> None:
        """Refuses faults without a listener that they apply to.

        :raise UsageError: names the fault.
        """
        for fault in faults:
            isForDatagrams = fault.isForForwarded if self["forward"] is not None else fault.isForDatagrams
            kinds = STREAMS + (DATAGRAMS if isForDatagrams else ())
            if not isAsked(kinds, self):
                raise UsageError(f"--fault '{fault}': there is no {listed(kinds)} that it applies to")
            if reason := self._lacks(fault):
                raise UsageError(f"--fault '{fault}': {reason}")

    def faultPlan(self) -> FaultPlan | None:
        """Returns the plan of all faults; None without fault options.

        :raise UsageError: when the fault file can't be used.
        """
        if not self._hasFaults():
            return None
        faults, path, cap = self["fault"], self["fault-file"], self["fault-buffer"] or CAP
        try:
            plan = FaultPlan(faults, seed=self["fault-seed"], path=path, cap=cap)
        except BadSpec as error:
            raise UsageError(f"--fault{'' if path is None else f'-file {path!r}'}: {error}") from None
        for fault in plan.faults:
            if reason := self._lacks(fault):
                raise UsageError(f"--fault-file {path!r}: '{fault}': {reason}")
        return plan

    def _lacks(self, fault: Fault) -> str:
        hasDatagrams, forwards = isAsked(DATAGRAMS, self), self["forward"] is not None
        return fault.lacks(hasFraming(self["responder"]), hasDatagrams, forwards, forwards)

    def _hasFaults(self) -> bool:
        return bool(self["fault"] or self["fault-file"] or self["fault-preamble"])
