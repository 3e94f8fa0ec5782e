"""Access rules by network: which addresses may connect.

The most specific network that holds an address decides; one that is both allowed and denied is denied.
What no network holds is permitted, unless something is allowed: then only that is. So the order in which
networks are named means nothing, and an exception is made by naming it.

A peer over a UNIX socket has no network. It is permitted: the permissions of the socket file let it in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from echo_app.addresses import Network, ipAddressOf, isPermitted, networkOf

# Hosts whose verdict is remembered, since each datagram asks: as many as there are sources remembered.
HOSTS = 4096


@dataclass(frozen=True)
class Access:
    """Networks that may come, and networks that may not.

    IPv4 peers of a dual-stack socket are IPv4 peers, and networks of IPv4-mapped addresses IPv4 networks.

    :param allow: networks, or texts such as ``192.0.2.0/24`` and ``2001:db8::1``; none is everybody.
    :param deny: the same; none is nobody.
    :raise ValueError: when a network is none.
    """

    allow: Iterable[Network | str] = ()
    deny: Iterable[Network | str] = ()

    def __post_init__(self) -> None:
        for name in ("allow", "deny"):
            networks = tuple(networkOf(str(each)) for each in getattr(self, name))
            object.__setattr__(self, name, networks)

    def permits(self, address: object) -> bool:
        """Says whether a peer at this address may connect; one of no known kind may not."""
        return isPermitted(address, self.permitsHost)

    @cached_property
    def permitsHost(self) -> Callable[[str], bool]:
        """Says the same of an IPv4 or IPv6 literal, and remembers it."""
        return lru_cache(HOSTS)(self._decide)

    def _decide(self, host: str) -> bool:
        address = ipAddressOf(host)
        for length, verdicts in self._verdicts[address.version]:
            verdict = verdicts.get(int(address) >> (address.max_prefixlen - length))
            if verdict is not None:
                return verdict
        return not self.allow

    @cached_property
    def _verdicts(self) -> dict[int, list[tuple[int, dict[int, bool]]]]:
        """By IP version, for each length of networks, the longest first: those bits, and what they decide.

        However many networks there are, an address is looked up once for each length.
        """
        found: dict[int, dict[int, dict[int, bool]]] = {4: {}, 6: {}}
        for networks, verdict in ((self.allow, True), (self.deny, False)):
            network: Any
            for network in networks:
                bits = int(network.network_address) >> (network.max_prefixlen - network.prefixlen)
                found[network.version].setdefault(network.prefixlen, {})[bits] = verdict
        return {version: sorted(lengths.items(), reverse=True) for version, lengths in found.items()}
