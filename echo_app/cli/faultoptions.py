"""The options that say what goes wrong on purpose."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.python.usage import Options, UsageError

from echo_app.cli.arguments import byteCount, named, row, wholeNumber
from echo_app.faults.fault import BadSpec, Fault
from echo_app.faults.flowlayer import CAP
from echo_app.faults.plan import FaultPlan
from echo_app.faults.spec import parseFault


class FaultOptions(Options):
    """Their part of the command line."""

    optFlags = [
        [
            "fault-preamble",
            None,
            "A connection may begin with a line that chooses its faults, such as '!fault latency=50ms'.",
        ],
    ]
    optParameters = [
        row(
            "fault-file",
            None,
            "File with a fault a line; read again at SIGHUP, for connections to come.",
            str,
        ),
        row(
            "fault-seed",
            None,
            "Whole number that all that faults leave to chance comes from; the same run twice is the "
            "same. [default: another one each time, which is logged]",
            wholeNumber,
        ),
        row(
            "fault-buffer",
            None,
            "Bytes, such as 64KiB, that faults hold back for one connection before reading from its "
            "peer stops. [default: 4MiB]",
            byteCount,
        ),
    ]

    def opt_fault(self, text: str) -> None:
        """What is to go wrong on purpose, such as latency=50ms or reset,after=10KiB. Repeatable."""
        self.setdefault("faults", []).append(named("fault", parseFault)(text))

    def checkFaults(self) -> None:
        """Refuses what would apply to nothing.

        :raise UsageError: says what.
        """
        self.checkApplies(self.get("faults", ()))
        if self["fault-preamble"] and not self._hasStreams():
            raise UsageError("--fault-preamble: there is no --port, --tls or --listen that it applies to")
        for option in ("fault-seed", "fault-buffer"):
            if self[option] is not None and not self._hasFaults():
                raise UsageError(f"--{option} {self[option]}: there is no --fault that it applies to")

    def checkApplies(self, faults: Iterable[Fault]) -> None:
        """Refuses faults of what there is none of.

        :raise UsageError: says which.
        """
        for fault in faults:
            isStreams = fault.isForStreams and self._hasStreams()
            if not (isStreams or (fault.isForDatagrams and self["udp-ports"])):
                what = "--port, --tls or --listen" if fault.isForStreams else "--udp"
                raise UsageError(f"--fault '{fault}': there is no {what} that it applies to")

    def faultPlan(self) -> FaultPlan | None:
        """Returns what goes wrong; None is nothing.

        :raise UsageError: when the fault file can't be used.
        """
        if not self._hasFaults():
            return None
        faults, path, cap = self.get("faults", ()), self["fault-file"], self["fault-buffer"] or CAP
        try:
            return FaultPlan(faults, seed=self["fault-seed"], path=path, cap=cap)
        except BadSpec as error:
            raise UsageError(f"--fault{'' if path is None else f'-file {path!r}'}: {error}") from None

    def _hasStreams(self) -> bool:
        return bool(self["ports"] or self["tls-ports"] or self["endpoints"])

    def _hasFaults(self) -> bool:
        return bool(self.get("faults") or self["fault-file"] or self["fault-preamble"])
