"""Access rules: the networks whose peers may connect."""

from __future__ import annotations

import ipaddress
from typing import Any

from hypothesis import strategies as st
from twisted.internet.address import HostnameAddress, IPv4Address, IPv6Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from echo_app.access.networks import HOSTS, Access
from echo_app.addresses import Network, networkOf
from tests.support.properties import given

# Few bits, so that networks hold each other and addresses.
v4 = st.tuples(st.integers(0, 255), st.integers(24, 32)).map(lambda each: _network(4, *each))
v6 = st.tuples(st.integers(0, 255), st.integers(120, 128)).map(lambda each: _network(6, *each))
networks = st.lists(v4 | v6, max_size=8)


def _network(version: int, number: int, length: int) -> Network:
    kind: Any = ipaddress.IPv4Network if version == 4 else ipaddress.IPv6Network
    return networkOf(str(kind((number, length), strict=False)))


def _judged(host: str, allow: list[Network], deny: list[Network]) -> bool:
    """Returns the verdict by the rule as it is written down: the longest network, and denied first."""
    address = ipaddress.ip_address(host)
    found = [(each.prefixlen, False) for each in deny if address in each]
    found += [(each.prefixlen, True) for each in allow if address in each]
    longest = max((length for length, _ in found), default=None)
    if longest is None:
        return not allow
    return all(verdict for length, verdict in found if length == longest)


class AccessTests(SynchronousTestCase):
    def permitted(self, *hosts: str, **rules: list[str]) -> list[bool]:
        """Returns the verdicts on hosts."""
        access = Access(**rules)
        kinds = {True: IPv6Address, False: IPv4Address}
        return [access.permits(kinds[":" in host]("TCP", host, 4242)) for host in hosts]

    def test_nothingAsked(self) -> None:
        """Without networks everybody may come."""
        self.assertEqual(self.permitted("192.0.2.1", "::1"), [True, True])

    def test_allow(self) -> None:
        """A rule that allows a network denies all others, of either family."""
        hosts = ("192.0.2.1", "192.0.3.1", "2001:db8::1", "::1")
        self.assertEqual(self.permitted(*hosts, allow=["192.0.2.0/24"]), [True, False, False, False])
        self.assertEqual(self.permitted(*hosts, allow=["2001:db8::/32"]), [False, False, True, False])
        self.assertEqual(self.permitted(*hosts, allow=["0.0.0.0/0"]), [True, True, False, False])

    def test_deny(self) -> None:
        """With a network denied, everybody else may come."""
        hosts = ("192.0.2.1", "192.0.3.1", "2001:db8::1")
        self.assertEqual(self.permitted(*hosts, deny=["192.0.2.1"]), [False, True, True])
        self.assertEqual(self.permitted(*hosts, deny=["::/0"]), [True, True, False])

    def test_mostSpecific(self) -> None:
        """An exception to a network, and one to that, are made by naming them; equals are denied."""
        hosts = ("10.1.2.3", "10.1.2.4", "10.2.0.1", "11.0.0.1")
        rules = {"allow": ["10.0.0.0/8", "10.1.2.3"], "deny": ["10.1.0.0/16"]}
        self.assertEqual(self.permitted(*hosts, **rules), [True, False, True, False])
        rules = {"deny": ["10.0.0.0/8"], "allow": ["10.0.0.0/8", "10.1.2.0/24"]}
        self.assertEqual(self.permitted(*hosts, **rules), [True, True, False, False])

    def test_mapped(self) -> None:
        """IPv4 peers of a dual-stack socket are IPv4 peers, and mapped networks are IPv4 networks."""
        hosts = ("::ffff:192.0.2.1", "192.0.2.1", "::ffff:192.0.3.1")
        for network in ("192.0.2.0/24", "::ffff:192.0.2.0/120"):
            self.assertEqual(self.permitted(*hosts, allow=[network]), [True, True, False])
        self.assertEqual(self.permitted(*hosts, deny=["::/0"]), [True, True, True])

    def test_scoped(self) -> None:
        """A link-local peer's scope does not matter."""
        self.assertEqual(self.permitted("fe80::1%eth0", deny=["fe80::/10"]), [False])

    def test_noNetwork(self) -> None:
        """A peer over a UNIX socket may always come; one of another kind may not."""
        access = Access(allow=["192.0.2.1"])
        self.assertTrue(access.permits(UNIXAddress(b"")))
        for address in (None, HostnameAddress(b"localhost", 1)):
            self.assertFalse(access.permits(address))

    def test_bad(self) -> None:
        """A wrong network is refused when the rules are made."""
        for text in ("localhost", "10.0.0.1/8", ""):
            self.assertRaises(ValueError, Access, allow=[text])
            self.assertRaises(ValueError, Access, deny=[text])

    def test_value(self) -> None:
        """Access rules are an immutable value, equal to one of the same networks in any notation."""
        access = Access(allow=["192.0.2.1"], deny=[ipaddress.ip_network("::/0")])
        self.assertEqual(access, Access([networkOf("192.0.2.1/32")], iter(["::/0"])))
        self.assertEqual(len({access, Access(["192.0.2.1"], ["::/0"])}), 1)
        self.assertRaises(AttributeError, setattr, access, "allow", ())

    def test_bounded(self) -> None:
        """The cache of hosts is bounded."""
        access = Access(deny=["10.0.0.0/8"])
        for number in range(2 * HOSTS):
            self.assertFalse(access.permitsHost(str(ipaddress.IPv4Address((10 << 24) + number))))
        cached: Any = access.permitsHost
        self.assertEqual(cached.cache_info().currsize, HOSTS)

    @given(networks, networks, st.integers(0, 255), st.booleans())
    def test_rule(self, allow: list[Network], deny: list[Network], number: int, isIPv4: bool) -> None:
        """The decision follows the rule, for any networks."""
        kind: Any = ipaddress.IPv4Address if isIPv4 else ipaddress.IPv6Address
        host = str(kind(number))
        self.assertEqual(Access(allow, deny).permitsHost(host), _judged(host, allow, deny))
