"""Checks ``resolve`` and ``connect``: name resolution, and the time to connect."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IHostResolution, IResolutionReceiver
from zope.interface import implementer

from echo_app.probe.checks.check import Check, Context, Cost, Result, failed, passed, skipped, warned
from echo_app.probe.net.errors import ErrorKind, NetworkError, Reason
from echo_app.probe.net.stream import CONNECT_TIMEOUT, connect
from echo_app.probe.net.waits import NothingCame, within
from echo_app.probe.results.statistics import spread
from echo_app.targets import isLiteral

# How many connections are timed, and after how many failures there is no more trying.
CONNECTIONS, ENOUGH = 20, 3

# How often an address is tried that does not work.
TRIES = 3

# A host without a family's route says one of these, without asking anybody: it is no finding about the path.
LOCAL = (ErrorKind.UNREACHABLE, ErrorKind.NO_LOCAL_ADDRESS)

_MEANINGS = {
    ErrorKind.REFUSED: "Nobody listens there, or a firewall refuses it.",
    ErrorKind.UNRESOLVED: "No client that uses this name gets anywhere.",
    ErrorKind.CONNECT_TIMED_OUT: (
        "Packets are dropped on the way, or the host is down, or it does not accept."
    ),
    ErrorKind.CERTIFICATE: "Clients that check certificates do not connect.",
}


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


class Resolve(Check):
    """Resolves the name, and connects once to each address."""

    name = "resolve"

    def reasonToSkip(self, context: Context) -> str:
        """Returns no reason: an address is tried, too."""
        return ""

    def cost(self, context: Context) -> Cost:
        """Returns the cost of a connection to each of two addresses; there may be more."""
        return Cost(0, 2, 1)

    async def run(self, context: Context) -> Result:
        """Resolves and connects; the other checks use the detail ``address`` of the result."""
        host = context.target.host
        if not host:
            return skipped(self.name, "no name in it")
        addresses = await addressesOf(context.reactor, host)
        tried: dict[str, Reason | None] = {}
        for address in addresses:
            tried[address] = await self._try(context, address) if context.target.isStream else None
        return judgeAddresses(host, tried)

    async def _try(self, context: Context, address: str) -> Reason | None:
        """Returns why there is no connection; None: there is. What fails at once may do so by chance."""
        reason = None
        for _ in range(TRIES):
            try:
                stream = await connect(context.reactor, replace(context.target.at(address), kind="tcp"))
            except NetworkError as error:
                reason = error.reason
            else:
                await stream.close()
                return None
            if reason.kind.isTimeOut:
                break
        return reason


def judgeAddresses(host: str, tried: Mapping[str, Reason | None]) -> Result:
    """Judges a name by its addresses.

    :param tried: why there is no connection to each of them; None: there is.
    """
    working = [address for address, reason in tried.items() if not reason]
    reasons = {address: reason for address, reason in tried.items() if reason}
    texts = {address: str(reason or "") for address, reason in tried.items()}
    details = {"host": host, "address": working[0] if working else None, "addresses": texts}
    if not tried:
        reason = Reason(ErrorKind.UNRESOLVED)
        return failed(Resolve.name, str(reason), _meaningOf(reason), isFinal=True, **details)
    said = "; ".join(f"{address}: {reason}" for address, reason in reasons.items())
    if not working:
        reason = next(iter(reasons.values()))
        return failed(Resolve.name, said, _meaningOf(reason), isFinal=True, **details)
    findings = {address for address, reason in reasons.items() if not _isExcused(address, reason)}
    if findings:
        seen = f"{len(findings)} of {len(tried)} addresses: {said}"
        return warned(Resolve.name, seen, "Clients that try this address first wait, or fail.", **details)
    seen = f"{host} is an address" if isLiteral(host) else _families(list(tried))
    return passed(Resolve.name, f"{seen}; {said}" if said else seen, **details)


def _meaningOf(reason: Reason) -> str:
    return _MEANINGS.get(reason.kind, "No client connects.")


def _isExcused(address: str, reason: Reason) -> bool:
    """Says whether an address that does not work tells nothing: localhost has two, and servers take one."""
    isRefused = reason.kind is ErrorKind.REFUSED
    return reason.kind in LOCAL or (isRefused and ipaddress.ip_address(address).is_loopback)


def _families(addresses: list[str]) -> str:
    old = [each for each in addresses if ":" not in each]
    new = [each for each in addresses if ":" in each]
    said = [f"A {' '.join(old)}" if old else "no A", f"AAAA {' '.join(new)}" if new else "no AAAA"]
    return ", ".join(said)


class Connect(Check):
    """Makes connections one after the other, and measures the time to connect."""

    name = "connect"

    def cost(self, context: Context) -> Cost:
        """Returns the cost: a round trip for each connection, over TLS three."""
        return Cost(0, CONNECTIONS, CONNECTIONS * 0.1)

    async def run(self, context: Context) -> Result:
        """Makes the connections, up to ENOUGH failures."""
        times: list[float] = []
        reasons: list[Reason] = []
        for _ in range(CONNECTIONS):
            start = context.reactor.seconds()
            try:
                stream = await context.connect()
            except NetworkError as error:
                reasons.append(error.reason)
                if len(reasons) == ENOUGH:
                    break
            else:
                times.append(context.reactor.seconds() - start)
                await stream.close()
        return judgeConnects(times, reasons)


def judgeConnects(times: list[float], reasons: list[Reason]) -> Result:
    """Judges some attempts to connect.

    :param times: seconds, of those that were made.
    :param reasons: why the others were not.
    """
    details = {"seconds": times, "reasons": list(map(str, reasons))}
    if not times:
        return failed(Connect.name, str(reasons[0]), _meaningOf(reasons[0]), isFinal=True, **details)
    if reasons:
        seen = f"{len(reasons)} of {len(times) + len(reasons)} not made: {reasons[0]}"
        return warned(Connect.name, seen, "Some connections fail or wait.", **details)
    return passed(Connect.name, spread(times), **details)
