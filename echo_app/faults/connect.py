"""The fault ``connect``: the upstream of a forwarded stream is reached late, or not at all.

The client's leg asks for it (:func:`attemptOf`) when it is to connect to the upstream.
"""

from __future__ import annotations

from dataclasses import dataclass

from echo_app.faults.fault import Stage, StreamFault, value
from echo_app.faults.formats import CONNECTING
from echo_app.faults.layer import faultsOf


@dataclass(frozen=True, kw_only=True)
class Connect(StreamFault):
    """Delays the connection to the upstream, or has it refused, or unanswered.

    :param result: seconds until the attempt begins; or ``refused`` or ``never``, without an attempt.
    """

    name = "connect"
    stage = Stage.CONNECT
    takes = ("probability", "connections")

    result: float | str = value(CONNECTING)

    def lacks(
        self, framed: bool, datagrams: bool, forwardsStreams: bool = False, forwardsDatagrams: bool = False
    ) -> str:
        """Returns the reason why the fault has no effect without an upstream."""
        return "" if forwardsStreams else f"{self.name} needs an upstream: --forward"


@dataclass(frozen=True, slots=True)
class Attempt:
    """How the faults of a connection have its attempt to reach the upstream go.

    :param faults: the texts of the faults.
    :param wait: seconds until it begins.
    :param end: ``refused`` or ``never`` if there is none; empty if it goes its way.
    """

    faults: str
    wait: float
    end: str


def attemptOf(transport: object) -> Attempt | None:
    """Returns how the faults of a connection have its attempt go; None without such a fault.

    Times add up; the first fault without a time decides how the attempt ends.

    :param transport: the transport of the protocol on top.
    """
    faults = [each for each in faultsOf(transport) if isinstance(each, Connect)]
    if not faults:
        return None
    words = [each.result for each in faults if isinstance(each.result, str)]
    wait = sum(each.result for each in faults if not isinstance(each.result, str))
    return Attempt(" ".join(map(str, faults)), wait, words[0] if words else "")
