"""Checks ``resolve`` and ``connect``: name resolution, and the time to connect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IHostResolution, IResolutionReceiver
from zope.interface import implementer

from echo_app.probe.checks.check import Check, Context, Cost
from echo_app.probe.checks.evidence import Observation
from echo_app.probe.checks.labels import BLOCK
from echo_app.probe.net.errors import ErrorKind, NetworkError, Reason
from echo_app.probe.net.stream import CONNECT_TIMEOUT, SILENCE
from echo_app.probe.net.waits import NothingCame, within
from echo_app.probe.results.statistics import spread
from echo_app.targets import isLiteral

# How many connections are timed, and after how many failures there is no more trying.
CONNECTIONS, ENOUGH = 20, 3

# How often an address is tried that does not work.
TRIES = 3

# Seconds to wait for an answer where there was none before.
_BRIEFLY = 0.5


@implementer(IResolutionReceiver)
class _Receiver:
    """Collects addresses."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.done: Deferred[list[str]] = Deferred()

    def resolutionBegan(self, resolution: IHostResolution) -> None:
        """Does nothing."""

    def addressResolved(self, address: IAddress) -> None:
        """Adds an address."""
        assert isinstance(address, (IPv4Address, IPv6Address))
        if address.host not in self.addresses:
            self.addresses.append(address.host)

    def resolutionComplete(self) -> None:
        """Fires with all addresses."""
        if not self.done.called:
            self.done.callback(self.addresses)


async def addressesOf(reactor: Any, host: str, timeout: float = CONNECT_TIMEOUT) -> list[str]:
    """Returns a name's addresses, IPv4 and IPv6, in the resolver's order; a literal is its own.

    :return: none, when it does not resolve in time.
    """
    if isLiteral(host):
        return [host]
    receiver = _Receiver()
    reactor.nameResolver.resolveHostName(receiver, host, 0, [IPv4Address, IPv6Address])
    try:
        return await within(reactor, timeout, receiver.done)
    except NothingCame:
        return []


@dataclass(slots=True)
class Addresses(Observation):
    """The addresses of a name.

    :ivar tried: why there is no connection to each of them; None: there is. Over UDP none is tried.
    """

    host: str = ""
    tried: dict[str, Reason | None] = field(default_factory=dict)

    @property
    def address(self) -> str | None:
        """Returns the first address that works."""
        return next((address for address, reason in self.tried.items() if not reason), None)

    @property
    def isFinal(self) -> bool:
        """Says whether no address works."""
        return bool(self.host) and self.address is None

    def __str__(self) -> str:
        if not self.host:
            return "no name in it"
        if not self.tried:
            return str(ErrorKind.UNRESOLVED)
        seen = f"{self.host} is an address" if isLiteral(self.host) else _families(list(self.tried))
        failures = "; ".join(f"{address}: {reason}" for address, reason in self.tried.items() if reason)
        return f"{seen}; {failures}" if failures else seen

    def data(self) -> Mapping[str, object]:
        """Returns the addresses, each with the reason for which it does not work."""
        texts = {address: str(reason or "") for address, reason in self.tried.items()}
        return {"host": self.host, "address": self.address, "addresses": texts}


class Resolve(Check[Addresses]):
    """Resolves the name, and connects once to each address."""

    name = "resolve"
    begin = Addresses

    def reasonToSkip(self, context: Context) -> str:
        """Returns no reason: an address is tried, too."""
        return ""

    def cost(self, context: Context) -> Cost:
        """Returns the cost of a connection to each of two addresses; there may be more."""
        return Cost(0, 2, 1)

    async def run(self, context: Context, seen: Addresses) -> None:
        """Resolves and connects; the other checks use the first address that works."""
        host = context.target.host
        if not host:
            return
        addresses = await addressesOf(context.reactor, host)
        seen.host = host
        for address in addresses:
            seen.tried[address] = await self._try(context, address) if context.target.isStream else None

    async def _try(self, context: Context, address: str) -> Reason | None:
        """Returns why there is no connection; None: there is. What fails at once may do so by chance."""
        reason = None
        for _ in range(TRIES):
            try:
                link = await context.connect(replace(context.target.at(address), kind="tcp"))
            except NetworkError as error:
                reason = error.reason
            else:
                await link.close()
                return None
            if reason.kind.isTimeOut:
                break
        return reason


def _families(addresses: list[str]) -> str:
    old = [each for each in addresses if ":" not in each]
    new = [each for each in addresses if ":" in each]
    said = [f"A {' '.join(old)}" if old else "no A", f"AAAA {' '.join(new)}" if new else "no AAAA"]
    return ", ".join(said)


@dataclass(slots=True)
class Connects(Observation):
    """Connections that were made one after the other.

    :ivar times: seconds until each was there.
    :ivar reasons: why the others were not made.
    :ivar answers: seconds from the first byte that each sent to its first answer.
    """

    times: list[float] = field(default_factory=list)
    reasons: list[Reason] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)

    @property
    def isFinal(self) -> bool:
        """Says whether no connection was made."""
        return bool(self.reasons) and not self.times

    def __str__(self) -> str:
        made = [spread(self.times)] if self.times else []
        if self.answers:
            made.append(f"first answer {spread(self.answers)}")
        if self.reasons:
            tried = len(self.times) + len(self.reasons)
            made.append(f"{len(self.reasons)} of {tried} not made: {self.reasons[0]}")
        return "; ".join(made)

    def data(self) -> Mapping[str, object]:
        """Returns the times, in seconds, and the reasons."""
        return {"seconds": self.times, "answers": self.answers, "reasons": list(map(str, self.reasons))}


class Connect(Check[Connects]):
    """Makes connections one after the other, and sends a little on each."""

    name = "connect"
    begin = Connects

    def cost(self, context: Context) -> Cost:
        """Returns the cost: two round trips for each connection, over TLS four."""
        return Cost(CONNECTIONS * BLOCK, CONNECTIONS, CONNECTIONS * 0.2)

    async def run(self, context: Context, seen: Connects) -> None:
        """Makes the connections, up to ENOUGH failures. After the first silence no answer is waited for."""
        timeout = SILENCE
        for _ in range(CONNECTIONS):
            try:
                link = await context.connect()
            except NetworkError as error:
                seen.reasons.append(error.reason)
                if len(seen.reasons) == ENOUGH:
                    break
                continue
            record = link.record
            assert record.connected is not None
            seen.times.append(record.connected if record.shaken is None else record.shaken)
            link.send(BLOCK)
            try:
                if not await link.receiveRest(timeout):
                    timeout = _BRIEFLY
            finally:
                await link.close()
            if record.firstAnswer is not None:
                seen.answers.append(record.firstAnswer)
