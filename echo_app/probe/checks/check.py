"""Interface of a check: the context that it gets, its cost, and its observations."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol, TypeVar

from echo_app.probe.checks.evidence import CheckSettings, Evidence, Observation
from echo_app.probe.checks.link import Link
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.net.errors import NetworkError
from echo_app.probe.net.segments import connectWithSegments
from echo_app.probe.net.stream import CONNECT_TIMEOUT, connect
from echo_app.probe.net.waits import pause
from echo_app.targets import Target

# Descriptors that this process needs for other purposes.
RESERVE = 32

Seen = TypeVar("Seen", bound=Observation, contravariant=True)


@dataclass(frozen=True, slots=True)
class Cost:
    """Maximum cost of a check or an examination.

    :param bytes: payload sent; as many come back.
    :param connections: or sources of datagrams.
    :param seconds: on a path with no more than 100 ms of delay, unless something is wrong.
    """

    bytes: int = 0
    connections: int = 0
    seconds: float = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.bytes + other.bytes, self.connections + other.connections, self.seconds + other.seconds
        )


@dataclass(frozen=True, slots=True)
class Context:
    """The context of a check: reactor, target, random numbers, and where it writes what it sees.

    :param reactor: an ``IReactorTime``, ``IReactorFDSet`` and ``IReactorUDP``.
    :param target: at one address, where it has any.
    :param random: the only source of random numbers, so that a run can be repeated.
    :param check: the name of the check.
    :param start: the examination's begin, in seconds of the reactor.
    """

    reactor: Any
    target: Target
    evidence: Evidence
    random: Random
    check: str = ""
    start: float = 0.0

    @property
    def settings(self) -> CheckSettings:
        """The settings of the examination."""
        return self.evidence.settings

    @property
    def now(self) -> float:
        """Seconds since the examination's begin."""
        return float(self.reactor.seconds()) - self.start

    def newRecord(self) -> ConnectionRecord:
        """Returns the record of a connection that begins now."""
        return self.evidence.newRecord(self.check, self.now)

    async def connect(
        self,
        target: Target | None = None,
        timeout: float = CONNECT_TIMEOUT,
        record: ConnectionRecord | None = None,
        segment: int = 0,
    ) -> Link:
        """Connects, and records the attempt. The check must close the link.

        :param target: another one than the context's.
        :param record: of the connection; None is a new one.
        :param segment: payload bytes of the largest TCP segment; 0 is the kernel's.
        :param timeout: seconds for the connection, and as many for a TLS handshake.
        :raise NetworkError: when there is no connection.
        """
        await self._space(record)
        record = record or self.newRecord()
        target = target or self.target
        try:
            if segment:
                stream = await connectWithSegments(self.reactor, target.host, target.port, segment, timeout)
            else:
                stream = await connect(self.reactor, target, timeout)
        except NetworkError as error:
            record.failure = error.reason
            raise
        record.connected = stream.madeAt - self.start - record.began
        if stream.tls is not None:
            record.shaken = self.now - record.began
        if target.kind in ("tcp", "tls"):
            record.local = stream.sock.getsockname()[:2]
        return Link(
            self.reactor,
            stream,
            record,
            examination=self.evidence.examination,
            random=self.random,
            start=self.start,
        )

    async def _space(self, record: ConnectionRecord | None) -> None:
        """Waits until another connection may be begun, where a limit on their rate was seen."""
        spacing = self.evidence.spacing
        last = next((each for each in reversed(self.evidence.connections) if each is not record), None)
        if spacing and last is not None:
            await pause(self.reactor, max(0.0, last.began + spacing - self.now))
            if record is not None:
                record.began = self.now


class Check(Protocol[Seen]):
    """Interface of a check of a path, and the base class of one that is for streams alone.

    A check observes, and draws no conclusion: the judge does.

    :ivar name: one word, such as ``half-close``.
    """

    name: str

    def reasonToSkip(self, context: Context) -> str:
        """Returns the reason for which the check does not apply to the context; empty if it does."""
        return "" if context.target.isStream else "no stream"

    def cost(self, context: Context) -> Cost:
        """Returns the maximum cost. The check is ended at a multiple of its ``seconds``."""

    def begin(self) -> Any:
        """Returns the check's observation, without anything seen yet."""

    async def run(self, context: Context, seen: Seen) -> None:
        """Runs the check, and writes to its observation as it goes on.

        Cancelling it closes what it has opened.

        :raise NetworkError: when there is no connection; the record says so already.
        """


def lackOfDescriptors(count: int) -> str:
    """Returns the reason for which so many sockets can't be open together; empty if they can."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    isEnough = limit == resource.RLIM_INFINITY or limit >= count + RESERVE
    return "" if isEnough else f"{count} sockets, but {limit} descriptors (ulimit -n)"
