"""Access rules by network: which addresses may connect.

The most specific network that contains an address decides. A network that is both allowed and denied is
denied. An address in no network is permitted, unless a network is allowed. So the order of the networks does
not matter, and an exception needs only its own network.

A peer over a UNIX socket has no network and is permitted: the permissions of the socket file decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from echo_app.addresses import Network, ipAddressOf, isPermitted, networkOf

# Hosts whose verdict is cached, because each datagram needs one: as many as the UDP rules hold sources.
HOSTS = 4096


@dataclass(frozen=True)
class Access:
    """The access rules: networks that are allowed, and networks that are denied.

    IPv4 peers of a dual-stack socket count as IPv4 peers, networks of IPv4-mapped addresses as IPv4 networks.

    :param allow: networks, or texts such as ``192.0.2.0/24`` and ``2001:db8::1``; empty allows all.
    :param deny: the same; empty denies none.
    :raise ValueError: when a text is no network.
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
        """Returns a function that says whether a host, an IPv4 or IPv6 literal, may connect; it caches."""
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
        """Returns, by IP version, the prefix lengths, longest first, each with its prefixes' verdicts.

        An address is looked up once for each prefix length, not for each network.
        """
        found: dict[int, dict[int, dict[int, bool]]] = {4: {}, 6: {}}
        for networks, verdict in ((self.allow, True), (self.deny, False)):
            network: Any
            for network in networks:
                bits = int(network.network_address) >> (network.max_prefixlen - network.prefixlen)
                found[network.version].setdefault(network.prefixlen, {})[bits] = verdict
        return {version: sorted(lengths.items(), reverse=True) for version, lengths in found.items()}
