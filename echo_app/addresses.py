"""Formats and groups of addresses: how they are written, compared, and counted as one peer.

On a dual-stack socket the kernel presents IPv4 peers as ``::ffff:a.b.c.d`` (RFC 4291, 2.5.5.2). Here
they are IPv4 peers, in every rule, limit and log line.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

from echo_app.hints import didYouMean
from echo_app.text import escaped

_V4_MAPPED = "::ffff:"

_BROADCAST = ipaddress.IPv4Address("255.255.255.255")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# The reactor's addresses that have a host and a port.
InternetAddress = IPv4Address | IPv6Address


def internetAddress(kind: Literal["TCP", "UDP"], host: str, port: int, *scope: int) -> InternetAddress:
    """Returns the reactor's address for an IPv4 or IPv6 literal.

    :param scope: of an IPv6 socket's name: its flow information and its scope (RFC 4007).
    """
    if ":" in host:
        return IPv6Address(kind, host, port, *scope)
    return IPv4Address(kind, host, port)


def scoped(address: tuple[Any, ...]) -> tuple[Any, ...]:
    """Returns a socket's name with the scope in its literal (RFC 4007), where Python leaves it out."""
    if len(address) > 2 and address[3]:
        host, _ = socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
        return (host, *address[1:])
    return address


def unmapped(host: str) -> str:
    """Returns the IPv4 literal inside an IPv4-mapped IPv6 literal, any other literal as it is."""
    if host.startswith(_V4_MAPPED) and "." in host:
        return host[len(_V4_MAPPED) :]
    return host


def ipAddressOf(host: str) -> IPAddress:
    """Returns the IP address that a literal means; an IPv4-mapped one is an IPv4 address.

    :raise ValueError: when it is none.
    """
    address = ipaddress.ip_address(host)
    return getattr(address, "ipv4_mapped", None) or address


def networkOf(text: str) -> Network:
    """Returns the network that is written as ``192.0.2.0/24``, ``2001:db8::/32``, or as one address.

    One of IPv4-mapped IPv6 addresses is the IPv4 network.

    :raise ValueError: when it is none.
    """
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        reason = "neither an IPv4 or IPv6 network without host bits nor an address"
        raise ValueError(reason + didYouMean(_likelyNetworks(text))) from None
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is None:
        return network
    # 96 bits at the least: with fewer it would not begin with a mapped address.
    return ipaddress.IPv4Network((mapped, network.prefixlen - 96))


def _likelyNetworks(text: str) -> list[str]:
    """Returns the network with no host bits that a wrong text may mean: 10.0.0.0/8 of 10.0.0.1/8."""
    try:
        return [str(ipaddress.ip_network(text.replace("[", "").replace("]", ""), strict=False))]
    except ValueError:
        return []


@lru_cache(maxsize=4096)
def peerKey(host: str) -> str:
    """Returns what one peer is counted under: an IPv4 address, or an IPv6 network of 64 bits.

    One IPv6 subscriber has a /64 at the least (RFC 6177), so that a single address says nothing.

    :param host: an IPv4 or IPv6 literal.
    """
    host = unmapped(host)
    if ":" not in host:
        return host
    address = ipaddress.IPv6Address(host)
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))


def hostPort(host: str, port: int) -> str:
    """Returns ``127.0.0.1:8080`` or ``[::1]:8080``."""
    host = unmapped(host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def isPermitted(address: object, isHostPermitted: Callable[[str], bool]) -> bool:
    """Says whether a rule on hosts permits a peer; it never permits an address of an unknown kind.

    A UNIX peer has no host. It is permitted: the permissions of the socket's file let it in.
    """
    if isinstance(address, InternetAddress):
        return isHostPermitted(address.host)
    return isinstance(address, UNIXAddress)


def transportName(address: object) -> str:
    """Returns ``tcp``, ``udp`` or ``unix``; the class's name for an address of another kind."""
    if isinstance(address, InternetAddress):
        return address.type.lower()
    return "unix" if isinstance(address, UNIXAddress) else type(address).__name__


def describe(address: object) -> str:
    """Returns an address as it is written in logs and in the ready file.

    A UNIX peer chooses its own name: what can't be printed in it is escaped.
    """
    if isinstance(address, InternetAddress):
        return hostPort(address.host, address.port)
    if isinstance(address, UNIXAddress):
        name = os.fsdecode(address.name or b"")
        return escaped("@" + name[1:] if name.startswith("\0") else name) or "unnamed"
    return escaped(str(address))


def isWildcardHost(host: str) -> bool:
    """Says whether a listener at this literal is reached through every interface."""
    return ipAddressOf(host).is_unspecified


def isGroup(address: IPAddress) -> bool:
    """Says whether an address belongs to many hosts: multicast or broadcast."""
    return address.is_multicast or address == _BROADCAST


@lru_cache(maxsize=4096)
def isLoopbackHost(host: str) -> bool:
    """Says whether an address is this machine's own, which nobody else reaches or can have forged.

    Of a name, and of no address, it says no.
    """
    try:
        return ipAddressOf(host).is_loopback
    except ValueError:
        return False
