"""Addresses of a target's name."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IHostResolution, IResolutionReceiver
from zope.interface import implementer

from echo_app.probe.net.stream import CONNECT_TIMEOUT
from echo_app.probe.net.waits import NothingCame, within
from echo_app.targets import isLiteral


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
